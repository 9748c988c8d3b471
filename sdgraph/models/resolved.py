"""Checkpoints as they are on this disk; each property is read once.

`resolve` turns the name of a checkpoint into a `ResolvedCheckpoint`. A plan resolves each of its
checkpoints once (see `sdgraph.memoize`); its checks, its keys, the memory planner, the lease and
the loader use that same object. Costly properties (hashes, sizes) are computed at their first use.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.memoize import scope_results
from sdgraph.memory import Component, ComponentKey
from sdgraph.values import Checkpoint, Lora, Part

from . import fingerprints, sizes
from .checkpoint_files import (
    CONFIG_NAMES,
    MODEL_INDEX,
    components_in,
    fetch_missing,
    find_root,
    is_local,
    is_of_variant,
    missing_components,
    weight_files,
)
from .component_classes import allowed_classes, refuse_class
from .config_files import read_config, read_index
from .file_hashes import files_sha256
from .lora_files import fetch_lora
from .part_checks import check_part
from .safetensors_files import TensorShapes, tensor_shapes


@dataclass(frozen=True, eq=False)
class ResolvedCheckpoint:
    """A checkpoint as it is on this disk. A property is read once, unless reading fails.

    Args:
        checkpoint: The name of the checkpoint.
        known_root: Its folder, if that is known already.
    """

    checkpoint: Checkpoint
    known_root: Path | None = None
    _parts: dict[Any, ResolvedPart] = field(default_factory=dict, init=False, repr=False)
    _configs: dict[Any, Mapping[str, Any]] = field(default_factory=dict, init=False, repr=False)
    _hashes: dict[Path, str] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def root(self) -> Path | None:
        """The local folder with the configs; None for a hub checkpoint that must be fetched first.

        Raises CheckpointError for a folder or a shipped name that does not exist and, if the hub is
        switched off, for a checkpoint that is not in its cache.
        """
        return self.known_root or find_root(self.checkpoint)

    @cached_property
    def index(self) -> Mapping[str, Any] | None:
        """The checkpoint's model index, {} for a single model, None if it is not on this disk."""
        if self.root is None:
            return None
        return read_index(self.root / MODEL_INDEX) or {}

    @cached_property
    def components(self) -> tuple[str, ...] | None:
        """The names of a pipeline checkpoint's components; None if it is not on this disk."""
        return None if self.index is None else tuple(self.named_classes)

    @cached_property
    def named_classes(self) -> Mapping[str, tuple[Any, Any]]:
        """The library and the class that the index names for each component."""
        return components_in(self.index or {})

    @cached_property
    def classes(self) -> Mapping[str, str]:
        """The class of each component of the index, without those that are never loaded."""
        return allowed_classes(self.named_classes)

    def config(self, folder: str = "", name: str | None = None) -> Mapping[str, Any] | None:
        """The config of a component, or of a single model (""); None if it is not on this disk.

        Args:
            folder: The component's folder.
            name: The name of the file; None is the usual one of this kind of component.

        Raises:
            CheckpointError: There is no such file, or it is damaged.
        """
        config = self._configs.get((folder, name))
        if config is None and self.root is not None:
            config = self._configs[folder, name] = self._read_config(self.root, folder, name)
        return config

    def _read_config(self, root: Path, folder: str, name: str | None) -> Mapping[str, Any]:
        for file_name in (name,) if name else CONFIG_NAMES:
            config = read_config(os.path.join(root, folder, file_name))  # noqa: PTH118  faster
            if config is not None:
                return config
        what = f"its part {folder!r}" if folder else "it"
        found = f"{what} has no {name or ' or '.join(CONFIG_NAMES[:2])}"
        wanted = "a checkpoint in diffusers' folder layout"
        raise CheckpointError(Problem(self.checkpoint.source, found, wanted))

    @cached_property
    def must_fetch(self) -> bool:
        """Whether something of it must be fetched from the hub before it can be loaded."""
        if isinstance(self.checkpoint, Lora):
            return self.root is None
        if is_local(self.checkpoint):
            return False
        return self.root is None or bool(missing_components(self.checkpoint, self.root))

    def fetch(self) -> ResolvedCheckpoint:
        """Fetches missing files from the hub; returns this object if none are, else a new one.

        Raises CheckpointError if weights of a component are nowhere to be found.
        """
        root = self.root
        if isinstance(self.checkpoint, Lora):
            if root is not None:
                return self
            return ResolvedCheckpoint(self.checkpoint, fetch_lora(self.checkpoint).parent)
        if root is not None and self._is_complete:
            return self
        return ResolvedCheckpoint(self.checkpoint, fetch_missing(self.checkpoint, root))

    @cached_property
    def _is_complete(self) -> bool:
        return self.root is not None and not missing_components(self.checkpoint, self.root)

    @cached_property
    def lora_file(self) -> Path:
        """The file of a LoRA that is on this disk."""
        assert isinstance(self.checkpoint, Lora)
        return fetch_lora(self.checkpoint)

    @cached_property
    def lora_shapes(self) -> TensorShapes | None:
        """The shapes of a LoRA's tensors; None for one on the hub that must be fetched first.

        Raises CheckpointError if there is no such file, or it is damaged.
        """
        return None if self.root is None else tensor_shapes(self.lora_file)

    def hash_files(self, paths: Sequence[Path]) -> tuple[tuple[Path, str], ...]:
        """Some of its files, each with its sha256."""
        unknown = [path for path in paths if path not in self._hashes]
        if unknown:
            self._hashes.update(zip(unknown, files_sha256(unknown), strict=True))
        return tuple([(path, self._hashes[path]) for path in paths])

    @cached_property
    def hashed_files(self) -> tuple[tuple[Path, str], ...]:
        """The files of the whole checkpoint with their sha256; none if it is not on this disk.

        These are the files of its components and of its root, without other folders, in which a
        training keeps its state.
        """
        return self.hash_files(list(fingerprints.checkpoint_files(self)))

    @cached_property
    def content_fingerprint(self) -> str:
        """A hash of all files; of the name and the settings if it is not on this disk."""
        return fingerprints.checkpoint_fingerprint(self)

    @cached_property
    def settings_fingerprint(self) -> str:
        """A hash of the checkpoint's index and of the config of its scheduler."""
        return fingerprints.settings_fingerprint(self)

    def part(self, part: Part) -> ResolvedPart:
        """One of its components."""
        key = tuple(vars(part).values())[1:]  # all but its checkpoint
        resolved = self._parts.get(key)
        if resolved is None:
            resolved = self._parts[key] = ResolvedPart(self, part)
        return resolved


@dataclass(frozen=True, eq=False)
class ResolvedPart:
    """One component of a checkpoint as it is on this disk. A property is read once."""

    owner: ResolvedCheckpoint
    part: Part
    _components: dict[Any, Component] = field(default_factory=dict, init=False, repr=False)

    def __str__(self) -> str:
        return self.name

    @cached_property
    def name(self) -> str:
        """Its name in messages: source and folder, as in tiny/inpaint/unet."""
        return str(self.part)

    @cached_property
    def quantization(self) -> str | None:
        """How its weights are quantized when they are loaded."""
        return self.part.quantization

    @cached_property
    def prepares(self) -> bool:
        """Whether it prepares the input of a single model; then it has no weights."""
        return self.part.prepares

    @cached_property
    def is_lora(self) -> bool:
        """Whether it is a LoRA; diffusers reads its file when the LoRA is applied."""
        return isinstance(self.part.checkpoint, Lora)

    @cached_property
    def folder(self) -> Path | None:
        """The folder with its config; None if it is not on this disk."""
        return None if self.owner.root is None else self.owner.root / self.part.folder

    @cached_property
    def library_and_class(self) -> tuple[str, str]:
        """The library and the class of the component, as its checkpoint names them."""
        part = self.part
        if part.folder:
            if part.folder not in self.owner.named_classes:
                found = f"no part {part.folder!r}"
                wanted = "a checkpoint that has it"
                raise CheckpointError(Problem(part.checkpoint.source, found, wanted))
            library, name = self.owner.named_classes[part.folder]
        elif part.processor:
            library, name = "transformers", "AutoImageProcessor"
        elif part.tokenizer:
            library, name = "transformers", "AutoTokenizer"
        else:
            library, name = _single_model_class(self.owner.config() or {})
        if not self.prepares:
            refuse_class(self.name, part.folder, library, name)
        return library, name

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Its weight files, in order; () if it has none (tokenizers) or is not on this disk.

        A folder with only pickles raises CheckpointError, unless they are allowed.
        """
        if self.folder is None or self.prepares:
            return ()
        return (self.owner.lora_file,) if self.is_lora else weight_files(self.part, self.folder)

    @cached_property
    def file_bytes(self) -> int:
        """The bytes of its weight files; 0 if they are not on this disk.

        They are 0 for a LoRA, of which only the path is in memory until it is applied.
        """
        return 0 if self.is_lora else sum([path.stat().st_size for path in self.files])

    @cached_property
    def hashed_files(self) -> tuple[tuple[Path, str], ...]:
        """The files that decide its fingerprint, with their sha256; none if not on this disk."""
        return self.owner.hash_files(fingerprints.component_files(self))

    @cached_property
    def fingerprint(self) -> str:
        """A hash of its class, its config and the content of its weights.

        Parts of different checkpoints with the same content have the same fingerprint. It does not
        depend on the dtype that the component is loaded in.
        """
        return fingerprints.component_fingerprint(self)

    def component(self, device: str, dtype: str) -> Component:
        """The component for the memory planner, loaded on `device` in `dtype`."""
        component = self._components.get((device, dtype))
        if component is None:
            own_dtype = self.part.checkpoint.dtype or dtype
            own_device = "cpu" if self.part.on_host else device
            key = ComponentKey(self.fingerprint, own_dtype, own_device)
            component = Component(key, self.name, self.footprint(own_dtype), self.file_bytes)
            self._components[device, dtype] = component
        return component

    def footprint(self, dtype: str) -> int:
        """The bytes that it takes when it is loaded in a dtype; 0 if it is not on this disk.

        They are 0 for a LoRA, which diffusers reads when it is applied.
        """
        return 0 if self.is_lora else sizes.footprint(self.part, self.files, dtype)

    def check(self) -> None:
        """Raises CheckpointError if it is on this disk and cannot be used; loads nothing."""
        self._is_checked  # noqa: B018  computed once, like all properties

    @cached_property
    def _is_checked(self) -> bool:
        check_part(self)
        return True

    @cached_property
    def lacks_variant(self) -> bool:
        """Whether its weights are the plain ones, though the checkpoint's variant is set."""
        variant = self.part.checkpoint.variant
        return bool(variant and self.files) and not any(
            is_of_variant(path.name, str(variant)) for path in self.files
        )


def _single_model_class(config: Mapping[str, Any]) -> tuple[str, Any]:
    """The library and the class that the config of a single model names."""
    named = config.get("_class_name")
    if named:
        return "diffusers", named
    architectures = config.get("architectures")
    first = architectures[0] if isinstance(architectures, list) and architectures else None
    return "transformers", first


def resolve(checkpoint: Checkpoint) -> ResolvedCheckpoint:
    """A checkpoint as it is on this disk; the same object within a `memoized_scope`.

    The disk is read when a property of the object is first used.

    Example:
        >>> from sdgraph import Checkpoint
        >>> resolve(Checkpoint("tiny/inpaint")).components[:2]
        ('vae', 'text_encoder')
    """
    memoized = scope_results.get()
    if memoized is None:
        return ResolvedCheckpoint(checkpoint)
    key = (resolve, checkpoint.content)
    resolved: ResolvedCheckpoint | None = memoized.get(key)
    if resolved is None:
        resolved = memoized[key] = ResolvedCheckpoint(checkpoint)
    return resolved


def resolve_part(part: Part) -> ResolvedPart:
    """One component of a checkpoint as it is on this disk."""
    return resolve(part.checkpoint).part(part)


def memoized_resolutions(*checkpoints: ResolvedCheckpoint) -> dict[Any, Any]:
    """The results for a `memoized_scope` in which `resolve` returns these objects."""
    return {(resolve, checkpoint.checkpoint.content): checkpoint for checkpoint in checkpoints}


def fetch_checkpoint(checkpoint: Checkpoint) -> Path:
    """The local folder of a checkpoint with configs and weights, which are fetched if necessary."""
    root = resolve(checkpoint).fetch().root
    assert root is not None
    return root
