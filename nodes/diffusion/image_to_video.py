"""Generates videos that begin with a picture, and may come to others."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from itertools import pairwise
from math import sqrt
from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress, refuse
from sdgraph.models import Models
from sdgraph.nodes.diffusion.pipelines.video_conditions import frames_to_paint
from sdgraph.nodes.image.known_size import known_size
from sdgraph.values import Checkpoint, Image, Video

from .families import ModelFamily, PipelineOption, Task, all_families, family_of
from .video_node import VideoOfAnyLength

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["Image2Video"]


class Image2Video(VideoOfAnyLength):
    """A video that begins with a picture (Wan; LTX-Video; HunyuanVideo; Stable Video Diffusion).

    Without `width` and `height` it has the shape of the picture and about as many pixels as the
    checkpoint's native size. A picture of another shape is stretched to it. Its length is
    `frames`, or about `seconds` × `fps` + 1, as the checkpoint can make it.
    """

    prompt: In[str] = Field(
        default="", description="what the video shows; Stable Video Diffusion reads none"
    )
    image: In[Image] = Field(description="the first frame")
    last: In[Image] | None = Field(default=None, description="the last frame")
    between: Sequence[In[Image]] = Field(
        default=(), description="frames in between, at the places in `at` (LTX-Video, LTX-2)"
    )
    at: Sequence[int] = Field(
        default=(), description="the number of each frame of `between`; the first frame is 0"
    )
    motion_bucket_id: int | None = Field(
        default=None,
        ge=0,
        le=1023,
        description="how much moves (Stable Video Diffusion); 127",
    )
    noise_aug_strength: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="noise that is added to the picture (Stable Video Diffusion); 0.02",
    )
    min_guidance: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="guidance of the first frame, which grows to that of the last "
        "(Stable Video Diffusion); 1",
    )
    decode_chunk_size: int | None = Field(
        default=None,
        ge=1,
        le=10_000,
        description="frames decoded at once (Stable Video Diffusion): fewer take less memory; all",
    )
    checkpoint: In[Checkpoint] = Field(
        description="an image-to-video checkpoint, such as Lightricks/LTX-Video"
    )

    @model_validator(mode="after")
    def _a_place_for_each_picture(self) -> Self:
        if len(self.between) != len(self.at):
            found = f"{len(self.at)} for {len(self.between)} pictures"
            raise refuse("at", found=found, wanted="the number of the frame of each picture")
        if list(self.at) != sorted({*self.at}) or (self.at and self.at[0] < 1):
            found = ", ".join(map(str, self.at))
            raise refuse("at", found=found, wanted="numbers from 1 on, each larger than the last")
        return self

    def task(self) -> Task:
        return "image-to-video" if self.last is None and not self.between else "frames-to-video"

    def size_source(self) -> object:
        return (self.width, self.height) if self.width and self.height else self.image

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        if (self.width and self.height) or not isinstance(self.checkpoint, Checkpoint):
            return size
        multiple = self.family.size_multiple(self.checkpoint)
        width, height = size
        if self.width:
            return self.width, _nearest(self.width * height / width, multiple)
        if self.height:
            return _nearest(self.height * width / height, multiple), self.height
        native_width, native_height = self.family.native_size(self.checkpoint)
        return size_like(size, native_width * native_height, multiple)

    def prompt_pictures(self) -> Sequence[object]:
        return (self.image,) if self.family.prompt_encoding.pictures else ()

    def seen_pictures(self, arguments: Mapping[str, Any]) -> Any:
        return arguments["image"].rgb if self.prompt_pictures() else None

    def chosen_size(self) -> tuple[int, int] | None:
        return known_size(self)

    def chosen_fields(self) -> Mapping[str, object]:
        chosen = dict(super().chosen_fields())
        for name, option in self.settings.options.items():
            if option.default is not None and getattr(self, name) is None:
                chosen[name] = option.default
        return chosen

    def decoded_at_once(self) -> int | None:
        return self.decode_chunk_size

    def low_memory_variants(self) -> Iterator[tuple[str, Self]]:
        """Decodes few frames at a time, besides the variants of all diffusion nodes."""
        name = "decode_chunk_size"
        if name in self.settings.options and (self.decode_chunk_size or self.batch_size()) > 1:
            yield "one frame is decoded at a time", self.replace(**{name: 1})
        yield from super().low_memory_variants()

    def _option_problems(self, checkpoint: Checkpoint, family: ModelFamily) -> Iterator[Problem]:
        """The problems of fields that the pipeline of a checkpoint does not read."""
        for name in sorted(_all_options() - self.settings.options.keys()):
            if (value := getattr(self, name)) is not None:
                found = f"{value:g} for {checkpoint.source}, a {family.label} checkpoint"
                readers = [each.label for each in all_families() if name in _options_of(each)]
                wanted = f"none: only {' and '.join(readers)} reads it"
                yield Problem(name, found, wanted, "leave it out")

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        family = family_of(self.checkpoint) if isinstance(self.checkpoint, Checkpoint) else None
        if family is None or family.video is None:
            return
        yield from self._option_problems(self.known_checkpoint, family)
        count = self.batch_size()
        if self.last is not None and count == 1:
            least = 1 + self.settings.frame_step
            found = "1 frame, which cannot be the first and the last"
            yield Problem("frames", found, f"at least {least}", "leave `last` out, or set frames")
        if self.between and not self.settings.takes_frames_between:
            found = f"{len(self.between)} pictures for {family.label}"
            yield Problem("between", found, "at most `image` and `last`", "leave `between` out")
        elif self.at and self.at[-1] >= count - (self.last is not None):
            taken = ", of which `last` is the last one" if self.last is not None else ""
            found = f"frame {self.at[-1]} of {count}{taken}"
            yield Problem("at", found, f"at most {count - 1 - (self.last is not None)}")
        else:
            yield from self._place_problems(count, family.label)

    def _place_problems(self, count: int, label: str) -> Iterator[Problem]:
        """The problem of two pictures for one place, in families with one for several frames."""
        step = self.settings.picture_step
        numbers = [*self.at, *([] if self.last is None else [count - 1])]
        for number, following in pairwise(numbers):
            if -(-number // step) == -(-following // step):
                found = f"frames {number} and {following} for {label}"
                least = -(-number // step) * step + 1
                fix = f"take {least} or more after {number}, or leave one out"
                wanted = f"at most one picture in frames {least - step} to {least - 1}"
                yield Problem("at", found, wanted, fix)

    def run(
        self,
        image: Image,
        last: Image | None,
        between: tuple[Image, ...],
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Video:
        width, height = (
            (self.width, self.height)
            if self.width and self.height
            else self.output_size(image.size)
        )
        frames = {0: image.rgb}
        frames |= {number: picture.rgb for number, picture in zip(self.at, between, strict=True)}
        if last is not None:
            frames[self.batch_size() - 1] = last.rgb
        return self.generate_video(
            models,
            checkpoint,
            progress,
            prompt=prompt,
            negative_prompt=negative_prompt,
            num_frames=self.batch_size() + self.settings.left_out_frames,
            width=width,
            height=height,
            **self._option_arguments(),
            **self._picture_arguments(frames, (width, height)),
        )

    def _option_arguments(self) -> Mapping[str, Any]:
        """The pipeline's arguments for fields that others do not read."""
        options = self.settings.options.items()
        values = {
            option.argument or name: option.default if own is None else own
            for name, option in options
            for own in [getattr(self, name)]
        }
        return {name: value for name, value in values.items() if value is not None}

    def _picture_arguments(
        self, frames: Mapping[int, PIL.Image.Image], size: tuple[int, int]
    ) -> Mapping[str, Any]:
        """The pipeline's arguments for pictures by the numbers of their frames."""
        if self.settings.control.takes_masks:
            return frames_to_paint(frames, self.batch_size(), size)
        pictures = list(frames.values())
        if self.task() == "image-to-video":
            return {"image": pictures[0], **self.settings.first_options}
        return self.settings.frame_arguments(frames)


def _options_of(family: ModelFamily) -> Mapping[str, PipelineOption]:
    return {} if family.video is None else family.video.options


@cache
def _all_options() -> frozenset[str]:
    """The fields that only the pipelines of some families read."""
    return frozenset(name for family in all_families() for name in _options_of(family))


def size_like(size: tuple[int, int], area: int, multiple: int) -> tuple[int, int]:
    """The size of about an area that has the shape of another size.

    Args:
        size: A width and height.
        area: Width × height in pixels.
        multiple: What the sides are multiples of.

    Example:
        >>> size_like((1000, 500), 480 * 832, 16)
        (896, 448)
    """
    width, height = size
    scale = sqrt(area / (width * height))
    return _nearest(width * scale, multiple), _nearest(height * scale, multiple)


def _nearest(side: float, multiple: int) -> int:
    return max(1, round(side / multiple)) * multiple
