"""The files of LoRAs and other adapters: finds one on this disk, or fetches it from the hub."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from pathlib import Path
from typing import NoReturn

from sdgraph.errors import CheckpointError, Problem, did_you_mean
from sdgraph.files import describe_path, is_file, names_in
from sdgraph.models.formats import pickles
from sdgraph.values import Lora

from . import hub
from .model_files import ADAPTER_USES, absence, weights_path
from .shipped import shipped_folder

LORA_NAME = "pytorch_lora_weights.safetensors"
"""The file that diffusers writes adapters to."""

PEFT_NAME, PEFT_CONFIG = "adapter_model.safetensors", "adapter_config.json"
"""The files that peft writes: of the adapter's tensors, and of its alpha and rank."""

_ALLOW = (
    "convert it to safetensors: pickles can run code; or, if you trust it, use --allow-pickle: "
    "only tensors are read"
)
_WANTED = "an adapter: a safetensors file, a folder that holds one, or a hub id"


def find_lora(lora: Lora) -> Path | None:
    """The adapter's file; None for one on the hub that must be fetched first.

    Raises CheckpointError if there is none, or if several files could be it.
    """
    if lora.source.startswith("tiny/"):
        return _in_folder(lora, shipped_folder(lora.source))
    path = weights_path(lora.source, ADAPTER_USES)
    if is_file(path):
        pickled = path.suffix in pickles.SUFFIXES
        if path.suffix != ".safetensors" and not (pickled and pickles.are_allowed()):
            found = f"a {path.suffix or 'nameless'} file"
            _refuse(lora, found, _ALLOW if pickled else "convert it to safetensors")
        return path
    if (
        folder := hub.local_folder(lora.source, lora.revision, (lora.file or LORA_NAME,))
    ) is not None:
        return _in_folder(lora, folder)
    looks_like_path = lora.source.startswith((".", "/", "~"))
    if looks_like_path or lora.source.endswith(".safetensors") or lora.source.count("/") != 1:
        where, near = absence(lora.source)
        found = describe_path(path, "file or folder") + where
        _refuse(lora, found, near or did_you_mean(path.name, names_in(path.parent)))
    cached = _in_cache(lora)
    if cached is None and hub.is_off():
        found = f"{lora.file or 'it'} is not in the hub's cache, and HF_HUB_OFFLINE is set"
        _refuse(lora, found, "fetch it once while online, or name a local folder")
    return cached


def _in_cache(lora: Lora) -> Path | None:
    """The adapter's file in the hub's cache; None if it is not there."""
    for name in (lora.file,) if lora.file is not None else (LORA_NAME, PEFT_NAME):
        folder = hub.in_cache(lora.source, lora.revision, (name,))
        if folder is not None:
            return folder / Path(name).name
    folder = hub.cached_snapshot(lora.source, lora.revision)
    if lora.file is not None or folder is None:
        return None
    only = adapter_file(names_in(folder))
    return None if only is None else folder / only


def adapter_file(names: Iterable[str]) -> str | None:
    """The file with the adapter of a folder or a repository; None if there is none, or several.

    It is the file that diffusers or peft writes, or else the only one at the top. Pickles count if
    they are allowed and there is no safetensors file.

    Args:
        names: The paths of all files.

    Example:
        >>> adapter_file(["README.md", "style.safetensors", "old/style.safetensors"])
        'style.safetensors'
    """
    at_top = [name for name in names if "/" not in name]
    weights = [name for name in at_top if name.endswith(".safetensors")]
    if not weights and pickles.are_allowed():
        weights = [name for name in at_top if name.endswith(pickles.SUFFIXES)]
    usual = (name for name in (LORA_NAME, PEFT_NAME) if name in weights)
    return next(usual, weights[0] if len(weights) == 1 else None)


def adapter_files(names: Collection[str], name: str) -> tuple[str, ...]:
    """An adapter's file, and next to one of peft the config that it is read with.

    Args:
        names: The paths of all files.
        name: The path of the adapter's file.
    """
    config = f"{name.removesuffix(PEFT_NAME)}{PEFT_CONFIG}"
    return (config, name) if name.endswith(PEFT_NAME) and config in names else (name,)


def _in_folder(lora: Lora, folder: Path) -> Path:
    """The adapter's file in a folder: the one that it names, that of diffusers, or the only one."""
    names = sorted(entry.name for entry in folder.iterdir() if entry.is_file())
    weight_names = [name for name in names if name.endswith(".safetensors")]
    pickled = [name for name in names if name.endswith(pickles.SUFFIXES)]
    if not weight_names and pickles.are_allowed():
        weight_names = pickled
    if lora.file is not None:
        if not is_file(folder / lora.file):
            _refuse(lora, f"a folder without {lora.file}", did_you_mean(lora.file, weight_names))
        return folder / lora.file
    if (name := adapter_file(names)) is None and len(weight_names) > 1:
        _refuse(lora, f"a folder with {', '.join(weight_names)}", "name one: {source: …, file: …}")
    if name is None:
        found = f"a folder with {', '.join(pickled) or 'no safetensors'}"
        _refuse(lora, found, _ALLOW if pickled else "")
    return folder / name


def fetch_lora(lora: Lora) -> Path:
    """The adapter's file, fetched from the hub if necessary; raises CheckpointError."""
    path = find_lora(lora)
    if path is not None:
        return path
    from . import hub_downloads, hub_listing  # a check downloads nothing

    listing = hub_listing.list_hub_files(lora.source, lora.revision)
    name = lora.file or adapter_file(listing.files)
    if name is None or name not in listing.files:
        found = [
            each for each in listing.files if each.endswith((".safetensors", *pickles.SUFFIXES))
        ]
        fix = f"name one of its files, {{source: …, file: …}}: {shown_names(found)}"
        what = f"a repository on the hub without {name or LORA_NAME}"
        _refuse(lora, what, fix if found else "choose another repository")
    folder = hub_downloads.download_files(listing, adapter_files(listing.files, name))
    return folder / name


def shown_names(names: Iterable[str]) -> str:
    """The first of some names as words, and how many more there are.

    Example:
        >>> shown_names(["b", "a"]), shown_names("gfedcba")
        ('a, b', 'a, b, c, d, e and 2 more')
    """
    listed = sorted(names)
    return ", ".join(listed[:5]) + (f" and {len(listed) - 5} more" if listed[5:] else "")


def _refuse(lora: Lora, found: str, fix: str = "") -> NoReturn:
    raise CheckpointError(Problem(lora.source, found, _WANTED, fix))
