"""What files tell about a component before torch is imported: its class, configs and weights."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Protocol

from sdgraph.errors import CheckpointError, Problem
from sdgraph.values import QUANTIZATIONS, Part

from .checkpoint_files import CONFIG_NAMES
from .component_classes import is_allowed, refuse_class
from .safetensors_files import refuse_damaged
from .shards import refuse_incomplete
from .weight_marks import refuse_foreign

_TOKENIZER_CONFIG = "tokenizer_config.json"

_ADAPTER_CONFIG = "adapter_config.json"
"""The file by which transformers loads another model, and an adapter over it, from a folder."""


class _CheckpointOnDisk(Protocol):
    """What is read of a checkpoint; `ResolvedCheckpoint` implements it."""

    @property
    def root(self) -> Path | None: ...
    @property
    def must_fetch(self) -> bool: ...
    @property
    def lora_file(self) -> Path: ...
    def config(self, folder: str = "", name: str | None = None) -> Mapping[str, Any] | None: ...


class _ComponentOnDisk(Protocol):
    """What is read of a component; `ResolvedPart` implements it."""

    @property
    def owner(self) -> _CheckpointOnDisk: ...
    @property
    def part(self) -> Part: ...
    @property
    def name(self) -> str: ...
    @property
    def folder(self) -> Path | None: ...
    @property
    def is_lora(self) -> bool: ...
    @property
    def files(self) -> tuple[Path, ...]: ...
    @property
    def library_and_class(self) -> tuple[str, str]: ...
    @property
    def quantization(self) -> str | None: ...
    @property
    def lacks_variant(self) -> bool: ...


def check_part(part: _ComponentOnDisk) -> None:
    """Raises CheckpointError if a component is on this disk and cannot be used; loads nothing."""
    _check_quantization(part)
    folder = part.folder
    if folder is None:
        return
    if part.is_lora:
        refuse_damaged(part.owner.lora_file)
        return
    _ = part.library_and_class
    _check_small_files(part, folder)
    if not part.part.prepares and not part.owner.must_fetch:
        _check_weights(part, folder)


def _check_quantization(part: _ComponentOnDisk) -> None:
    name = part.quantization
    if name and find_spec(package := QUANTIZATIONS[name]) is None:
        source, found = part.part.checkpoint.source, f"quantization {name}"
        fix = f"pip install {package}, or leave the quantization out"
        problem = Problem(
            source, f"{found}, and no package {package} here", f"the package {package}", fix
        )
        raise CheckpointError(problem)


def _check_small_files(part: _ComponentOnDisk, folder: Path) -> None:
    """Reads the configs of a component, which refuses those that name code or absurd numbers."""
    for name in (_TOKENIZER_CONFIG, *CONFIG_NAMES):
        if (folder / name).is_file():
            config = part.owner.config(part.part.folder, name) or {}
            if name == _TOKENIZER_CONFIG:
                _refuse_other_tokenizer(part.name, config)
    if (folder / _ADAPTER_CONFIG).is_file():
        found = f"an {_ADAPTER_CONFIG}, by which another model would be loaded"
        raise CheckpointError(
            Problem(part.name, found, "a component alone", "remove it; name LoRAs in `loras`")
        )


def _refuse_other_tokenizer(name: str, config: Mapping[str, Any]) -> None:
    class_name = config.get("tokenizer_class")
    if class_name is not None and not is_allowed("tokenizer", "transformers", class_name):
        refuse_class(name, "tokenizer", "transformers", class_name)


def _check_weights(part: _ComponentOnDisk, folder: Path) -> None:
    if not folder.is_dir():
        found = f"no folder in {part.owner.root}, though the index names it"
        raise CheckpointError(Problem(part.name, found, "a folder for each part"))
    files = part.files
    if not files and (folder / "config.json").is_file():
        wanted, fix = f"safetensors in {folder}", "fetch, copy or install the checkpoint again"
        raise CheckpointError(Problem(part.name, "no weights", wanted, fix))
    refuse_incomplete(part.name, folder, files)
    _, class_name = part.library_and_class
    for path in files:
        if path.suffix == ".safetensors":
            refuse_damaged(path)
            config = part.owner.config(part.part.folder) or {}
            quantized = bool(config.get("quantization_config"))
            refuse_foreign(part.name, path, class_name, quantized=quantized)


def part_warnings(parts: Iterable[_ComponentOnDisk]) -> Iterator[Problem]:
    """What to tell about components that are not here, or not in the variant that was asked for.

    Args:
        parts: The components, which have no problems.
    """
    absent: dict[str, str] = {}
    plain: dict[tuple[str, str], dict[str, None]] = {}
    for part in parts:
        checkpoint = part.part.checkpoint
        if part.owner.root is None:
            absent[checkpoint.source] = "not here, not checked"
        elif part.owner.must_fetch:
            absent[checkpoint.source] = "its weights are not all here, and not checked"
        elif part.lacks_variant:
            names = plain.setdefault((checkpoint.source, str(checkpoint.variant)), {})
            names[part.part.folder] = None
    for source, found in absent.items():
        yield Problem(source, found, fix="a run downloads it from the hub, and checks it then")
    for (source, variant), folders in plain.items():
        found = f"no weights of the variant {variant} for {', '.join(folders)}"
        yield Problem(source, found, fix="the plain ones are used")
