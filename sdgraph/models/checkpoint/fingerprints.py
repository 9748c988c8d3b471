"""Hashes of components and checkpoints, by which equal components are recognised."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator
from pathlib import Path

from sdgraph.errors import CheckpointError
from sdgraph.models.formats.config_files import MODULAR_INDEX, read_json
from sdgraph.models.sources.lora_files import PEFT_CONFIG, PEFT_NAME
from sdgraph.values import Lora

from .checkpoint_files import MODEL_INDEX, SCHEDULER_CONFIG
from .files_on_disk import CheckpointOnDisk, ComponentOnDisk

_TEXT_SUFFIXES = (".json", ".txt", ".model", ".jinja")
_HASHED_SUFFIXES = (*_TEXT_SUFFIXES, ".safetensors")

_UNHASHED_KEYS = ("_name_or_path", "_diffusers_version", "transformers_version")
"""Keys of configs that only say who wrote them, and with which version."""


def component_fingerprint(part: ComponentOnDisk) -> str:
    """The hash for `ResolvedPart.fingerprint`.

    For a component that is not on this disk yet, or without its weights, it is a hash of the
    checkpoint's name and settings.
    """
    digest = hashlib.blake2b(digest_size=16)
    if part.folder is None or not _is_here(part, part.folder):
        missing = part.part
        digest.update(repr((missing.checkpoint, missing.folder, missing.casting)).encode())
        return digest.hexdigest()
    if part.is_lora:
        hashes = "|".join(sha256 for _, sha256 in part.hashed_files)
        digest.update(f"lora|{hashes}".encode())
        return digest.hexdigest()
    digest.update(":".join(part.library_and_class).encode())
    for path, sha256 in part.hashed_files:
        text = _config_text(path) if path.name == "config.json" else sha256
        digest.update(f"|{text}".encode())
    if part.tensor_prefix is not None:
        digest.update(f"|{part.tensor_prefix}".encode())
    if part.part.casting or part.quantization:
        digest.update(f"|{part.part.casting}|{part.quantization}".encode())
    return digest.hexdigest()


def _is_here(part: ComponentOnDisk, folder: Path) -> bool:
    """Whether a component is complete; a hub cache may contain configs without their weights."""
    if part.prepares or part.is_lora:
        return True
    if part.lacks_vocabulary:
        return False
    return bool(part.files) or not (folder / "config.json").is_file()


def component_files(part: ComponentOnDisk) -> tuple[Path, ...]:
    """The files that decide what a component computes, in order; () if it is not on this disk."""
    if part.folder is None:
        return ()
    if part.is_lora:
        return tuple(path for file in part.files for path in _adapter_files(file))
    return (*_other_files(part, part.folder), *part.vocabulary_files, *part.files)


def _adapter_files(path: Path) -> Iterator[Path]:
    """The file of an adapter, and the config that peft wrote next to it, with alpha and rank."""
    yield path
    if path.name == PEFT_NAME and (path.parent / PEFT_CONFIG).is_file():
        yield path.parent / PEFT_CONFIG


def _other_files(part: ComponentOnDisk, folder: Path) -> Iterator[Path]:
    """The files other than weights that decide what a component computes, in order."""
    if part.part.processor:
        # This raises CheckpointError if the file is missing.
        part.owner.config(part.part.folder, "preprocessor_config.json")
        yield folder / "preprocessor_config.json"
    elif (folder / "config.json").is_file() and not part.part.tokenizer:
        yield folder / "config.json"
    else:
        # Tokenizers, schedulers and processors are all small files.
        texts = (name for name in os.listdir(folder) if name.endswith(_TEXT_SUFFIXES))
        yield from (folder / name for name in sorted(texts))


def settings_fingerprint(checkpoint: CheckpointOnDisk) -> str:
    """A hash of a checkpoint's index, and of the config of its scheduler and what changes it."""
    if checkpoint.root is None:
        return ""
    digest = hashlib.blake2b(digest_size=16)
    if settings := dict(checkpoint.scheduler_settings):
        digest.update(f"{json.dumps(settings, sort_keys=True)}|".encode())
    if (clip_skip := checkpoint.checkpoint.clip_skip) is not None:
        digest.update(f"clip_skip {clip_skip}|".encode())
    folders = [checkpoint.root / name for name in checkpoint.components or ()]
    indexes = (checkpoint.root / name for name in (MODEL_INDEX, MODULAR_INDEX))
    paths = (*indexes, *(path / SCHEDULER_CONFIG for path in folders))
    for path, sha256 in checkpoint.hash_files([path for path in paths if path.is_file()]):
        digest.update(f"{path.name}|{sha256}|".encode())
    return digest.hexdigest()


def checkpoint_files(checkpoint: CheckpointOnDisk) -> Iterator[Path]:
    """The files of a whole checkpoint: those of its components and of its root."""
    root = checkpoint.root
    if root is None:
        return
    if isinstance(checkpoint.checkpoint, Lora):
        yield from _adapter_files(checkpoint.lora_file)
        return
    if checkpoint.single_file is not None:
        yield checkpoint.single_file.path
    for folder in (root, *(root / name for name in checkpoint.components or ())):
        for name in sorted(os.listdir(folder)) if folder.is_dir() else ():
            if name.endswith(_HASHED_SUFFIXES) and (folder / name).is_file():
                yield folder / name


def checkpoint_fingerprint(checkpoint: CheckpointOnDisk) -> str:
    """A hash of all files of a checkpoint; of its name and settings if it is not on this disk."""
    try:
        hashed, single_file = checkpoint.hashed_files, checkpoint.single_file
    except CheckpointError:
        hashed, single_file = (), None  # reading the checkpoint raises the same error
    own = None if single_file is None else single_file.path
    names = ["" if path == own else f"{path.parent.name}/{path.name}" for path, _ in hashed]
    texts = [f"{name}:{sha256}" for name, (_, sha256) in zip(names, hashed, strict=True)]
    if texts and checkpoint.scheduler_settings:
        texts.append(json.dumps(dict(checkpoint.scheduler_settings), sort_keys=True))
    if texts and checkpoint.checkpoint.clip_skip is not None:
        texts.append(f"clip_skip {checkpoint.checkpoint.clip_skip}")
    if not texts:
        texts = [repr(checkpoint.checkpoint)]
    return hashlib.blake2b("|".join(texts).encode(), digest_size=16).hexdigest()


def _config_text(path: Path) -> str:
    """The content of a config, without the keys that say who wrote it."""
    config = {key: value for key, value in read_json(path).items() if key not in _UNHASHED_KEYS}
    return json.dumps(config, sort_keys=True)
