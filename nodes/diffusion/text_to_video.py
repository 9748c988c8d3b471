"""Videos from words."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from sdgraph.graph import In, Progress, refuse
from sdgraph.models import Models, quiet_libraries
from sdgraph.values import Checkpoint, Video

from .node import Diffusion, generator, to_pixels

__all__ = ["Text2Video"]

_MOST = 10_000
"""How many frames a video may have."""


class Text2Video(Diffusion[Video]):
    """A video from a prompt by a 3-D U-Net (ModelScope, Wang et al. 2023).

    Its length is `frames`, or `seconds` × `fps` + 1.
    """

    families = ("video",)

    steps: int = Field(default=25, ge=1, le=1000, description="denoising steps")
    guidance: float = Field(default=9.0, ge=0, le=100, description="classifier-free guidance scale")
    frames: int | None = Field(
        default=None, ge=1, le=_MOST, description="how many; 16 if no seconds"
    )
    seconds: float | None = Field(default=None, gt=0, le=600, description="instead of frames")
    fps: float = Field(default=8.0, gt=0, le=240, description="frames a second")
    width: int | None = Field(
        default=None, ge=16, le=4096, description="pixels; the checkpoint's default"
    )
    height: int | None = Field(
        default=None, ge=16, le=4096, description="pixels; the checkpoint's default"
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
        if (count := self._count(self.frames)) > _MOST:
            raise refuse(
                "seconds",
                found=f"{count} frames",
                wanted=f"at most {_MOST}",
                fix="make it shorter, or lower fps",
            )
        return self

    def _count(self, frames: int | None) -> int:
        if frames is not None:
            return frames
        return 16 if self.seconds is None else round(self.seconds * self.fps) + 1

    def at_once(self) -> int:
        return self._count(self.frames)

    def run(
        self,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Video:
        pipe = self.assemble("TextToVideoSDPipeline", models, checkpoint)

        def stepped(step: int, *_: Any) -> None:
            # A scheduler of second order has two timesteps a step, and one for the last.
            progress(step + 1, -(-len(pipe.scheduler.timesteps) // pipe.scheduler.order))

        with quiet_libraries(), self.prepared(pipe, models):
            made = pipe(
                **self.embedded(pipe, models, prompt, negative_prompt),
                num_inference_steps=self.steps,
                guidance_scale=self.guidance,
                num_frames=self.at_once(),
                width=self.width,
                height=self.height,
                generator=generator(self.seed),
                callback=stepped,
                output_type="np",
            )
        return Video(to_pixels(made.frames[0]), self.fps)
