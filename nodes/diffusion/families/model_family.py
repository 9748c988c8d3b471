"""A model family: everything that nodes, trainings and plans ask about it, in one object."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from sdgraph.models import resolve
from sdgraph.values import MOTION, Checkpoint

from .control_settings import UNET_CONTROL, ControlSettings
from .family_settings import (
    FamilyVersion,
    Guidance,
    OptionalComponent,
    TextEncoder,
    VideoSettings,
    version_by_config,
    version_by_name,
)
from .guiders import usual_scale
from .ip_adapter_settings import UNET_IP_ADAPTER, IpAdapterSettings
from .lora_names import LoraNames
from .networks import AUTOENCODER, Config, Decoder, Denoiser
from .prompt_encoding import CLIP_ENCODING, PromptEncoding
from .tasks import Adapter, Knob, Purpose
from .tasks import Task as Task


def _no_options(*_: int) -> Mapping[str, object]:
    return {}


def is_never_distilled(index: Config, denoiser: Config) -> bool:
    """No checkpoint of the family needs few steps and no guidance."""
    return False


ZERO_EMPTY_PROMPT = "force_zeros_for_empty_prompt"
"""The setting in a model index that makes the embedding of an empty prompt all zeros."""


@dataclass(frozen=True, kw_only=True)
class ModelFamily:
    """The checkpoints that the same pipelines run.

    Everything that depends on the family of a checkpoint asks this object. A new family is a file
    that makes one and an entry in `FAMILY_INDEX`.

    Args:
        label: The family's usual name.
        class_names: What `_class_name` in a checkpoint's model_index.json begins with.
        pipeline_by_config: The pipeline of a checkpoint by the config of its denoiser, where it is
            not of the kind that its index says; "" otherwise.
        name_hint: A text in the names of its checkpoints, in lower case, by which one that is not
            on this disk yet is recognised; further texts follow after a "|".
        pipelines: The class in diffusers for each task that the family can do.
        animates: The label of the family whose checkpoints it runs with a motion adapter.
        fitting_tasks: Which of the tasks a checkpoint can do, by its index and the config of its
            denoiser; None if all checkpoints can do all of them.
        examples: For tasks that only some checkpoints can do, the name of one that can.
        packages: Packages that the pipeline of a task imports and diffusers does not require.
        task_schedulers: For tasks that do not take all schedulers of the family, those they take
            besides the checkpoint's own.
        times_per_token: Whether the pipeline of a task gives each token a timestep of its own, by
            the checkpoint's index.
        purposes: What checkpoints are for, by the number of channels that the denoiser takes; {}
            if a family is for all of its pipelines' tasks.
        denoiser: The network that runs once per step.
        decoder: The network that decodes latents to pictures.
        text_encoders: The text encoders, in the order in which their features are joined.
        optional: The components that only some checkpoints have.
        join_components: Makes the components of a pipeline from those that were loaded.
        prompt_encoding: How the pipelines embed prompts.
        guidance: How strongly the pipelines follow the prompt.
        steps: The usual number of denoising steps.
        fewest_steps: The fewest denoising steps, by the name of a scheduler or of its class.
        is_distilled: Whether a checkpoint was trained to need few steps and no guidance, by its
            index and the config of its denoiser.
        distilled_steps: The usual number of steps of such a checkpoint.
        few_steps: The usual number of steps of one that was distilled and has no mark of it.
        hidden_state: The index of the text encoder's hidden state that is the embedding, such as
            -2; None for its last one, normalised.
        pooled: Whether the denoiser also takes the last text encoder's pooled embedding.
        index_settings: The settings in a model index that are arguments of the pipelines.
        min_multiple: What sides in pixels are at least a multiple of.
        size: The usual width and height in pixels; None for that in the denoiser's config.
        needs_sides: Whether pipelines must be told both sides, given or not.
        takes_image_size: Whether pipelines that start from a picture are told its size.
        apply_size: Gives a pipeline a width and height that its call cannot be told, and returns
            the arguments that it can be told; None where the call can be told the size.
        flow_matching: Whether it was trained by flow matching (Lipman et al. 2023), which has
            schedulers of its own.
        own_scheduler: Whether only the checkpoint's own scheduler fits, so that none can be named.
        max_pictures: How many pictures an edit may start from.
        video: The videos that its pipelines make; None if they make pictures.
        edit_options: Further arguments of the pipeline that edits, by width and height.
        inpaint_options: Further arguments of the pipeline that inpaints, by width and height.
        reference_area: The pixels for which the denoiser gets tokens of a picture that is edited,
            by the pixels that it has; None if the picture adds no tokens.
        inpaint_size: The width and height in which the pipeline that inpaints makes a picture, by
            those of the picture; None if they are the same.
        call_options: Further arguments of each call of a pipeline, by the number of steps.
        missing_settings: What pipelines read in the denoiser's config and its class does not have.
        control: How its pipelines take ControlNets.
        adapters: The kinds of adapters that fit.
        ip_adapter: How its pipelines take IP-Adapters.
        knobs: The settings of speed and memory that fit.
        caches: The tasks whose pipelines can run with a cache of steps, by the cache's name.
        lora_prefixes: The component that a tensor in a LoRA file is for, by what the tensor's
            name begins with.
        lora_names: How other programs than diffusers name the denoiser's layers in LoRA files.
        versions: The versions, the usual one first.
        shipped: The version of the small checkpoints that ship with sdgraph, `tiny/…`.
    """

    label: str
    class_names: tuple[str, ...]
    pipeline_by_config: Callable[[Config], str] | None = None
    name_hint: str = ""
    pipelines: Mapping[Task, str]
    animates: str = ""
    fitting_tasks: Callable[[Config, Config], Collection[Task]] | None = None
    examples: Mapping[Task, str] = field(default_factory=dict)
    packages: Mapping[Task, tuple[str, ...]] = field(default_factory=dict)
    task_schedulers: Mapping[Task, tuple[str, ...]] = field(default_factory=dict)
    times_per_token: Callable[[Task, Config], bool] | None = None
    purposes: Mapping[int, Purpose] = field(default_factory=dict)
    denoiser: Denoiser
    decoder: Decoder = AUTOENCODER
    text_encoders: tuple[TextEncoder, ...] = (TextEncoder(),)
    optional: tuple[OptionalComponent, ...] = ()
    join_components: Callable[[Mapping[str, Any]], Mapping[str, Any]] = dict
    prompt_encoding: PromptEncoding = CLIP_ENCODING
    guidance: Guidance = field(default_factory=Guidance)
    steps: int = 50
    fewest_steps: Callable[[str], int] = lambda scheduler: 1
    is_distilled: Callable[[Config, Config], bool] = is_never_distilled
    distilled_steps: int = 4
    few_steps: int = 8
    hidden_state: int | None = None
    pooled: bool = False
    index_settings: tuple[str, ...] = ()
    min_multiple: int = 8
    size: tuple[int, int] | None = None
    needs_sides: bool = False
    takes_image_size: bool = False
    apply_size: Callable[[Any, Task, int, int], Mapping[str, object]] | None = None
    flow_matching: bool = False
    own_scheduler: bool = False
    max_pictures: int = 1
    video: VideoSettings | None = None
    edit_options: Callable[[int, int], Mapping[str, object]] = _no_options
    inpaint_options: Callable[[int, int], Mapping[str, object]] = _no_options
    reference_area: Callable[[int], int] | None = None
    inpaint_size: Callable[[int, int], tuple[int, int]] | None = None
    call_options: Callable[[int], Mapping[str, object]] = _no_options
    missing_settings: Mapping[str, object] = field(default_factory=dict)
    control: ControlSettings = UNET_CONTROL
    adapters: tuple[Adapter, ...] = ("lora", "textual-inversion", "ip-adapter", "controlnet")
    ip_adapter: IpAdapterSettings = UNET_IP_ADAPTER
    knobs: tuple[Knob, ...] = (
        "vae",
        "attention",
        "channels_last",
        "compile",
        "layerwise_casting",
    )
    caches: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    lora_prefixes: Mapping[str, str] = field(default_factory=dict)
    lora_names: LoraNames = field(default_factory=LoraNames)
    versions: tuple[FamilyVersion, ...] = ()
    shipped: FamilyVersion = field(default_factory=lambda: FamilyVersion(label="tiny"))

    @property
    def text_components(self) -> tuple[str, ...]:
        """The names of the text encoders, their tokenizers and image processors."""
        return tuple(name for encoder in self.text_encoders for name in encoder.components)

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
        others = {each.name: each.classes for each in self.optional}
        return {
            decoder.name: decoder.classes,
            denoiser.name: denoiser.classes,
            **texts,
            **tokenizers,
            **others,
        }

    @property
    def denoisers(self) -> tuple[str, ...]:
        """The names of the networks that run once per step; many checkpoints have only one."""
        others = (each.name for each in self.optional if each.denoises)
        return (self.denoiser.name, *others)

    def components_of(self, checkpoint: Checkpoint, task: Task | None = None) -> tuple[str, ...]:
        """The names of a checkpoint's components, without those that it leaves out.

        Args:
            checkpoint: The checkpoint.
            task: The task whose pipeline takes them; None for those that all pipelines take.
        """
        left_out = self._left_out(checkpoint)
        names = [name for name in self.components if name not in left_out]
        present = resolve(checkpoint).components if self.optional else None
        for component in self.optional:
            if component.name in {*(present or ()), *checkpoint.parts} and task in (
                component.tasks or (task,)
            ):
                names.append(component.name)
        return tuple(names)

    def tasks_of(self, checkpoint: Checkpoint) -> Collection[Task]:
        """The tasks that a checkpoint can do; those of its family if it is not on this disk."""
        index = resolve(checkpoint).index
        if self.fitting_tasks is None or index is None:
            return self.pipelines.keys()
        return self.fitting_tasks(index, self.denoiser_config(checkpoint))

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
        names = (name for each in optional for name in each.components)
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

    def hints_at(self, source: str) -> int:
        """How many letters of a checkpoint's name suggest that it is of the family; 0 for none."""
        hints = filter(None, self.name_hint.split("|"))
        return max((len(hint) for hint in hints if hint in source.lower()), default=0)

    def max_tokens(self, component: str) -> int | None:
        """How many tokens a tokenizer reads at once; None for other components."""
        limits = {encoder.tokenizer: encoder.max_tokens for encoder in self.text_encoders}
        return limits.get(component)

    def denoiser_config(self, checkpoint: Checkpoint) -> Config:
        """The denoiser's config, {} if it is not on this disk."""
        config = resolve(checkpoint).config(self.denoiser.name) or {}
        if config and MOTION in checkpoint.parts:
            motion = (resolve(checkpoint).config(MOTION) or {}).items()
            return {**config, **{name: n for name, n in motion if name.startswith("motion_")}}
        return config

    def decoder_config(self, checkpoint: Checkpoint) -> Config:
        """The decoder's config, {} if it is not on this disk."""
        return resolve(checkpoint).config(self.decoder.name) or {}

    def usual_steps(self, checkpoint: Checkpoint) -> int:
        """The number of denoising steps that suits a checkpoint."""
        return self.distilled_steps if self._is_distilled(checkpoint) else self.steps

    def usual_guidance(self, checkpoint: Checkpoint) -> float:
        """The scale of guidance that suits a checkpoint."""
        return 0.0 if self._is_distilled(checkpoint) else usual_scale(checkpoint, self.guidance)

    def turbo_steps(self, checkpoint: Checkpoint) -> int:
        """The number of steps that suits a checkpoint that is known to be distilled."""
        return min(self.usual_steps(checkpoint), self.few_steps)

    def turbo_guidance(self, checkpoint: Checkpoint) -> float:
        """The scale of guidance that suits a checkpoint that is known to be distilled."""
        return self.usual_guidance(checkpoint) if self.guidance.embedded else 0.0

    def is_guided(self, checkpoint: Checkpoint, scale: float, task: Task | None = None) -> bool:
        """Whether a step of a task is two passes, of which one follows the negative prompt."""
        guidance, config = self.guidance, self.denoiser_config(checkpoint)
        reads_scale = guidance.embedded or config.get("time_cond_proj_dim")
        if reads_scale and task not in guidance.two_pass_tasks:
            return False
        return scale > guidance.none_up_to and not self._is_distilled(checkpoint)

    def _is_distilled(self, checkpoint: Checkpoint) -> bool:
        return self.is_distilled(resolve(checkpoint).index or {}, self.denoiser_config(checkpoint))

    def step_memory(self, checkpoint: Checkpoint, task: Task | None) -> Callable[..., int]:
        """The formula for the working memory of a step of a task's pipeline."""
        timed, index = self.denoiser.timed_memory, resolve(checkpoint).index or {}
        if timed is None or task is None or self.times_per_token is None:
            return self.denoiser.memory
        return timed if self.times_per_token(task, index) else self.denoiser.memory

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

    def video_for(self, checkpoint: Checkpoint) -> VideoSettings | None:
        """The videos that pipelines make with a checkpoint; None if they make pictures."""
        if self.video is None or self.video.by_config is None:
            return self.video
        index = resolve(checkpoint).index or {}
        return replace(self.video, **self.video.by_config(index, self.denoiser_config(checkpoint)))

    def native_size(self, checkpoint: Checkpoint) -> tuple[int, int]:
        """The width and height in pixels that a checkpoint was trained for, by its configs."""
        if self.size is not None:
            return self.size
        video = self.video_for(checkpoint)
        if video is not None and video.size is not None:
            return video.size
        settings = self.denoiser_config(checkpoint)
        latents = settings.get("sample_size") or self.denoiser.sample_size
        sides = latents if isinstance(latents, list) else [latents]
        height, width = sides[-2:] if len(sides) > 1 else sides * 2
        scale = self.latent_scale(checkpoint)
        return width * scale, height * scale

    def sides(
        self, checkpoint: Checkpoint, width: int | None, height: int | None
    ) -> dict[str, int | None]:
        """The width and height of a picture by name; a native one for each that is not given.

        If one side is given, most pipelines choose the other, which is None here.
        """
        native_width, native_height = self.native_size(checkpoint)
        if (width or height) and not self.needs_sides:
            return {"width": width, "height": height}
        return {"width": width or native_width, "height": height or native_height}

    def size_multiple(self, checkpoint: Checkpoint) -> int:
        """What the sides of its pictures in pixels must be multiples of."""
        if resolve(checkpoint).components is None:
            return self.min_multiple
        patch = self.denoiser.patch(self.denoiser_config(checkpoint))
        return max(self.min_multiple, self.latent_scale(checkpoint) * patch)

    def size_arguments(self, size: tuple[int, int]) -> dict[str, int]:
        """The arguments for the size of a picture that a pipeline starts from; {} if it asks none.

        Args:
            size: Its width and height in pixels.
        """
        return dict(zip(("width", "height"), size, strict=True)) if self.takes_image_size else {}

    def version_of(self, checkpoint: Checkpoint) -> FamilyVersion:
        """The version of a checkpoint, by the width of its text features.

        Shipped checkpoints are a version of their own. For a checkpoint that is not on this disk
        its name decides, or it is the family's first; for an unknown width, a version without
        adapters. A version without a width has any.
        """
        if checkpoint.source.startswith("tiny/"):
            return replace(self.shipped, label=checkpoint.source)
        settings = resolve(checkpoint).config(self.denoiser.name)
        if settings is None and self.versions:
            return version_by_name(self.versions, checkpoint.source)
        return version_by_config(self.versions, settings or {})
