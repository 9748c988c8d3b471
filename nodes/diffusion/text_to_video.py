"""Generates videos from words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, ClassVar, Self

from pydantic import Field, model_validator

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress, refuse
from sdgraph.models import Models, quiet_libraries
from sdgraph.values import Checkpoint, Video

from .families import Purpose, Task, VideoSettings
from .node import Diffusion
from .pipeline_io import random_generator, to_pixels

__all__ = ["Text2Video"]

_MAX_FRAMES = 10_000
"""The largest number of frames of a video."""

_WANTED, _SHORTER = f"at most {_MAX_FRAMES}", "make it shorter, or lower fps"


class Text2Video(Diffusion[Video]):
    """A video from a prompt (ModelScope, Wang et al. 2023; Wan; LTX-Video).

    Its length is `frames`, or about `seconds` × `fps` + 1, as the checkpoint can make it.
    """

    purposes: ClassVar[tuple[Purpose, ...]] = ("text-to-video",)

    frames: int | None = Field(
        default=None,
        ge=1,
        le=_MAX_FRAMES,
        description="how many; the checkpoint's usual number",
    )
    seconds: float | None = Field(
        default=None, gt=0, le=600, description="the length in seconds, instead of `frames`"
    )
    fps: float | None = Field(
        default=None, gt=0, le=240, description="frames per second; the checkpoint's usual"
    )
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
            fix = "leave one of the two out"
            if self.fps is not None:
                fix = f"{self.seconds:g} s are {round(self.seconds * self.fps) + 1} frames"
            found = "both frames and seconds"
            raise refuse("seconds", found=found, wanted="one of the two", fix=fix)
        if self.seconds is not None and self.fps is not None:
            count = round(self.seconds * self.fps) + 1
            if count > _MAX_FRAMES:
                raise refuse("seconds", found=f"{count} frames", wanted=_WANTED, fix=_SHORTER)
        return self

    @property
    def chosen_fps(self) -> float:
        """Frames per second: as given, or the usual number of the checkpoint."""
        return self._settings.fps if self.fps is None else self.fps

    @property
    def _settings(self) -> VideoSettings:
        settings = self.family.video
        assert settings is not None, "a family that makes videos says which"
        return settings

    def chosen_fields(self) -> Mapping[str, object]:
        chosen: dict[str, object] = dict(super().chosen_fields())
        if self.frames is None:
            chosen["frames"] = self.batch_size()
        if self.fps is None:
            chosen["fps"] = self.chosen_fps
        return chosen

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        if not isinstance(self.checkpoint, Checkpoint) or self.family.video is None:
            return
        count, settings = self.batch_size(), self._settings
        if count > _MAX_FRAMES:
            yield Problem("seconds", f"{count} frames", _WANTED, _SHORTER)
        elif (nearest := settings.nearest_frames(count)) != count:
            wanted = f"a multiple of {settings.frame_step}, plus 1"
            yield Problem("frames", f"{count} frames", wanted, f"for example {nearest}")

    def task(self) -> Task:
        return "text-to-video"

    def size_source(self) -> object:
        return self.width, self.height

    def frame_range(self) -> tuple[int, int] | None:
        if not isinstance(self.checkpoint, Checkpoint):
            return None
        return self.batch_size(), self.batch_size()

    def batch_size(self) -> int:
        if self.frames is not None:
            return self.frames
        if self.seconds is None:
            return self._settings.frames
        return self._settings.nearest_frames(self.seconds * self.chosen_fps + 1)

    def run(
        self,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Video:
        pipe = self.assemble(models, checkpoint)
        width, height = self.family.native_size(checkpoint)

        def report(*arguments: Any) -> Any:
            # `callback` gets the step first, `callback_on_step_end` the pipeline before it.
            step = arguments[0] if isinstance(arguments[0], int) else arguments[1]
            # A scheduler of second order has two timesteps for each step, and one for the last.
            progress(step + 1, -(-len(pipe.scheduler.timesteps) // pipe.scheduler.order))
            return arguments[-1]

        with quiet_libraries(), self.prepare(pipe, models):
            output = pipe(
                **self.embed_prompts(pipe, models, prompt, negative_prompt),
                num_inference_steps=self.chosen_steps,
                **{self.family.guidance.argument: self.chosen_guidance},
                num_frames=self.batch_size(),
                width=self.width or width,
                height=self.height or height,
                generator=random_generator(self.seed),
                output_type="np",
                **{self._settings.callback: report},
            )
        return Video(to_pixels(output.frames[0]), self.chosen_fps)
