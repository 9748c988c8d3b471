"""The components of checkpoints, as nodes ask for them, and where their weights come from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Any, ClassVar

from .checkpoint import Checkpoint


class ComponentSource(Checkpoint):
    """Where one component of a checkpoint comes from, if it is from elsewhere.

    It is made by `Part` from the `parts` of a checkpoint.

    Args:
        source: A folder, a safetensors file or a hub id.
        component: The component's name, such as "vae".
        base: The whole checkpoint. Its dtype and quantizations apply; the component's config is
            used for a file, which has none.
        fields: The other fields of a checkpoint.
    """

    FIELDS: ClassVar[tuple[str, ...]] = (
        "source",
        "revision",
        "variant",
        "dtype",
        "subfolder",
        "config",
        "component",
        "base",
    )
    PART_NAMES: ClassVar[tuple[str, ...]] = ()

    component: str
    base: Checkpoint

    def __init__(
        self, source: str | PurePath, *, component: str, base: object, **fields: Any
    ) -> None:
        whole = Checkpoint.parse(base)
        dtype = fields.pop("dtype", None) or whole.dtype
        super().__init__(
            source,
            dtype=dtype,
            quantization=whole.quantization,
            text_quantization=whole.text_quantization,
            **fields,
        )
        self.__dict__.update(component=component, base=whole)


@dataclass(frozen=True)
class Part:
    """One component of a checkpoint, as a node asks for it in `parts`.

    A component that the checkpoint takes from elsewhere is that single model: the `checkpoint` is
    then a `ComponentSource`, and the `folder` is "".

    Args:
        checkpoint: The checkpoint.
        folder: The component's folder in it, such as "unet"; "" for a checkpoint that is one model.

    Example:
        >>> Part(Checkpoint("tiny/text-to-image"), "unet").folder
        'unet'
    """

    checkpoint: Checkpoint
    folder: str = ""
    on_host: bool = False
    """Whether it is kept in host memory, for nodes that move it to the device themselves."""
    processor: bool = False
    """Whether it is the processor that prepares pictures for a single model, not the model."""
    tokenizer: bool = False
    """Whether it is the tokenizer that prepares text for a single model, not the model."""
    casting: str | None = None
    """The dtype in which its layers are stored, if they are cast to another one for computing."""
    uncast_layers: tuple[str, ...] = ()
    """Regular expressions of the names of layers that `casting` does not apply to."""
    quantized: bool = False
    """Whether the checkpoint's quantization applies to it; in a pipeline only to the denoiser."""
    encodes_text: bool = False
    """Whether the checkpoint's quantization of text encoders applies to it."""
    partial: bool = False
    """Whether its files may lack the weights of some layers, which some recognisers never use."""
    max_tokens: int | None = None
    """How many tokens a tokenizer reads at once, if its own config does not say."""

    def __post_init__(self) -> None:
        own = self.checkpoint.parts.get(self.folder)
        if own is not None:
            source = ComponentSource(**own.fields, component=self.folder, base=self.checkpoint)
            object.__setattr__(self, "checkpoint", source)
            object.__setattr__(self, "folder", "")

    @property
    def component(self) -> str:
        """The component's name in its pipeline; "" for a checkpoint that is one model."""
        checkpoint = self.checkpoint
        return checkpoint.component if isinstance(checkpoint, ComponentSource) else self.folder

    @property
    def prepares(self) -> bool:
        """Whether it prepares the input of a single model; then it has no weights."""
        return self.processor or self.tokenizer

    @property
    def quantization(self) -> str | None:
        """The checkpoint's quantization, if it applies to this part."""
        if self.encodes_text:
            return self.checkpoint.text_quantization
        return self.checkpoint.quantization if self.quantized else None

    def __str__(self) -> str:
        checkpoint = self.checkpoint
        folder = checkpoint.subfolder if isinstance(checkpoint, ComponentSource) else self.folder
        named = getattr(checkpoint, "file", None) or folder
        name = named or ("processor" if self.processor else "tokenizer" if self.tokenizer else "")
        return f"{checkpoint.source}/{name}" if name else checkpoint.source
