"""Generates videos of a character that moves as a person in a video does."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from sdgraph import values
from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Progress, refuse
from sdgraph.models import Models
from sdgraph.nodes.diffusion.pipelines.video_conditions import (
    black_out,
    fitting_size,
    frame_counts,
    length_problems,
    masks_of,
    pictures_of,
    refuse_other_shapes,
    with_sound_of,
)
from sdgraph.nodes.image.known_size import known_size, size_problems
from sdgraph.values import Checkpoint, Image, Video

from .families import Task
from .video_node import VideoDiffusion

__all__ = ["AnimateCharacter"]

_FEWEST = 2
"""The fewest frames that its pipeline takes."""


class AnimateCharacter(VideoDiffusion):
    """A video of a character that moves as a person in a video does (Wan Animate).

    The movements are two videos: `pose`, as PoseEstimate makes it between Frames and
    VideoFromFrames, and `face`, the person's face cut out. With `background` and `mask` the
    character takes the place of what the mask marks. The result has the length and the size of
    `pose`; long ones are made in segments, each of which begins with the end of the one before.
    """

    prompt: In[str] = Field(default="", description="what the video shows")
    image: In[Image] = Field(description="the character")
    pose: In[Video] = Field(description="the skeleton of the person in each frame")
    face: In[Video] = Field(description="the person's face in each frame, cut out as a square")
    background: In[Video] | None = Field(
        default=None, description="with mask: the video in which the character replaces a person"
    )
    mask: In[values.Mask | Video] | None = Field(
        default=None,
        description="with background: the person who is replaced, in white, for all frames or each",
    )
    segment: int | None = Field(
        default=None,
        ge=5,
        le=10_000,
        description="frames made at once, a multiple of 4, plus 1; 77, or as many as there are",
    )
    checkpoint: In[Checkpoint] = Field(
        description="one that animates, such as Wan-AI/Wan2.2-Animate-14B-Diffusers"
    )

    @model_validator(mode="after")
    def _background_has_a_mask(self) -> Self:
        for name, other in (("mask", "background"), ("background", "mask")):
            if getattr(self, name) is None and getattr(self, other) is not None:
                raise refuse(name, found=f"none, and a {other}", wanted="both, or neither")
        return self

    def task(self) -> Task:
        return "animate"

    def size_source(self) -> object:
        return (self.width, self.height) if self.width and self.height else self.pose

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        if not isinstance(self.checkpoint, Checkpoint):
            return size
        multiple = self.family.size_multiple(self.checkpoint)
        return fitting_size(size, multiple, self.width, self.height)

    def chosen_size(self) -> tuple[int, int] | None:
        return known_size(self)

    def chosen_fields(self) -> Mapping[str, object]:
        chosen = {name: value for name, value in super().chosen_fields().items() if name != "fps"}
        counts = self.frame_range()
        if self.segment is None and counts is not None:
            chosen["segment"] = self._segment(counts[1])
        return chosen

    def frame_range(self) -> tuple[int, int] | None:
        return frame_counts(self.pose)

    def _segment(self, frames: int) -> int:
        """How many frames are made at once, of so many."""
        if self.segment is not None:
            return self.segment
        step, usual = self.settings.frame_step, self.settings.frames
        return min(usual, -(-(frames - 1) // step) * step + 1)

    def batch_size(self) -> int:
        counts = self.frame_range()
        return self._segment(self.settings.frames if counts is None else counts[1])

    def reference_area(self) -> int:
        """The character is a further frame of latents, of which the others have a share."""
        width, height = self.planned_size() or self.family.native_size(self.known_checkpoint)
        return width * height // self.settings.latent_frames(self.batch_size())

    def planned_size(self) -> tuple[int, int] | None:
        return known_size(self)

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        fields = {"pose": self.pose, "background": self.background, "mask": self.mask}
        yield from size_problems(*((name, name, each) for name, each in fields.items()))
        yield from length_problems({**fields, "face": self.face})
        if isinstance(self.pose, Video) and len(self.pose) < _FEWEST:
            yield _too_short(self.pose)
        if self.segment is not None and isinstance(self.checkpoint, Checkpoint):
            nearest = self.settings.nearest_frames(self.segment)
            if nearest != self.segment:
                wanted = f"a multiple of {self.settings.frame_step}, plus 1"
                found = f"{self.segment} frames"
                yield Problem("segment", found, wanted, f"for example {nearest}")

    def run(
        self,
        image: Image,
        pose: Video,
        face: Video,
        background: Video | None,
        mask: values.Mask | Video | None,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Video:
        if len(pose) < _FEWEST:
            raise InvalidValueError(_too_short(pose))
        refuse_other_shapes({"pose": pose, "background": background, "mask": mask})
        refuse_other_shapes({"pose": pose, "face": face}, sizes=False)
        size, count = self.output_size(pose.size), len(pose)
        segment = self._segment(count)
        call: dict[str, Any] = {
            "image": image.rgb,
            "pose_video": pictures_of(pose, count, size),
            "face_video": pictures_of(face, count, face.size),
            "segment_frame_length": segment,
        }
        if background is not None and mask is not None:
            masks = masks_of(mask, count, size)
            frames = black_out(pictures_of(background, count, size), masks)
            call |= {"mode": "replace", "background_video": frames, "mask_video": masks}
        made = self.generate_video(
            models,
            checkpoint,
            _over_segments(progress, -(-(count - 1) // (segment - 1))),
            prompt=prompt,
            negative_prompt=negative_prompt,
            width=size[0],
            height=size[1],
            **call,
        )
        return with_sound_of(pose, made, self.fps or pose.fps)


def _too_short(pose: Video) -> Problem:
    return Problem("pose", f"{len(pose)} frame", f"at least {_FEWEST} frames", "")


def _over_segments(progress: Progress, segments: int) -> Progress:
    """A callback for the steps of each segment that reports them as steps of all."""
    finished = 0

    def report(step: int, total: int, /, **more: Any) -> None:
        nonlocal finished
        finished += 1
        progress(finished, total * segments, **more)

    return report
