"""What makes two components one: hashes of their weights, their configs and their class."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from sdgraph.errors import CheckpointError
from sdgraph.memoize import seen_once
from sdgraph.values import Checkpoint, Lora

from .checkpoint_files import INDEX, SCHEDULER, Part, class_of, components, config, configs, files
from .file_hashes import content, read_json


@seen_once
def identity(part: Part) -> str:
    """A hash of what the component computes with: class, config and the content of its weights.

    Parts of different checkpoints that hold the same are one. A hub checkpoint that is not here
    yet is known by its name and revision until it is. The dtype to load in is no part of it.
    """
    root = configs(part.checkpoint)
    digest = hashlib.blake2b(digest_size=16)
    if root is None or not _is_here(part, root / part.folder):
        digest.update(repr((part.checkpoint, part.folder, part.casting)).encode())
        return digest.hexdigest()
    if isinstance(part.checkpoint, Lora):
        ((_, adapter),) = contents(part)
        digest.update(f"lora|{adapter}".encode())
        return digest.hexdigest()
    digest.update(":".join(class_of(part)).encode())
    for path in (*_identifying(part, root / part.folder), *files(part)):
        read = _meaning if path.name == "config.json" else content
        digest.update(f"|{read(path)}".encode())
    if part.casting or part.quantization:
        digest.update(f"|{part.casting}|{part.quantization}".encode())
    return digest.hexdigest()


def _is_here(part: Part, folder: Path) -> bool:
    """Whether a component is complete: configs may be in a hub cache before their weights."""
    if part.prepares or isinstance(part.checkpoint, Lora):
        return True
    return bool(files(part)) or not (folder / "config.json").is_file()


def contents(part: Part) -> tuple[tuple[Path, str], ...]:
    """The files that `identity` is made of, each with its sha256; none while they are not here."""
    if (root := configs(part.checkpoint)) is None:
        return ()
    beside = () if isinstance(part.checkpoint, Lora) else _identifying(part, root / part.folder)
    return tuple((path, content(path)) for path in (*beside, *files(part)))


@seen_once
def settings(checkpoint: Checkpoint) -> str:
    """A hash of a checkpoint's index and of the config of its scheduler."""
    root = configs(checkpoint)
    if root is None:
        return ""
    digest = hashlib.blake2b(digest_size=16)
    schedulers = (root / name / SCHEDULER for name in components(checkpoint) or ())
    for path in (root / INDEX, *schedulers):
        if path.is_file():
            digest.update(f"{path.name}|{content(path)}|".encode())
    return digest.hexdigest()


def every_file(checkpoint: Checkpoint) -> tuple[tuple[Path, str], ...]:
    """The files of a whole checkpoint, each with its sha256; none while it is not here.

    Those of its components and what stands beside them; not what a training keeps in folders of
    its own.
    """
    if (root := configs(checkpoint)) is None:
        return ()
    if isinstance(checkpoint, Lora):
        return contents(Part(checkpoint))
    folders = [root, *(root / name for name in components(checkpoint) or ())]
    return tuple(
        (folder / name, content(folder / name))
        for folder in folders
        if folder.is_dir()
        for name in sorted(os.listdir(folder))
        if name.endswith(_TOLD) and (folder / name).is_file()
    )


@seen_once
def whole(checkpoint: Checkpoint) -> str:
    """A hash of all that a checkpoint holds; of its name alone while it is not here."""
    try:
        found = every_file(checkpoint)
    except CheckpointError:
        found = ()  # whoever reads it says so better
    told = [f"{path.parent.name}/{path.name}:{digest}" for path, digest in found]
    if not found:
        told = [repr(checkpoint)]
    return hashlib.blake2b("|".join(told).encode(), digest_size=16).hexdigest()


_TOLD = (".json", ".txt", ".model", ".safetensors")


def _meaning(config: Path) -> str:
    """A config's content without what only says who wrote it, and with what."""
    told = {key: value for key, value in read_json(config).items() if key not in _HEARSAY}
    return json.dumps(told, sort_keys=True)


_HEARSAY = ("_name_or_path", "_diffusers_version", "transformers_version")


def _identifying(part: Part, folder: Path) -> Iterator[Path]:
    """The files that beside weights decide what a component computes, in order."""
    if part.processor:
        config(part.checkpoint, part.folder, "preprocessor_config.json")  # tells if it is missing
        yield folder / "preprocessor_config.json"
    elif (folder / "config.json").is_file() and not part.tokenizer:
        yield folder / "config.json"
    else:
        # Tokenizers, schedulers and processors are all small files.
        texts = (name for name in os.listdir(folder) if name.endswith((".json", ".txt", ".model")))
        yield from (folder / name for name in sorted(texts))
