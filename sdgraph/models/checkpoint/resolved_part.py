"""One component of a checkpoint as it is on this disk."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models.formats import sizes
from sdgraph.models.formats.config_files import read_config
from sdgraph.models.formats.gguf_headers import is_gguf
from sdgraph.values import Lora, Part

from . import fingerprints
from .checkpoint_files import is_of_variant, is_tokenizer, weight_files
from .component_classes import is_allowed, precise_layers, refuse_class, role_of
from .component_files import replaced_class
from .files_on_disk import CheckpointOnDisk
from .library_versions import newer_version_advice
from .part_checks import check_part
from .tokenizer_files import VOCABULARY_FILES, is_complete

if TYPE_CHECKING:
    from sdgraph.memory import Component


class PartOwner(CheckpointOnDisk, Protocol):
    """What a component reads of its checkpoint; `ResolvedCheckpoint` implements it."""

    @property
    def index(self) -> Mapping[str, Any] | None: ...  # noqa: D102
    @property
    def vocabulary(self) -> Path | None: ...  # noqa: D102
    @property
    def named_classes(self) -> Mapping[str, tuple[Any, Any]]: ...  # noqa: D102
    @property
    def classes(self) -> Mapping[str, str]: ...  # noqa: D102
    @property
    def class_in_pipeline(self) -> tuple[Any, Any] | None: ...  # noqa: D102
    def fetch(self) -> PartOwner: ...  # noqa: D102
    def part(self, part: Part) -> ResolvedPart: ...  # noqa: D102


@dataclass(frozen=True, eq=False)
class ResolvedPart:
    """One component of a checkpoint as it is on this disk. A property is read once."""

    owner: PartOwner
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
    def tensor_prefix(self) -> str | None:
        """What the names of its tensors begin with in a checkpoint of one file; None in others."""
        single_file = self.owner.single_file
        return None if single_file is None else single_file.prefix_of(self.part.folder)

    @cached_property
    def needs_vocabulary(self) -> bool:
        """Whether it is the tokenizer of a checkpoint of one file, whose configs have no words."""
        if self.owner.single_file is None or self.folder is None:
            return False
        reads_text = is_tokenizer(self.owner.classes.get(self.part.folder, ""))
        return reads_text and self.folder.is_dir() and not is_complete(self.folder)

    @property
    def lacks_vocabulary(self) -> bool:
        """Whether the vocabulary that it needs is not on this disk."""
        return self.needs_vocabulary and self.owner.vocabulary is None

    @property
    def vocabulary_files(self) -> tuple[Path, ...]:
        """The files of the vocabulary that it needs; () if it needs none or they are not here."""
        if not self.needs_vocabulary or self.owner.vocabulary is None:
            return ()
        return tuple(self.owner.vocabulary / name for name in VOCABULARY_FILES)

    def file_name(self, path: Path) -> str:
        """The name of one of its files in a record, which is relative to the checkpoint."""
        single_file, root = self.owner.single_file, self.owner.root or Path()
        if single_file is not None and path == single_file.path:
            return path.name
        if path in self.vocabulary_files:
            return f"{self.part.folder}/{path.name}"
        return path.relative_to(root).as_posix()

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
            if part.component:
                own, base = (library, name), self.owner.class_in_pipeline
                library, name = replaced_class(part.component, own, base)
        if not self.prepares and not is_allowed(role_of(part.component), library, name):
            advice = newer_version_advice(library, self.owner.index, self._own_config)
            refuse_class(self.name, part.component, library, name, advice)
        return library, name

    @property
    def _own_config(self) -> Mapping[str, Any] | None:
        """Its config; None if it has none, or it is not on this disk."""
        return None if self.folder is None else read_config(self.folder / "config.json")

    @cached_property
    def files(self) -> tuple[Path, ...]:
        """Its weight files, in order; () if it has none (tokenizers) or is not on this disk.

        A folder with only pickles raises CheckpointError, unless they are allowed.
        """
        if self.folder is None or self.prepares:
            return ()
        if self.tensor_prefix is not None and self.owner.single_file is not None:
            return (self.owner.single_file.path,)
        return (self.owner.lora_file,) if self.is_lora else weight_files(self.part, self.folder)

    @cached_property
    def file_bytes(self) -> int:
        """The bytes of its weight files; 0 if they are not on this disk.

        In a checkpoint of one file, only its own tensors count. They are 0 for a LoRA, of which
        only the path is in memory until it is applied.
        """
        if self.tensor_prefix is not None:
            return sizes.tensor_bytes(self.files[0], self.tensor_prefix)
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

    @cached_property
    def keeps_blocks(self) -> bool:
        """Whether quantized weights of linear layers in a GGUF file stay so in memory."""
        recast = self.part.casting or self.quantization
        is_file = self.tensor_prefix is not None and not recast
        return is_file and role_of(self.part.component) == "denoiser" and is_gguf(self.files[0])

    def component(self, device: str, dtype: str) -> Component:
        """The component for the memory planner, loaded on `device` in `dtype`."""
        component = self._components.get((device, dtype))
        if component is None:
            from sdgraph.memory import Component, ComponentKey  # a check plans no memory

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
        if self.is_lora:
            return 0
        if not self.files:
            return 0
        own_dtype = self.part.checkpoint.dtype or dtype
        return sizes.footprint(
            self.part,
            self.files,
            dtype,
            self.tensor_prefix,
            in_blocks=self.keeps_blocks,
            precise=precise_layers(*self.library_and_class, own_dtype),
        )

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
