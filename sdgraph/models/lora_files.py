"""Adapters on this disk: which file one is, whether it is whole, and what its layers are called.

Read without torch: a safetensors file begins with the length of a JSON header (8 bytes, little
endian), which says of each tensor its dtype, its shape and where in the rest of the file it lies.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

from sdgraph.errors import CheckpointError, Problem, did_you_mean
from sdgraph.files import expand_home
from sdgraph.values import Lora

from . import hub, pickles, shipped
from .file_hashes import refuse_damaged

NAME = "pytorch_lora_weights.safetensors"
"""The file that diffusers writes adapters to."""

_WANTED = "an adapter: a safetensors file, a folder that holds one, or a hub id"

Shapes = Mapping[str, tuple[int, ...]]
"""The names of a file's tensors, each with its shape."""


def file(lora: Lora) -> Path | None:
    """The adapter's file, None for one on the hub that is not here yet.

    Raises CheckpointError where there is none, or none that can be told from others.
    """
    if lora.source.startswith("tiny/"):
        return _in_folder(lora, shipped.folder(lora.source))
    path = expand_home(lora.source)
    if path.is_file():
        if path.suffix != ".safetensors":
            _refuse(lora, f"a {path.suffix or 'nameless'} file", "convert it to safetensors")
        return path
    if (folder := hub.local_folder(lora.source, lora.revision, (lora.file or NAME,))) is not None:
        return _in_folder(lora, folder)
    looks_like_path = lora.source.startswith((".", "/", "~"))
    if looks_like_path or lora.source.endswith(".safetensors") or lora.source.count("/") != 1:
        near = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        _refuse(lora, "no such file or folder", did_you_mean(path.name, near))
    name = lora.file or NAME
    folder = hub.in_cache(lora.source, lora.revision, (name,))
    if folder is None and hub.is_off():
        found = f"{name} is not in the hub's cache, and HF_HUB_OFFLINE is set"
        _refuse(lora, found, "fetch it once while online, or name a local folder")
    return None if folder is None else folder / Path(name).name


def _in_folder(lora: Lora, folder: Path) -> Path:
    there = sorted(each.name for each in folder.iterdir() if each.is_file())
    known = [name for name in there if name.endswith(".safetensors")]
    if lora.file is not None:
        if not (folder / lora.file).is_file():
            _refuse(lora, f"a folder without {lora.file}", did_you_mean(lora.file, known))
        return folder / lora.file
    if NAME in known:
        return folder / NAME
    if len(known) > 1:
        _refuse(lora, f"a folder with {', '.join(known)}", "name one: {source: …, file: …}")
    if not known:
        pickled = [name for name in there if name.endswith(pickles.SUFFIXES)]
        found = f"a folder with {', '.join(pickled) or 'no safetensors'}"
        _refuse(lora, found, "convert it: pickles can run code" if pickled else "")
    return folder / known[0]


def header(lora: Lora) -> Shapes | None:
    """The tensors in an adapter's file, None for one on the hub that is not here yet.

    Raises CheckpointError where there is none, or it is damaged.
    """
    path = file(lora)
    return None if path is None else shapes(path)


def fetched(lora: Lora) -> Path:
    """The adapter's file, asked of the hub where it is not here."""
    found = file(lora)
    if found is not None:
        return found
    from huggingface_hub import hf_hub_download

    name = lora.file or NAME
    try:
        return Path(hf_hub_download(lora.source, name, revision=lora.revision))
    except Exception as error:
        # The hub's client raises dozens of kinds (network, HTTP, gated, missing, disk).
        reason = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        problem = Problem(
            lora.source,
            f"{name} cannot be fetched from the hub ({reason})",
            _WANTED,
            "check the name, the network and `file:`; log in if it is gated",
        )
        raise CheckpointError(problem) from error


def shapes(path: Path) -> Shapes:
    """The tensors in a safetensors file, from its header alone.

    Raises CheckpointError for a file that is damaged or cut short.
    """
    refuse_damaged(path)
    status = path.stat()
    return _shapes(path, (status.st_mtime_ns, status.st_ctime_ns, status.st_ino, status.st_size))


@lru_cache(maxsize=256)
def _shapes(path: Path, when: tuple[int, ...]) -> Shapes:
    with path.open("rb") as opened:
        header = json.loads(opened.read(int.from_bytes(opened.read(8), "little")))
    header.pop("__metadata__", None)
    try:
        return {name: tuple(map(int, each["shape"])) for name, each in header.items()}
    except (ValueError, TypeError, KeyError) as error:
        found = f"its header says no shape of a tensor ({error})"
        problem = Problem(str(path), found, "a safetensors file", "download or copy it again")
        raise CheckpointError(problem) from None


def _refuse(lora: Lora, found: str, fix: str = "") -> NoReturn:
    raise CheckpointError(Problem(lora.source, found, _WANTED, fix))
