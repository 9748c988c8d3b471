"""Generates pictures from words, or from a picture and words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import Models, resolve
from sdgraph.nodes.image.padding import Padding
from sdgraph.values import Checkpoint, Image

from .families import Task
from .node import Diffusion
from .node_batches import PictureCall
from .picture_fields import chosen_sides
from .refiner import RefinedDiffusion

__all__ = ["Image2Image", "Text2Image"]

_SCORE = "aesthetic_score"
"""The field, and the argument of the pipeline, for how beautiful a picture is to be."""


class Text2Image(RefinedDiffusion[Image]):
    """A picture from a prompt (latent diffusion, Rombach et al. 2022)."""

    batch_fields = frozenset({"prompt", "negative_prompt", "seed"})

    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("tiny/text-to-image"),
        description="a text-to-image checkpoint of any family",
    )
    width: int | None = Field(
        default=None,
        ge=64,
        le=8192,
        description="pixels; the checkpoint's native size if not given",
    )
    height: int | None = Field(
        default=None,
        ge=64,
        le=8192,
        description="pixels; the checkpoint's native size if not given",
    )

    def task(self) -> Task:
        return "text-to-image"

    def size_source(self) -> object:
        return self.width, self.height

    def chosen_fields(self) -> Mapping[str, object]:
        sides = chosen_sides(self.family, self.known_checkpoint, self.width, self.height)
        return {**super().chosen_fields(), **sides}

    def picture_call(self, arguments: Mapping[str, Any]) -> PictureCall:
        sides = self.family.sides(arguments["checkpoint"], self.width, self.height)
        return PictureCall({**sides, **self.reference_call(arguments["reference"])}, Image)

    def run(
        self,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        reference: Image | tuple[Image, ...] | None,
        image_encoder: Checkpoint | None,
        refiner: Checkpoint | None,
        models: Models,
        progress: Progress,
    ) -> Image:
        pipe = self.assemble(models, checkpoint)
        call = self.picture_call({"checkpoint": checkpoint, "reference": reference})
        prompts: Any = {"prompt": prompt, "negative_prompt": negative_prompt}
        return call.finish(self.generate(pipe, models, progress, **prompts, **call.arguments))


class Image2Image(Diffusion[Image]):
    """A picture from a picture and a prompt, in its size (SDEdit, Meng et al. 2021)."""

    batch_fields = frozenset({"image", "prompt", "negative_prompt", "seed"})

    image: In[Image] = Field(description="the picture to start from")
    strength: float = Field(
        default=0.8, ge=0, le=1, description="how much changes: 0 nothing, 1 all of it"
    )
    aesthetic_score: float | None = Field(
        default=None,
        ge=0,
        le=10,
        description="how beautiful the result is to be, for a refiner of SDXL; 6 if not given",
    )
    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("tiny/text-to-image"),
        description="a text-to-image checkpoint of any family",
    )

    def task(self) -> Task:
        return "image-to-image"

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        if self.aesthetic_score is None or not isinstance(self.checkpoint, Checkpoint):
            return
        index = resolve(self.checkpoint).index
        if index is not None and not index.get("requires_aesthetics_score"):
            found = f"{self.aesthetic_score:g} for {self.checkpoint.source}, which reads none"
            yield Problem(_SCORE, found, "none; it is for a refiner of SDXL", "leave it out")

    def size_source(self) -> object:
        return self.image

    def picture_call(self, arguments: Mapping[str, Any]) -> PictureCall:
        image, checkpoint = arguments["image"], arguments["checkpoint"]
        padding = Padding.of(image.size, self.family.size_multiple(checkpoint))
        call = {
            "image": padding.pad(image.rgb),
            "strength": self.strength,
            **self.family.size_arguments(padding.padded),
            **({} if self.aesthetic_score is None else {_SCORE: self.aesthetic_score}),
        }
        return PictureCall(call, lambda pixels: Image(padding.cut(pixels)))

    def run(
        self,
        image: Image,
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
