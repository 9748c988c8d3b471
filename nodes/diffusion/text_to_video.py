"""Generates videos from words."""

from __future__ import annotations

from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from sdgraph.graph import In, Progress, refuse
from sdgraph.models import Models, quiet_libraries
from sdgraph.values import Checkpoint, Video

from .families import Purpose, Task
from .node import Diffusion
from .pixels import random_generator, to_pixels

__all__ = ["Text2Video"]

_MAX_FRAMES = 10_000
"""The largest number of frames of a video."""


class Text2Video(Diffusion[Video]):
    """A video from a prompt by a 3-D U-Net (ModelScope, Wang et al. 2023).

    Its length is `frames`, or `seconds` × `fps` + 1.
    """

    purposes: ClassVar[tuple[Purpose, ...]] = ("text-to-video",)

    frames: int | None = Field(
        default=None, ge=1, le=_MAX_FRAMES, description="the number of frames; 16 without `seconds`"
    )
    seconds: float | None = Field(
        default=None, gt=0, le=600, description="the length in seconds, instead of `frames`"
    )
    fps: float = Field(default=8.0, gt=0, le=240, description="frames per second")
    width: int | None = Field(
        default=None,
        ge=16,
        le=4096,
        description="pixels; the checkpoint's native size if not given",
    )
    height: int | None = Field(
        default=None,
        ge=16,
        le=4096,
        description="pixels; the checkpoint's native size if not given",
    )
    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("tiny/text-to-video"), description="a text-to-video checkpoint"
    )

    @model_validator(mode="after")
    def _one_length(self) -> Self:
        if self.frames is not None and self.seconds is not None:
            raise refuse(
                "seconds",
                found="both frames and seconds",
                wanted="one of the two",
                fix=f"{self.seconds:g} s are {self._count(None)} frames",
            )
        if (count := self._count(self.frames)) > _MAX_FRAMES:
            raise refuse(
                "seconds",
                found=f"{count} frames",
                wanted=f"at most {_MAX_FRAMES}",
                fix="make it shorter, or lower fps",
            )
        return self

    def _count(self, frames: int | None) -> int:
        if frames is not None:
            return frames
        return 16 if self.seconds is None else round(self.seconds * self.fps) + 1

    def task(self) -> Task:
        return "text-to-video"

    def size_source(self) -> object:
        return self.width, self.height

    def frame_range(self) -> tuple[int, int]:
        return self.batch_size(), self.batch_size()

    def batch_size(self) -> int:
        return self._count(self.frames)

    def run(
        self,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Video:
        pipe = self.assemble(models, checkpoint)

        def report(step: int, *_: Any) -> None:
            # A scheduler of second order has two timesteps for each step, and one for the last.
            progress(step + 1, -(-len(pipe.scheduler.timesteps) // pipe.scheduler.order))

        with quiet_libraries(), self.prepare(pipe, models):
            output = pipe(
                **self.embed_prompts(pipe, models, prompt, negative_prompt),
                num_inference_steps=self.chosen_steps,
                **{self.family.guidance.argument: self.chosen_guidance},
                num_frames=self.batch_size(),
                width=self.width,
                height=self.height,
                generator=random_generator(self.seed),
                callback=report,
                output_type="np",
            )
        return Video(to_pixels(output.frames[0]), self.fps)
