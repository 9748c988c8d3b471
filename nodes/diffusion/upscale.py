"""Enlarges pictures fourfold by a diffusion model that sees the small picture."""

from __future__ import annotations

from typing import Any, ClassVar

from pydantic import Field

from sdgraph.graph import In, Progress
from sdgraph.models import Models
from sdgraph.nodes.diffusion.sampling.schedulers import make_scheduler
from sdgraph.nodes.image.padding import Padding
from sdgraph.values import Checkpoint, Image

from .families import Purpose, Task
from .node import Diffusion

__all__ = ["Upscale"]

_FACTOR = 4
_LOW_RES_SCHEDULER = "low_res_scheduler"
"""The component that adds noise to the small picture."""


class Upscale(Diffusion[Image]):
    """A picture with four times its width and height (x4 upscaler of Stable Diffusion).

    The U-Net takes seven channels: latents, and the small picture with some noise, which lets it
    invent details (Rombach et al. 2022).
    """

    purposes: ClassVar[tuple[Purpose, ...]] = ("upscaling",)

    image: In[Image] = Field(description="the picture to enlarge")
    noise_level: int = Field(
        default=20,
        ge=0,
        le=350,
        description="how much noise is added to the picture: the more, the more is invented",
    )
    checkpoint: In[Checkpoint] = Field(
        description="an x4 upscaler, such as stabilityai/stable-diffusion-x4-upscaler"
    )

    def task(self) -> Task:
        return "upscale"

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The width and height of the result for a picture of that size."""
        return size[0] * _FACTOR, size[1] * _FACTOR

    def size_source(self) -> object:
        return self.image

    def assemble(self, models: Models, checkpoint: Checkpoint, **more: Any) -> Any:
        more[_LOW_RES_SCHEDULER] = make_scheduler(checkpoint, None, component=_LOW_RES_SCHEDULER)
        return super().assemble(models, checkpoint, **more)

    def run(
        self,
        image: Image,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Image:
        # The latents have the picture's own size.
        padding = Padding.of(image.size, self.family.size_multiple(checkpoint))
        pixels = self.generate(
            self.assemble(models, checkpoint),
            models,
            progress,
            prompt=prompt,
            negative_prompt=negative_prompt,
            image=padding.pad(image.rgb),
            noise_level=self.noise_level,
        )
        width, height = self.output_size(image.size)
        return Image(pixels[:height, :width])
