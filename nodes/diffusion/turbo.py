"""Generates pictures in a few steps by adversarially distilled models (Sauer et al. 2023)."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_validator

from sdgraph.graph import In, Progress, refuse
from sdgraph.models import Models
from sdgraph.nodes.image.padding import Padding
from sdgraph.values import Checkpoint, Image

from .families import Task
from .node import Diffusion
from .strength import fewest_steps

__all__ = ["Turbo"]

_MAX_STEPS = 4
"""The largest number of steps of a distilled model."""


class Turbo(Diffusion[Image]):
    """A picture in 1 to 4 steps without guidance, from a prompt or from a picture and a prompt."""

    image: In[Image] | None = Field(
        default=None, description="start from this picture instead of noise"
    )
    steps: int = Field(
        default=1,
        ge=1,
        le=_MAX_STEPS,
        description="denoising steps; if not given, 1, or with an image as many as strength needs",
    )
    guidance: float = Field(default=0.0, ge=0, le=100, description="distilled models need none")
    strength: float = Field(
        default=0.5, gt=0, le=1, description="with an image: how much changes; strength × steps ≥ 1"
    )
    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("tiny/turbo"), description="SDXL Turbo, SD Turbo or similar"
    )
    width: int | None = Field(
        default=None, ge=64, le=8192, description="pixels; only without an image"
    )
    height: int | None = Field(
        default=None, ge=64, le=8192, description="pixels; only without an image"
    )

    @model_validator(mode="before")
    @classmethod
    def _choose_steps(cls, fields: Any) -> Any:
        """With an image and without `steps`, the fewest of which the strength leaves one."""
        if not isinstance(fields, dict) or fields.get("image") is None or "steps" in fields:
            return fields
        strength = fields.get("strength", cls.model_fields["strength"].default)
        if type(strength) not in (int, float) or not 0 < strength <= 1:
            return fields  # refused by the field itself
        return {**fields, "steps": min(fewest_steps(strength), _MAX_STEPS)}

    @model_validator(mode="after")
    def _size_comes_from_one_place(self) -> Self:
        if self.image is not None and (self.width or self.height):
            raise refuse(
                "width" if self.width else "height",
                found="a size together with an image",
                wanted="one of the two: the result has the image's size",
                fix="resize the image with a Resize node",
            )
        return self

    def task(self) -> Task:
        return "text-to-image" if self.image is None else "image-to-image"

    def size_source(self) -> object:
        return self.image or (self.width, self.height)

    def denoising_share(self) -> float | None:
        return None if self.image is None else self.strength

    def run(
        self,
        image: Image | None,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Image:
        pipe = self.assemble(models, checkpoint)
        prompts: Any = {"prompt": prompt, "negative_prompt": negative_prompt}
        size: Any
        if image is None:
            size = self.family.sides(checkpoint, self.width, self.height)
            return Image(self.generate(pipe, models, progress, **prompts, **size))
        padding = Padding.of(image.size, self.family.size_multiple(checkpoint))
        size = self.family.size_arguments(padding.padded)
        pixels = self.generate(
            pipe,
            models,
            progress,
            image=padding.pad(image.rgb),
            strength=self.strength,
            **prompts,
            **size,
        )
        return Image(padding.cut(pixels))
