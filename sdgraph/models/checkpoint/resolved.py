"""Checkpoints as they are on this disk; each property is read once.

`resolve` turns the name of a checkpoint into a `ResolvedCheckpoint`. A plan resolves each of its
checkpoints once (see `sdgraph.memoize`); its checks, its keys, the memory planner, the lease and
the loader use that same object. Costly properties (hashes, sizes) are computed at their first use.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError, Problem, did_you_mean
from sdgraph.memoize import memoized_scope, scope_results
from sdgraph.models.formats.config_files import read_config, read_index
from sdgraph.models.formats.file_hashes import files_sha256
from sdgraph.models.formats.safetensors_files import TensorShapes, tensor_shapes
from sdgraph.models.sources.lora_files import fetch_lora
from sdgraph.values import COMPONENTS, MOTION, Checkpoint, ComponentSource, Lora, Part, content_of

from . import fingerprints
from .checkpoint_cache import CheckpointCache
from .checkpoint_files import (
    CONFIG_NAMES,
    MODEL_INDEX,
    SCHEDULER_CONFIG,
    components_in,
    fetch_missing,
    find_root,
    is_local,
    missing_components,
)
from .component_classes import allowed_classes
from .component_files import (
    component_path,
    find_component_file,
    refuse_other_file,
    refuse_pipeline,
)
from .resolved_part import PartOwner, ResolvedPart
from .single_files import MOTION_SCHEDULER, SingleFile, find_single_file, with_settings
from .tokenizer_files import fetch_vocabulary, find_vocabulary


@dataclass(frozen=True, eq=False)
class ResolvedCheckpoint:
    """A checkpoint as it is on this disk. A property is read once, unless reading fails.

    Args:
        checkpoint: The name of the checkpoint.
        known_root: Its folder, if that is known already.
        known_configs: For a component from elsewhere, the folder of the whole checkpoint, if that
            is known already.
    """

    checkpoint: Checkpoint
    known_root: Path | None = None
    known_configs: Path | None = None
    _parts: dict[Any, ResolvedPart] = field(default_factory=dict, init=False, repr=False)
    _configs: dict[Any, Mapping[str, Any]] = field(default_factory=dict, init=False, repr=False)
    _hashes: dict[Path, str] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def single_file(self) -> SingleFile | None:
        """The one file that the checkpoint is; None for a folder or a checkpoint on the hub.

        Raises CheckpointError for a file that is damaged, no checkpoint, or of an unknown base.
        """
        if self.known_root is not None:
            return None
        if not isinstance(self.checkpoint, ComponentSource):
            return find_single_file(self.checkpoint)
        if self._lacks_configs:
            refuse_other_file(self.checkpoint)
            return None
        return find_component_file(self.checkpoint, self._base_root or Path())

    @cached_property
    def _base_root(self) -> Path | None:
        """The folder with the configs of the checkpoint that takes this component."""
        assert isinstance(self.checkpoint, ComponentSource)
        return self.known_configs or resolve(self.checkpoint.base).root

    @property
    def _lacks_configs(self) -> bool:
        """Whether it is the file of a component whose config must be fetched first."""
        checkpoint = self.checkpoint
        if not isinstance(checkpoint, ComponentSource) or component_path(checkpoint) is None:
            return False
        if checkpoint.component == MOTION:  # its header tells its config
            return False
        return checkpoint.config is None and self._base_root is None

    @cached_property
    def root(self) -> Path | None:
        """The local folder with the configs; None for a hub checkpoint that must be fetched first.

        Raises CheckpointError for a folder or a shipped name that does not exist and, if the hub is
        switched off, for a checkpoint that is not in its cache.
        """
        if self.single_file is not None:
            self._refuse_other_parts(self.single_file.configs)
            return self.single_file.configs
        if self._lacks_configs:
            return None
        root = self.known_root or find_root(self.checkpoint)
        self._refuse_other_parts(root)
        return root

    def _refuse_other_parts(self, root: Path | None) -> None:
        """Raises CheckpointError for a part that the pipeline does not have, or a part that is one.

        Args:
            root: Its folder, if that is on this disk.
        """
        checkpoint = self.checkpoint
        is_part = isinstance(checkpoint, ComponentSource)
        if root is None or not (checkpoint.parts or is_part):
            return
        index = read_index(root / MODEL_INDEX)
        if isinstance(checkpoint, ComponentSource):
            if index is not None:
                refuse_pipeline(checkpoint, components_in(index))
            return
        names = [name for name, entry in (index or {}).items() if isinstance(entry, list)]
        for name in checkpoint.parts:
            if name not in names and name != MOTION:  # which is added
                have = ", ".join(each for each in names if each in COMPONENTS)
                wanted = f"one of {have}" if have else "none: it is one model, not a pipeline"
                subject, fix = f"{checkpoint.source}: {name}", did_you_mean(name, names)
                found = f"a {name} from elsewhere, which its pipeline does not have"
                raise CheckpointError(Problem(subject, found, wanted, fix))

    @cached_property
    def vocabulary(self) -> Path | None:
        """The folder in the hub's cache with the vocabulary for tokenizers that have none."""
        return find_vocabulary()

    @cached_property
    def lacks_vocabulary(self) -> bool:
        """Whether it is one file whose tokenizers need a vocabulary that is not on this disk."""
        return self.single_file is not None and any(
            self.part(Part(self.checkpoint, name)).lacks_vocabulary
            for name in self.components or ()
        )

    def path_of(self, name: str) -> Path | None:
        """The path of one of its files, by its name in a record; None if it is not on this disk."""
        if self.root is None:
            return None
        if self.single_file is not None and name == self.single_file.path.name:
            return self.single_file.path
        path = self.root / name
        if self.single_file is not None and not path.exists() and self.vocabulary is not None:
            return self.vocabulary / path.name
        return path

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
        """The library and the class of each component: as the index names it, or its own.

        A component from elsewhere that is not on this disk has the class in the index.
        """
        named = components_in(self.index or {})
        for name in self.checkpoint.parts if self.index else ():
            part = resolve_part(Part(self.checkpoint, name))
            if part.folder is not None:
                named[name] = part.library_and_class
        return named

    @cached_property
    def class_in_pipeline(self) -> tuple[Any, Any] | None:
        """For a component from elsewhere, the library and class in the index of its pipeline."""
        checkpoint = self.checkpoint
        if not isinstance(checkpoint, ComponentSource):
            return None
        return components_in(resolve(checkpoint.base).index or {}).get(checkpoint.component)

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
        if folder in self.checkpoint.parts:
            return resolve_part(Part(self.checkpoint, folder)).owner.config("", name)
        config = self._configs.get((folder, name))
        if config is None and self.root is not None:
            config = self._configs[folder, name] = self._read_config(self.root, folder, name)
        return config

    def _read_config(self, root: Path, folder: str, name: str | None) -> Mapping[str, Any]:
        for file_name in (name,) if name else CONFIG_NAMES:
            config = read_config(os.path.join(root, folder, file_name))  # noqa: PTH118  faster
            if config is not None:
                is_scheduler = file_name == SCHEDULER_CONFIG
                settings = self.scheduler_settings if is_scheduler else {}
                return with_settings(config, settings) if settings else config
        what = f"its part {folder!r}" if folder else "it"
        found = f"{what} has no {name or ' or '.join(CONFIG_NAMES[:2])}"
        wanted = "a checkpoint in diffusers' folder layout"
        raise CheckpointError(Problem(self.checkpoint.source, found, wanted))

    @cached_property
    def scheduler_settings(self) -> Mapping[str, Any]:
        """What the checkpoint itself says about its scheduler, over the scheduler's config."""
        settings = {} if self.single_file is None else dict(self.single_file.scheduler_settings)
        if MOTION in self.checkpoint.parts:
            settings |= MOTION_SCHEDULER
        if self.checkpoint.prediction_type is not None:
            settings["prediction_type"] = self.checkpoint.prediction_type
        return settings

    @cached_property
    def must_fetch(self) -> bool:
        """Whether something of it must be fetched from the hub before it can be loaded."""
        if isinstance(self.checkpoint, Lora):
            return self.root is None
        if self._lacks_configs:
            return True
        if self.single_file is not None:
            return self.lacks_vocabulary
        if is_local(self.checkpoint):
            return False
        return self.root is None or bool(missing_components(self.checkpoint, self.root))

    @property
    def checkpoint_to_fetch(self) -> Checkpoint:
        """The checkpoint that must be fetched: itself, or the one whose config its file needs."""
        if isinstance(self.checkpoint, ComponentSource) and self._lacks_configs:
            return self.checkpoint.base
        return self.checkpoint

    def fetch(self) -> ResolvedCheckpoint:
        """Fetches missing files from the hub; returns this object if none are, else a new one.

        Raises CheckpointError if weights of a component are nowhere to be found.
        """
        root = self.root
        if isinstance(self.checkpoint, Lora):
            if root is not None:
                return self
            return ResolvedCheckpoint(self.checkpoint, fetch_lora(self.checkpoint).parent)
        if self._lacks_configs and isinstance(self.checkpoint, ComponentSource):
            configs = resolve(self.checkpoint.base).fetch().root
            return ResolvedCheckpoint(self.checkpoint, known_configs=configs)
        if self.single_file is not None:
            if not self.lacks_vocabulary:
                return self
            fetch_vocabulary()
            return ResolvedCheckpoint(self.checkpoint)
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
        own = fingerprints.checkpoint_fingerprint(self)
        parts = [resolve_part(Part(self.checkpoint, name)) for name in self.checkpoint.parts]
        return content_of((own, *(part.fingerprint for part in parts))) if parts else own

    @cached_property
    def settings_fingerprint(self) -> str:
        """A hash of the checkpoint's index and of the config of its scheduler."""
        return fingerprints.settings_fingerprint(self)

    def part(self, part: Part) -> ResolvedPart:
        """One of its components; one from elsewhere is that of its own source."""
        if part.component not in ("", part.folder) and part.checkpoint != self.checkpoint:
            return resolve_part(part)
        key = tuple(vars(part).values())[1:]  # all but its checkpoint
        resolved = self._parts.get(key)
        if resolved is None:
            resolved = self._parts[key] = ResolvedPart(self, part)
        return resolved


def resolve(checkpoint: Checkpoint) -> ResolvedCheckpoint:
    """A checkpoint as it is on this disk; the same object within a `memoized_scope`.

    The disk is read when a property of the object is first used. In the scope of a session it may
    be the object of an earlier run (see `checkpoint_cache`).

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
        resolved = ResolvedCheckpoint(checkpoint)
        kept: CheckpointCache | None = memoized.get(CheckpointCache)
        memoized[key] = resolved = resolved if kept is None else kept.latest(resolved)
    return resolved


def resolve_part(part: Part) -> ResolvedPart:
    """One component of a checkpoint as it is on this disk."""
    return resolve(part.checkpoint).part(part)


@contextmanager
def session_scope(kept: CheckpointCache) -> Iterator[None]:
    """A `memoized_scope` in which checkpoints that did not change are those of earlier runs.

    Args:
        kept: The checkpoints that the session keeps.
    """
    with memoized_scope():
        results = scope_results.get()
        assert results is not None, "this is within a scope"
        results[CheckpointCache] = kept
        yield


def memoized_resolutions(*checkpoints: PartOwner) -> dict[Any, Any]:
    """The results for a `memoized_scope` in which `resolve` returns these objects."""
    return {(resolve, checkpoint.checkpoint.content): checkpoint for checkpoint in checkpoints}


def fetch_checkpoint(checkpoint: Checkpoint) -> Path:
    """The local folder of a checkpoint with configs and weights, which are fetched if necessary."""
    root = resolve(checkpoint).fetch().root
    assert root is not None
    return root
