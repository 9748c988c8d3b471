"""A model family: everything that nodes, trainings and plans ask about it, in one object."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sdgraph.models import resolve
from sdgraph.values import Checkpoint

from .family_settings import FamilyVersion, Guidance, TextEncoder, VideoSettings
from .networks import AUTOENCODER, Config, Decoder, Denoiser
from .prompt_encoding import CLIP_ENCODING, PromptEncoding

Task = Literal[
    "text-to-image",
    "image-to-image",
    "inpaint",
    "controlnet",
    "controlnet-image",
    "controlnet-inpaint",
    "depth-to-image",
    "edit",
    "text-to-video",
]
"""What a node asks a pipeline to do."""

Purpose = Literal["text-to-image", "depth-guided", "inpainting", "text-to-video"]
"""What a checkpoint was trained for; its denoiser takes other channels for each."""

Knob = Literal["vae", "attention", "channels_last", "compile", "layerwise_casting"]
"""A setting of speed or memory, as in a node's `tuning`."""

Adapter = Literal["lora", "textual-inversion", "ip-adapter", "controlnet"]
"""A kind of adapter that can be added to a family's weights."""


def _no_options(width: int, height: int) -> Mapping[str, object]:
    return {}


def _is_never_distilled(index: Config, denoiser: Config) -> bool:
    return False


ZERO_EMPTY_PROMPT = "force_zeros_for_empty_prompt"
"""The setting in a model index that makes the embedding of an empty prompt all zeros."""


@dataclass(frozen=True, kw_only=True)
class ModelFamily:
    """The checkpoints that the same pipelines run.

    Everything that depends on the family of a checkpoint asks this object. A new family is a file
    that makes one and an entry in `FAMILIES`.

    Args:
        label: The family's usual name.
        class_names: What `_class_name` in a checkpoint's model_index.json begins with.
        name_hint: A text in the names of its checkpoints, in lower case, by which one that is not
            on this disk yet is recognised.
        pipelines: The class in diffusers for each task that the family can do.
        purposes: What checkpoints are for, by the number of channels that the denoiser takes; {}
            if a family is for all of its pipelines' tasks.
        denoiser: The network that runs once per step.
        decoder: The network that decodes latents to pictures.
        text_encoders: The text encoders, in the order in which their features are joined.
        prompt_encoding: How the pipelines embed prompts.
        guidance: How strongly the pipelines follow the prompt.
        steps: The usual number of denoising steps.
        is_distilled: Whether a checkpoint was trained to need few steps and no guidance, by its
            index and the config of its denoiser.
        distilled_steps: The usual number of steps of such a checkpoint.
        hidden_state: The index of the text encoder's hidden state that is the embedding, such as
            -2; None for its last one, normalised.
        pooled: Whether the denoiser also takes the last text encoder's pooled embedding.
        index_settings: The settings in a model index that are arguments of the pipelines.
        min_multiple: What sides in pixels are at least a multiple of.
        takes_image_size: Whether pipelines that start from a picture are told its size.
        flow_matching: Whether it was trained by flow matching (Lipman et al. 2023), which has
            schedulers of its own.
        max_pictures: How many pictures an edit may start from.
        video: The videos that its pipelines make; None if they make pictures.
        edit_options: Further arguments of the pipeline that edits, by width and height.
        adapters: The kinds of adapters that fit.
        knobs: The settings of speed and memory that fit.
        lora_prefixes: The component that a tensor in a LoRA file is for, by what the tensor's
            name begins with.
        versions: The versions, the usual one first.
        shipped: The version of the small checkpoints that ship with sdgraph, `tiny/…`.
    """

    label: str
    class_names: tuple[str, ...]
    name_hint: str = ""
    pipelines: Mapping[Task, str]
    purposes: Mapping[int, Purpose] = field(default_factory=dict)
    denoiser: Denoiser
    decoder: Decoder = AUTOENCODER
    text_encoders: tuple[TextEncoder, ...] = (TextEncoder(),)
    prompt_encoding: PromptEncoding = CLIP_ENCODING
    guidance: Guidance = field(default_factory=Guidance)
    steps: int = 50
    is_distilled: Callable[[Config, Config], bool] = _is_never_distilled
    distilled_steps: int = 4
    hidden_state: int | None = None
    pooled: bool = False
    index_settings: tuple[str, ...] = ()
    min_multiple: int = 8
    takes_image_size: bool = False
    flow_matching: bool = False
    max_pictures: int = 1
    video: VideoSettings | None = None
    edit_options: Callable[[int, int], Mapping[str, object]] = _no_options
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
        """The names of the text encoders and tokenizers."""
        pairs = ((encoder.name, encoder.tokenizer) for encoder in self.text_encoders)
        return tuple(name for pair in pairs for name in pair)

    @property
    def components(self) -> tuple[str, ...]:
        """The names of the components that pipelines compute with, without the scheduler."""
        return (self.decoder.name, self.denoiser.name, *self.text_components)

    @property
    def networks(self) -> tuple[str, ...]:
        """The names of the components that have weights: denoiser, text encoders, decoder."""
        encoders = (encoder.name for encoder in self.text_encoders)
        return (self.denoiser.name, *encoders, self.decoder.name)

    @property
    def tokenizers(self) -> tuple[str, ...]:
        """The names of the tokenizers, in the order of their text encoders."""
        return tuple(encoder.tokenizer for encoder in self.text_encoders)

    @property
    def classes(self) -> Mapping[str, tuple[str, ...]]:
        """The classes that each component may have; () for any that its role allows."""
        texts = {encoder.name: encoder.classes for encoder in self.text_encoders}
        tokenizers = {each.tokenizer: each.tokenizer_classes for each in self.text_encoders}
        denoiser, decoder = self.denoiser, self.decoder
        return {
            decoder.name: decoder.classes,
            denoiser.name: denoiser.classes,
            **texts,
            **tokenizers,
        }

    def components_of(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """The names of a checkpoint's components, without those that it leaves out."""
        left_out = self._left_out(checkpoint)
        return tuple(name for name in self.components if name not in left_out)

    def text_components_of(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """The names of a checkpoint's text encoders and tokenizers."""
        left_out = self._left_out(checkpoint)
        return tuple(name for name in self.text_components if name not in left_out)

    def _left_out(self, checkpoint: Checkpoint) -> tuple[str, ...]:
        """The optional components that a checkpoint's index does not have."""
        optional = [encoder for encoder in self.text_encoders if encoder.optional]
        present = resolve(checkpoint).components if optional else None
        if present is None:
            return ()
        names = (name for each in optional for name in (each.name, each.tokenizer))
        return tuple(name for name in names if name not in present)

    def components_without(self, *names: str) -> tuple[str, ...]:
        """The names of all other components, such as those that a training does not change."""
        return tuple(name for name in self.components if name not in names)

    def channels_for(self, purpose: Purpose) -> int | None:
        """The number of channels that the denoiser takes for a purpose; None if it has none."""
        counts = (count for count, name in self.purposes.items() if name == purpose)
        return next(counts, None)

    def matches(self, class_name: str) -> int:
        """How many letters of a pipeline's class name match; 0 if it is of another family."""
        lengths = (len(name) for name in self.class_names if class_name.startswith(name))
        return max(lengths, default=0)

    def max_tokens(self, component: str) -> int | None:
        """How many tokens a tokenizer reads at once; None for other components."""
        limits = {encoder.tokenizer: encoder.max_tokens for encoder in self.text_encoders}
        return limits.get(component)

    def denoiser_config(self, checkpoint: Checkpoint) -> Config:
        """The denoiser's config, {} if it is not on this disk."""
        return resolve(checkpoint).config(self.denoiser.name) or {}

    def decoder_config(self, checkpoint: Checkpoint) -> Config:
        """The decoder's config, {} if it is not on this disk."""
        return resolve(checkpoint).config(self.decoder.name) or {}

    def usual_steps(self, checkpoint: Checkpoint) -> int:
        """The number of denoising steps that suits a checkpoint."""
        return self.distilled_steps if self._is_distilled(checkpoint) else self.steps

    def usual_guidance(self, checkpoint: Checkpoint) -> float:
        """The scale of guidance that suits a checkpoint."""
        return 0.0 if self._is_distilled(checkpoint) else self.guidance.scale

    def is_guided(self, checkpoint: Checkpoint, scale: float) -> bool:
        """Whether a step is two passes, of which one follows the negative prompt."""
        guidance = self.guidance
        if guidance.embedded or self._is_distilled(checkpoint):
            return False
        return scale > guidance.none_up_to

    def _is_distilled(self, checkpoint: Checkpoint) -> bool:
        return self.is_distilled(resolve(checkpoint).index or {}, self.denoiser_config(checkpoint))

    def input_channels(self, checkpoint: Checkpoint) -> int:
        """The number of channels that the denoiser takes; the fewest if it is not on this disk."""
        fewest = min(self.purposes, default=0)
        return int(self.denoiser_config(checkpoint).get("in_channels", fewest))

    def purpose_of(self, checkpoint: Checkpoint) -> Purpose | None:
        """What a checkpoint was trained for; None for an unknown number of channels."""
        return self.purposes.get(self.input_channels(checkpoint))

    def latent_scale(self, checkpoint: Checkpoint) -> int:
        """The length of a picture's side divided by that of its latents."""
        return self.decoder.scale(self.decoder_config(checkpoint))

    def native_size(self, checkpoint: Checkpoint) -> tuple[int, int]:
        """The width and height in pixels that a checkpoint was trained for, by its configs."""
        if self.video is not None and self.video.size is not None:
            return self.video.size
        settings = self.denoiser_config(checkpoint)
        latents = settings.get("sample_size") or self.denoiser.sample_size
        sides = latents if isinstance(latents, list) else [latents]
        height, width = sides[-2:] if len(sides) > 1 else sides * 2
        scale = self.latent_scale(checkpoint)
        return width * scale, height * scale

    def size_multiple(self, checkpoint: Checkpoint) -> int:
        """What the sides of its pictures in pixels must be multiples of."""
        if resolve(checkpoint).components is None:
            return self.min_multiple
        return max(self.min_multiple, self.latent_scale(checkpoint))

    def size_arguments(self, size: tuple[int, int]) -> dict[str, int]:
        """The arguments for the size of a picture that a pipeline starts from; {} if it asks none.

        Args:
            size: Its width and height in pixels.
        """
        return dict(zip(("width", "height"), size, strict=True)) if self.takes_image_size else {}

    def version_of(self, checkpoint: Checkpoint) -> FamilyVersion:
        """The version of a checkpoint, by the width of its text features.

        Shipped checkpoints are a version of their own. For a checkpoint that is not on this disk
        it is the family's first; for an unknown width, a version without adapters.
        """
        if checkpoint.source.startswith("tiny/"):
            return replace(self.shipped, label=checkpoint.source)
        settings: Mapping[str, Any] | None = resolve(checkpoint).config(self.denoiser.name)
        if settings is None and self.versions:
            return self.versions[0]
        width = int((settings or {}).get("cross_attention_dim") or 0)
        unknown = FamilyVersion(label=f"a base with text features of {width}", text_width=width)
        return next((version for version in self.versions if version.text_width == width), unknown)
