"""Runs pipelines that exist only as diffusers' modular pipelines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from sdgraph.errors import Problem
from sdgraph.graph import In, Node, Progress, refuse
from sdgraph.models import Models, quiet_libraries, resolve
from sdgraph.nodes.diffusion.pipelines.modular_inputs import input_problems
from sdgraph.nodes.diffusion.pipelines.modular_pipelines import (
    called_arguments,
    component_problems,
    first_picture,
    index_problems,
    make_modular_pipeline,
    modular_parts,
    report_steps,
    with_places,
)
from sdgraph.nodes.diffusion.pipelines.pipeline_io import random_generator, to_pixels
from sdgraph.nodes.diffusion.tuning.working_memory import peak_bytes, planned_size
from sdgraph.values import Checkpoint, Image, Mask, Part

from .families import family_of_modular

__all__ = ["Modular"]

_SET_BY_NODE = {
    "prompt": "set `prompt` of the node",
    "image": "set `image` of the node",
    "mask_image": "set `mask` of the node",
    "generator": "set `seed` of the node",
    "output_type": "leave it out: the result is an Image",
}
"""Inputs of pipelines that the node gives itself, and what to do instead of giving them."""


class Modular(Node[Image]):
    """A picture by a pipeline that diffusers has as a modular pipeline, of any family.

    What the pipeline takes is in its own description: `prompt`, `image` and `mask` are given to its
    inputs of these names, and `inputs` to any other, by name. A name that no block of its family
    has is refused before the run; anything else that it does not take when it starts, with a list
    of what it takes. Components may be in other repositories, as its index says. No code of the
    checkpoint is run.
    """

    category = "generate"

    checkpoint: In[Checkpoint] = Field(
        description="a folder with a modular_model_index.json, or one in diffusers' layout"
    )
    prompt: In[str] | None = Field(default=None, description="what the picture shows")
    image: In[Image] | None = Field(default=None, description="the picture to start from")
    mask: In[Mask] | None = Field(default=None, description="white where to repaint")
    inputs: Mapping[str, str | int | float | bool] = Field(
        default={},
        description="further inputs of the pipeline by name, such as {num_inference_steps: 8}",
    )
    seed: int = Field(default=0, ge=0, lt=2**63, description="the same seed gives the same picture")

    @model_validator(mode="after")
    def _no_input_is_given_twice(self) -> Self:
        for name, fix in _SET_BY_NODE.items():
            if name in self.inputs:
                wanted = "inputs that the node does not give itself"
                raise refuse("inputs", found=name, wanted=wanted, fix=fix)
        return self

    def parts(self) -> Mapping[str, Part]:
        checkpoint = self.checkpoint
        assert isinstance(checkpoint, Checkpoint), "a node in this field was replaced by its result"
        return modular_parts(checkpoint)

    def check(self) -> Iterator[Problem]:
        if not isinstance(self.checkpoint, Checkpoint):
            return
        if self.checkpoint.clip_skip is not None:
            found = f"clip_skip {self.checkpoint.clip_skip} for {self.checkpoint.source}"
            wanted = "none: modular pipelines have inputs of their own for it, or do without"
            yield Problem("checkpoint", found, wanted, "leave clip_skip out")
        problems = list(index_problems(self.checkpoint))
        yield from problems or component_problems(self.checkpoint)
        if not problems and (index := resolve(self.checkpoint).index):
            yield from input_problems(str(index.get("_class_name")), self._given_inputs())

    def _given_inputs(self) -> list[str]:
        """The names of the pipeline's inputs that are given."""
        own = {"prompt": self.prompt, "image": self.image, "mask_image": self.mask}
        return [*self.inputs, *(name for name, value in own.items() if value is not None)]

    def working_memory(self, sizes: Mapping[str, int], dtype: str) -> int:
        """The bytes that a step or decoding needs: by the law of the family that has its denoiser.

        For a denoiser of no known family, a quarter of its largest component.
        """
        checkpoint = self.checkpoint
        assert isinstance(checkpoint, Checkpoint), "a node in this field was replaced by its result"
        family = family_of_modular(resolve(checkpoint).index or {})
        if family is None:
            return max(sizes.values(), default=0) // 4
        checkpoint = with_places(checkpoint)
        width, height, frames = map(self.inputs.get, ("width", "height", "num_frames"))
        is_given = isinstance(width, int) and isinstance(height, int)
        size = (int(width or 0), int(height or 0)) if is_given else planned_size(self.image)
        images = frames if isinstance(frames, int) else 1
        guided = family.is_guided(checkpoint, family.usual_guidance(checkpoint))
        return peak_bytes(family, checkpoint, dtype, size, images=images, guided=guided)

    def run(
        self,
        checkpoint: Checkpoint,
        prompt: str | None,
        image: Image | None,
        mask: Mask | None,
        models: Models,
        progress: Progress,
    ) -> Image:
        import PIL.Image

        pipe = make_modular_pipeline(checkpoint, models)
        given: dict[str, Any] = {
            **self.inputs,
            "prompt": prompt,
            "image": None if image is None else image.rgb,
            "mask_image": None if mask is None else PIL.Image.fromarray(mask.numpy),
        }
        arguments = called_arguments(
            pipe, {name: value for name, value in given.items() if value is not None}
        )
        report_steps(pipe, progress)
        with quiet_libraries():
            state = pipe(**arguments, **_generator(pipe, self.seed))
        return Image(to_pixels(first_picture(pipe, state)))


def _generator(pipe: Any, seed: int) -> dict[str, Any]:
    names = {each.name for each in pipe.blocks.inputs}
    extra: dict[str, Any] = {"output_type": "np"} if "output_type" in names else {}
    return extra | ({"generator": random_generator(seed)} if "generator" in names else {})
