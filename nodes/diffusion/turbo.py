"""Generates pictures in a few steps by distilled models (Sauer et al. 2023, Luo et al. 2023)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from sdgraph.graph import In, Progress, refuse
from sdgraph.models import Models
from sdgraph.nodes.diffusion.sampling.strength import fewest_steps, strength_problems
from sdgraph.nodes.image.padding import Padding
from sdgraph.values import Checkpoint, Image

from .families import Task
from .node import Diffusion
from .node_batches import PictureCall
from .picture_fields import chosen_sides

__all__ = ["Turbo"]

_MAX_STEPS = 16
"""The largest number of steps of a distilled model."""

_STEPS_IN_NAME = re.compile(r"(\d+)[-_ ]?steps?(?![a-z])")
_FOUR_STEPS = re.compile(r"lightning|hyper|dmd2?|lcm")
"""What the names of models that take four steps have in them."""


def steps_by_name(source: str) -> int | None:
    """The number of steps that the name of a distilled model suggests; None if none.

    Example:
        >>> steps_by_name("./sdxl_lightning_8step.safetensors"), steps_by_name("tiny/turbo")
        (8, None)
    """
    name = source.lower()
    match = _STEPS_IN_NAME.search(name)
    if match is not None and 1 <= int(match[1]) <= _MAX_STEPS:
        return int(match[1])
    return 4 if _FOUR_STEPS.search(name) else None


class Turbo(Diffusion[Image]):
    """A picture in a few steps by a distilled model, from a prompt or a picture and a prompt.

    Such models of all families fit: SDXL Turbo and Lightning, latent consistency models, FLUX.1
    schnell, FLUX.2 Klein, Z-Image Turbo and others.
    """

    batch_fields = frozenset({"prompt", "negative_prompt", "seed"})

    image: In[Image] | None = Field(
        default=None, description="start from this picture instead of noise"
    )
    steps: int | None = Field(
        default=None,
        ge=1,
        le=_MAX_STEPS,
        description="denoising steps; if not given, what the checkpoint is distilled for, and with "
        "an image at least as many as strength needs",
    )
    guidance: float | None = Field(
        default=None,
        ge=0,
        le=100,
        description="most distilled models need none; if not given, the checkpoint's usual",
    )
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

    @model_validator(mode="after")
    def _steps_can_be_chosen(self) -> Self:
        if self.image is not None and self.steps is None:
            for problem in strength_problems(_MAX_STEPS, self.strength, _MAX_STEPS):
                raise refuse(
                    problem.subject, found=problem.found, wanted=problem.wanted, fix=problem.fix
                )
        return self

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

    @property
    def chosen_steps(self) -> int:
        if self.steps is not None:
            return self.steps
        checkpoint = self.known_checkpoint
        steps = steps_by_name(checkpoint.source) or self.family.turbo_steps(checkpoint)
        return steps if self.image is None else max(steps, fewest_steps(self.strength))

    @property
    def chosen_guidance(self) -> float:
        if self.guidance is not None:
            return self.guidance
        return self.family.turbo_guidance(self.known_checkpoint)

    def size_source(self) -> object:
        return self.image or (self.width, self.height)

    def chosen_fields(self) -> Mapping[str, object]:
        chosen = super().chosen_fields()
        if self.image is not None:
            return chosen
        sides = chosen_sides(self.family, self.known_checkpoint, self.width, self.height)
        return {**chosen, **sides}

    def denoising_share(self) -> float | None:
        return None if self.image is None else self.strength

    def picture_call(self, arguments: Mapping[str, Any]) -> PictureCall:
        image, checkpoint = arguments["image"], arguments["checkpoint"]
        if image is None:
            return PictureCall(self.family.sides(checkpoint, self.width, self.height), Image)
        padding = Padding.of(image.size, self.family.size_multiple(checkpoint))
        call = {
            "image": padding.pad(image.rgb),
            "strength": self.strength,
            **self.family.size_arguments(padding.padded),
        }
        return PictureCall(call, lambda pixels: Image(padding.cut(pixels)))

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
        call = self.picture_call({"checkpoint": checkpoint, "image": image})
        prompts: Any = {"prompt": prompt, "negative_prompt": negative_prompt}
        return call.finish(self.generate(pipe, models, progress, **prompts, **call.arguments))
