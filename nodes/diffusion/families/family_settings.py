"""What a model family consists of: text encoders, optional components, guidance, videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sdgraph.errors import Problem
from sdgraph.values import ControlMap, Lora

from .networks import Config


@dataclass(frozen=True, kw_only=True)
class TextEncoder:
    """A text encoder and its tokenizer, by their names in a model index.

    Args:
        name: The name of the text encoder.
        tokenizer: The name of its tokenizer.
        max_tokens: The number of tokens that it reads at once, if the tokenizer's config does not
            say.
        inversion: The name of the tensor for this encoder in files of textual inversions with a
            tensor for each encoder; "" if files have a single tensor of any name.
        optional: Whether a checkpoint may leave it out.
        classes: The classes that it may have, in transformers.
        tokenizer_classes: The classes that its tokenizer may have, in transformers.
        words_read: What of a prompt it reads; None if it reads all of it.
        processor: The name of the image processor of a text encoder that sees pictures; "" if it
            reads words alone.
    """

    name: str = "text_encoder"
    tokenizer: str = "tokenizer"
    max_tokens: int = 77
    inversion: str = ""
    optional: bool = False
    classes: tuple[str, ...] = ("CLIPTextModel", "CLIPTextModelWithProjection")
    tokenizer_classes: tuple[str, ...] = ("CLIPTokenizer", "CLIPTokenizerFast")
    words_read: Callable[[str], str] | None = None
    processor: str = ""

    @property
    def components(self) -> tuple[str, ...]:
        """The names of its components: itself, its tokenizer, and its image processor if any."""
        return (self.name, self.tokenizer, *filter(None, [self.processor]))


def keep_size(steps: int) -> Mapping[str, object]:
    """Makes a pipeline keep the size, which it would change to one of its training.

    Args:
        steps: The number of steps, on which it does not depend.
    """
    return {"use_resolution_binning": False}


@dataclass(frozen=True, kw_only=True)
class OptionalComponent:
    """A component that only some checkpoints of a family have.

    Args:
        name: Its name in a model index.
        classes: The classes that it may have; () for any that its role allows.
        tasks: The tasks whose pipelines take it; () for all.
        denoises: Whether it is a second denoiser, which takes over at low noise.
        required: Whether all checkpoints have it.
    """

    name: str
    classes: tuple[str, ...] = ()
    tasks: tuple[str, ...] = ()
    denoises: bool = False
    required: bool = False


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """How strongly a family's pipelines follow the prompt.

    Args:
        argument: The pipelines' argument for the scale; "" if they take none.
        scale: The usual scale.
        embedded: Whether the scale is a number that the denoiser reads, so that a step is one pass
            and there is no negative prompt. Otherwise it is classifier-free guidance (Ho & Salimans
            2022), with which a step is two passes, one with the negative prompt.
        none_up_to: The largest scale without classifier-free guidance.
        in_turn: Whether the two passes run one after the other, and not as one batch.
        rescaled_tasks: The tasks whose pipelines can rescale the guided result
            (`guidance_rescale`).
        skipping_tasks: The tasks whose pipelines can guide away from a pass without some layers
            (`skip_guidance_layers`).
        two_pass_tasks: The tasks whose pipelines do classifier-free guidance even if the denoiser
            reads the scale (`embedded`, or a U-Net with `time_cond_proj_dim`).
        guider: The name of the component that guides, where the pipelines take no scale; "" if
            they take one.
        image_argument: The pipelines' argument for how closely a picture that is edited is
            followed; "" if they take none. With it a step is three passes.
        image_scale: The usual number for it.
        unguided_options: Further arguments of a call without guidance.
    """

    argument: str = "guidance_scale"
    scale: float = 7.5
    embedded: bool = False
    none_up_to: float = 1.0
    in_turn: bool = False
    rescaled_tasks: tuple[str, ...] = ()
    skipping_tasks: tuple[str, ...] = ()
    two_pass_tasks: tuple[str, ...] = ()
    guider: str = ""
    image_argument: str = ""
    image_scale: float = 1.5
    unguided_options: Mapping[str, object] = field(default_factory=dict)

    @property
    def batch(self) -> int:
        """How many pictures the denoiser gets at once for each one that is made with guidance."""
        if self.in_turn:
            return 1
        return 3 if self.image_argument else 2


def _first_and_last(frames: Mapping[int, Any]) -> Mapping[str, Any]:
    return {"image": frames[min(frames)], "last_image": frames[max(frames)]}


def _video_and_strength(frames: Sequence[Any], strength: float) -> Mapping[str, Any]:
    return {"video": frames, "strength": strength}


def _video(frames: Sequence[Any], scale: float) -> Mapping[str, Any]:
    return {"video": frames}


@dataclass(frozen=True, kw_only=True)
class VideoControlSettings:
    """How a family's pipelines take a video that the result follows.

    Args:
        arguments: The arguments for its frames, by the frames and by how strongly they are
            followed.
        max_scale: The most strongly that they can be followed; 0 if that cannot be set.
        takes_masks: Whether they also take a mask for each frame, pictures of what it shows, and a
            number of frames instead of a video.
        adds_tokens: Whether the denoiser gets as many tokens of it as of the result.
        by_lora: Whether it is followed only with a LoRA that was made for its kind.
    """

    arguments: Callable[[Sequence[Any], float], Mapping[str, Any]] = _video
    max_scale: float = 0.0
    takes_masks: bool = False
    adds_tokens: bool = False
    by_lora: bool = False


@dataclass(frozen=True, kw_only=True)
class PipelineOption:
    """A field of nodes that only the pipelines of some families read.

    Args:
        argument: The pipelines' argument; "" for the name of the field.
        default: The usual value; None leaves it to the pipeline.
    """

    argument: str = ""
    default: float | None = None


@dataclass(frozen=True, kw_only=True)
class VideoSettings:
    """The videos that a family's pipelines make.

    Args:
        frames: The usual number of frames.
        frame_step: The number of frames is a multiple of it, plus 1; 1 for any number.
        max_frames: The largest number of frames; 0 for any number.
        frames_by: What has places for so many frames, for messages.
        latent_step: How many frames each frame of latents stands for, besides the first; 0 for
            `frame_step`.
        fps: The usual number of frames per second.
        size: The usual width and height in pixels; None for that in the denoiser's config.
        only_size: Whether the checkpoint can make videos of that size alone.
        fps_argument: The pipelines' argument for the frames per second; "" if they take none.
        by_config: Further settings of a checkpoint, by its index and the config of its denoiser.
        frame_arguments: The arguments of the pipeline for "frames-to-video", by a mapping of
            pictures by the numbers of their frames.
        left_out_frames: How many more frames the pipeline makes than it returns.
        first_options: Further arguments of the pipeline for "image-to-video".
        options: The fields of nodes for videos that its pipelines read and others do not.
        takes_frames_between: Whether it takes frames between the first and the last.
        picture_step: In how many frames there is one place for a picture, besides the first.
        video_arguments: The arguments of the pipeline for "video-to-video", by the frames of the
            video and by how much changes, 0..1.
        control: How the pipeline for "video-control" takes the video to follow.
    """

    frames: int = 16
    frame_step: int = 1
    max_frames: int = 0
    frames_by: str = ""
    latent_step: int = 0
    fps: float = 8.0
    size: tuple[int, int] | None = None
    only_size: bool = False
    fps_argument: str = ""
    by_config: Callable[[Config, Config], Mapping[str, Any]] | None = None
    frame_arguments: Callable[[Mapping[int, Any]], Mapping[str, Any]] = _first_and_last
    left_out_frames: int = 0
    first_options: Mapping[str, object] = field(default_factory=dict)
    options: Mapping[str, PipelineOption] = field(default_factory=dict)
    takes_frames_between: bool = False
    picture_step: int = 1
    video_arguments: Callable[[Sequence[Any], float], Mapping[str, Any]] = _video_and_strength
    control: VideoControlSettings = field(default_factory=VideoControlSettings)

    def nearest_frames(self, frames: float) -> int:
        """The number of frames that is possible and next to a wanted one.

        Example:
            >>> VideoSettings(frame_step=4).nearest_frames(50)
            49
        """
        return max(0, round((frames - 1) / self.frame_step)) * self.frame_step + 1

    def most_frames(self, frames: int) -> int:
        """The largest number of frames that is possible, up to a number of at least 1.

        Example:
            >>> VideoSettings(frame_step=4).most_frames(52)
            49
        """
        return max(1, (frames - 1) // self.frame_step * self.frame_step + 1)

    def left_out_warnings(self, field: str, frames: int) -> Iterator[Problem]:
        """The warning of the last frames of a video, which are more than can be made."""
        if (left := frames - self.most_frames(frames)) > 0:
            found = f"{frames} frames, of which the last {left} are left out"
            yield Problem(field, found, f"a multiple of {self.frame_step}, plus 1")

    def latent_frames(self, frames: int) -> int:
        """The number of frames of latents; of the others each stands for `latent_step` frames."""
        return (frames - 1) // (self.latent_step or self.frame_step) + 1


@dataclass(frozen=True, kw_only=True)
class FamilyVersion:
    """The checkpoints of a family that share adapters; other versions need other adapters.

    Args:
        label: The version's usual name.
        text_width: The width of the text features that the denoiser attends to.
        fits: Whether a checkpoint is of the version, by its denoiser's config; None for any.
        name_hint: A text in the names of its checkpoints, in lower case, by which one that is not
            on this disk yet is recognised; "" for none.
        inversion_width: The width of the vectors of textual inversions for it.
        controlnets: The default ControlNet for each kind of control map: a hub id or a shipped
            checkpoint.
        repainting_controlnet: The default ControlNet that reads a picture and a mask and no map;
            "" if the family has none.
        ip_adapter: The default IP-Adapter.
    """

    label: str
    text_width: int = 0
    fits: Callable[[Config], bool] | None = None
    name_hint: str = ""
    inversion_width: int = 0
    controlnets: Mapping[type[ControlMap], str] = field(default_factory=dict)
    repainting_controlnet: str = ""
    ip_adapter: Lora | None = None


def version_by_name(versions: Sequence[FamilyVersion], source: str) -> FamilyVersion:
    """The version that a checkpoint's name suggests; the first one if it suggests none.

    Args:
        versions: The versions of a family, at least one.
        source: The name.
    """
    name = source.lower()
    hinted = (each for each in versions if each.name_hint and each.name_hint in name)
    return next(hinted, versions[0])


def version_by_config(versions: Sequence[FamilyVersion], denoiser: Config) -> FamilyVersion:
    """The version of a checkpoint by its denoiser's config; one without adapters if none fits.

    Args:
        versions: The versions of a family.
        denoiser: The config.
    """
    width = int(denoiser.get("cross_attention_dim") or 0)
    for version in versions:
        is_fitting = version.fits is None or version.fits(denoiser)
        if version.text_width in (0, width) and is_fitting:
            return version
    return FamilyVersion(label=f"a base with text features of {width}", text_width=width)
