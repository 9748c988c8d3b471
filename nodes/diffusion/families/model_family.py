"""A model family: all that nodes, trainings and plans must know of one, as one frozen object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sdgraph.models import resolve
from sdgraph.values import Checkpoint, ControlMap, Lora

from .networks import AUTOENCODER, Config, Decoder, Denoiser

Task = Literal[
    "text-to-image",
    "image-to-image",
    "inpaint",
    "controlnet",
    "controlnet-image",
    "controlnet-inpaint",
    "depth-to-image",
    "text-to-video",
]
"""What a node asks a pipeline to do."""

Purpose = Literal["text-to-image", "depth-guided", "inpainting", "text-to-video"]
"""What a checkpoint was trained for; its denoiser takes other channels for each."""

Knob = Literal["vae", "attention", "channels_last", "compile", "layerwise_casting"]
"""A setting of speed or memory, as in a node's `tuning`."""

Adapter = Literal["lora", "textual-inversion", "ip-adapter", "controlnet"]
"""What can be put beside a family's own weights."""

ZERO_EMPTY_PROMPT = "force_zeros_for_empty_prompt"
"""The setting in a model index by which the embedding of an empty prompt is all zeros."""


@dataclass(frozen=True, kw_only=True)
class TextEncoder:
    """A text encoder and its tokenizer, by their names in a model index.

    Args:
        name: The text encoder's.
        tokenizer: Its tokenizer's.
        max_tokens: How many tokens it reads at once, where the tokenizer's config does not say.
        inversion: The name of the tensor for this encoder in the files of textual inversions
            that have one for each; "" where files have a single tensor of any name.
    """

    name: str = "text_encoder"
    tokenizer: str = "tokenizer"
    max_tokens: int = 77
    inversion: str = ""


@dataclass(frozen=True, kw_only=True)
class FamilyVersion:
    """Checkpoints of a family that share adapters, which others of it do not fit.

    Args:
        label: The version as people call it.
        text_width: The width of the text features that the denoiser attends to.
        inversion_width: The width of the vectors of textual inversions trained over it.
        controlnets: The ControlNet to take for each kind of control map, a hub id or a shipped
            checkpoint.
        ip_adapter: The IP-Adapter to take where none is named.
    """

    label: str
    text_width: int = 0
    inversion_width: int = 0
    controlnets: Mapping[type[ControlMap], str] = field(default_factory=dict)
    ip_adapter: Lora | None = None


@dataclass(frozen=True, kw_only=True)
class ModelFamily:
    """Checkpoints that the same pipelines run.

    Everything that depends on the family of a checkpoint asks this object; to add one is to write
    a file that makes one and to put it into `FAMILIES`.

    Args:
        label: The family as people call it.
        class_names: What `_class_name` in a checkpoint's model_index.json begins with.
        other_class_names: Longer beginnings that are none of this family's.
        name_hint: What is in the names of its checkpoints, in lower case, for those that are not
            on this disk yet.
        pipelines: The class in diffusers for each task that the family can do.
        purposes: What checkpoints are for, by the channels that the denoiser takes.
        denoiser: The network that runs once a step.
        decoder: The network that makes pictures of latents.
        text_encoders: What reads prompts, in the order in which their features are joined.
        embedding_arguments: The pipelines' arguments for prompt embeddings, in the order in which
            their `encode_prompt` returns them.
        hidden_state: Which hidden state of a text encoder is the embedding, such as -2; None for
            what it returns first.
        pooled: Whether the last text encoder's summary of a prompt is given to the denoiser too.
        index_settings: Settings in a model index that the pipelines take.
        min_multiple: What sides are a multiple of at least, whatever the decoder.
        adapters: What can be put beside the weights.
        knobs: Which settings of speed and memory fit.
        lora_prefixes: What the names of tensors in LoRA files begin with, each with the component
            that those layers are of.
        versions: Its versions, each with its default ControlNets and IP-Adapter.
        shipped: The same for the small checkpoints that ship with sdgraph, `tiny/…`.
    """

    label: str
    class_names: tuple[str, ...]
    other_class_names: tuple[str, ...] = ()
    name_hint: str = ""
    pipelines: Mapping[Task, str]
    purposes: Mapping[int, Purpose]
    denoiser: Denoiser
    decoder: Decoder = AUTOENCODER
    text_encoders: tuple[TextEncoder, ...] = (TextEncoder(),)
    embedding_arguments: tuple[str, ...] = ("prompt_embeds", "negative_prompt_embeds")
    hidden_state: int | None = None
    pooled: bool = False
    index_settings: tuple[str, ...] = ()
    min_multiple: int = 8
    adapters: tuple[Adapter, ...] = ("lora", "textual-inversion", "ip-adapter", "controlnet")
    knobs: tuple[Knob, ...] = (
        "vae",
        "attention",
        "channels_last",
        "compile",
        "layerwise_casting",
    )
    lora_prefixes: Mapping[str, str] = field(default_factory=dict)
    versions: tuple[FamilyVersion, ...] = ()
    shipped: FamilyVersion = field(default_factory=lambda: FamilyVersion(label="tiny"))

    @property
    def text_components(self) -> tuple[str, ...]:
        """The names of the components that read prompts."""
        names = (name for each in self.text_encoders for name in (each.name, each.tokenizer))
        return tuple(names)

    @property
    def components(self) -> tuple[str, ...]:
        """The names of the components that its pipelines compute with, without the scheduler."""
        return (self.decoder.name, self.denoiser.name, *self.text_components)

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of the components that have weights: denoiser, text encoders, decoder."""
        encoders = (each.name for each in self.text_encoders)
        return (self.denoiser.name, *encoders, self.decoder.name)

    @property
    def tokenizers(self) -> tuple[str, ...]:
        """The names of the tokenizers, in the order of their text encoders."""
        return tuple(each.tokenizer for each in self.text_encoders)

    def components_without(self, *names: str) -> tuple[str, ...]:
        """The components but for these: what a training of these leaves as it is."""
        return tuple(name for name in self.components if name not in names)

    def channels_for(self, purpose: Purpose) -> int | None:
        """The channels that the denoiser takes for a purpose, None where it has not that one."""
        return next((count for count, each in self.purposes.items() if each == purpose), None)

    def matches(self, class_name: str) -> int:
        """How many letters of a pipeline's class name match; 0 where it is of another family."""
        if class_name.startswith(self.other_class_names):
            return 0
        own = (len(each) for each in self.class_names if class_name.startswith(each))
        return max(own, default=0)

    def max_tokens(self, component: str) -> int | None:
        """How many tokens a tokenizer reads at once, None for other components."""
        limits = {each.tokenizer: each.max_tokens for each in self.text_encoders}
        return limits.get(component)

    def denoiser_config(self, checkpoint: Checkpoint) -> Config:
        """The denoiser's config, {} while the checkpoint is not here."""
        return resolve(checkpoint).config(self.denoiser.name) or {}

    def decoder_config(self, checkpoint: Checkpoint) -> Config:
        """The decoder's config, {} while the checkpoint is not here."""
        return resolve(checkpoint).config(self.decoder.name) or {}

    def input_channels(self, checkpoint: Checkpoint) -> int:
        """The channels that the denoiser takes; those of plain latents while it is not here."""
        plain = min(self.purposes)
        return int(self.denoiser_config(checkpoint).get("in_channels", plain))

    def purpose_of(self, checkpoint: Checkpoint) -> Purpose | None:
        """What a checkpoint was trained for, None where its channels are of no known purpose."""
        return self.purposes.get(self.input_channels(checkpoint))

    def latent_scale(self, checkpoint: Checkpoint) -> int:
        """By how much a picture's side is longer than that of its latents."""
        return self.decoder.scale(self.decoder_config(checkpoint))

    def native_size(self, checkpoint: Checkpoint) -> tuple[int, int]:
        """The width and height in pixels that a checkpoint was trained for, by its configs."""
        settings = self.denoiser_config(checkpoint)
        latents = int(settings.get("sample_size") or self.denoiser.sample_size)
        side = latents * self.latent_scale(checkpoint)
        return side, side

    def size_multiple(self, checkpoint: Checkpoint) -> int:
        """What the sides of its pictures must be multiples of, by its decoder's config."""
        if resolve(checkpoint).components is None:
            return self.min_multiple
        return max(self.min_multiple, self.latent_scale(checkpoint))

    def version_of(self, checkpoint: Checkpoint) -> FamilyVersion:
        """The version a checkpoint is of, by its text features; shipped ones are one of their own.

        The first of the family while the checkpoint is not here; one without adapters where none
        is known.
        """
        if checkpoint.source.startswith("tiny/"):
            return replace(self.shipped, label=checkpoint.source)
        settings: Mapping[str, Any] | None = resolve(checkpoint).config(self.denoiser.name)
        if settings is None and self.versions:
            return self.versions[0]
        width = int((settings or {}).get("cross_attention_dim") or 0)
        unknown = FamilyVersion(label=f"a base with text features of {width}", text_width=width)
        return next((each for each in self.versions if each.text_width == width), unknown)
