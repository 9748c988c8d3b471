"""The files of LoRAs and other adapters: finds one on this disk, or fetches it from the hub."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import NoReturn

from sdgraph.errors import CheckpointError, Problem, did_you_mean
from sdgraph.files import describe_path, is_file, names_in
from sdgraph.models.formats import pickles
from sdgraph.values import Lora

from . import hub, hub_downloads
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
    name = lora.file or LORA_NAME
    folder = hub.in_cache(lora.source, lora.revision, (name,))
    if folder is None and hub.is_off():
        found = f"{name} is not in the hub's cache, and HF_HUB_OFFLINE is set"
        _refuse(lora, found, "fetch it once while online, or name a local folder")
    return None if folder is None else folder / Path(name).name


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
    if LORA_NAME in weight_names:
        return folder / LORA_NAME
    if len(weight_names) > 1:
        _refuse(lora, f"a folder with {', '.join(weight_names)}", "name one: {source: …, file: …}")
    if not weight_names:
        found = f"a folder with {', '.join(pickled) or 'no safetensors'}"
        _refuse(lora, found, _ALLOW if pickled else "")
    return folder / weight_names[0]


def fetch_lora(lora: Lora) -> Path:
    """The adapter's file, fetched from the hub if necessary; raises CheckpointError."""
    path = find_lora(lora)
    if path is not None:
        return path
    name = lora.file or LORA_NAME
    names = (name, PEFT_CONFIG) if name == PEFT_NAME else (name,)
    folder = hub_downloads.download_matching(
        lora.source, lora.revision, allow_patterns=[glob.escape(each) for each in names]
    )
    if not is_file(folder / name):
        fix = "name one of its files: {source: …, file: …}"
        _refuse(lora, f"a repository on the hub without {name}", fix)
    return folder / name


def _refuse(lora: Lora, found: str, fix: str = "") -> NoReturn:
    raise CheckpointError(Problem(lora.source, found, _WANTED, fix))
