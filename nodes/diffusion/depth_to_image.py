"""Generates pictures that keep the depth of another."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any, ClassVar

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Progress
from sdgraph.models import Models, resolve
from sdgraph.nodes.image.known_size import size_problems
from sdgraph.nodes.image.padding import Padding, check_same_size
from sdgraph.nodes.vision.depth_prediction import predict_depth
from sdgraph.values import Checkpoint, DepthMap, Image, Part

from .families import DEPTH_ESTIMATOR, FEATURE_EXTRACTOR, Purpose, Task
from .node import Diffusion

__all__ = ["DepthToImage"]


class DepthToImage(Diffusion[Image]):
    """Repaints a picture but keeps its depth: structure stays, surfaces and background change.

    Takes depth-guided checkpoints (5-channel U-Net: latents and depth; Stable Diffusion 2 depth).
    The depth is that of `depth`, or is estimated by the checkpoint's own estimator.
    """

    purposes: ClassVar[tuple[Purpose, ...]] = ("depth-guided",)
    wire_advice: ClassVar[Mapping[str, tuple[type, str]]] = {
        "depth": (
            Image,
            "make one of it by DepthEstimate, or read a finished one by DepthFromFile",
        )
    }

    image: In[Image] = Field(description="the picture to start from")
    depth: In[DepthMap] | None = Field(
        default=None, description="the depth to keep; estimated if not given"
    )
    strength: float = Field(
        default=0.8,
        ge=0,
        le=1,
        description="how much changes: 0 nothing, 1 everything but the depth",
    )
    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("tiny/depth"), description="a depth-guided checkpoint"
    )

    def task(self) -> Task:
        return "depth-to-image"

    def check(self) -> Iterator[Problem]:
        problems = list(super().check())
        yield from problems
        yield from size_problems(("image", "image", self.image), ("depth", "depth map", self.depth))
        if not problems and self.depth is None and isinstance(self.checkpoint, Checkpoint):
            # Raises CheckpointError if it is missing.
            resolve(self.checkpoint).config(FEATURE_EXTRACTOR, "preprocessor_config.json")

    def size_source(self) -> object:
        return self.image

    def parts(self) -> Mapping[str, Part]:
        parts = dict(super().parts())
        if self.depth is None:
            checkpoint = self.known_checkpoint
            estimator = self.make_part(checkpoint, DEPTH_ESTIMATOR)
            parts[DEPTH_ESTIMATOR] = replace(estimator, partial=True)
            parts[FEATURE_EXTRACTOR] = self.make_part(checkpoint, FEATURE_EXTRACTOR)
        return parts

    def run(
        self,
        image: Image,
        depth: DepthMap | None,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Image:
        import torch

        padding = Padding.of(image.size, self.family.size_multiple(checkpoint))
        picture = padding.pad(image.rgb)
        depth_map: Any
        if depth is None:
            depth_map = predict_depth(
                models[DEPTH_ESTIMATOR], models[FEATURE_EXTRACTOR], picture, models.device
            )
        else:
            check_same_size(image.size, depth.size, ("image", "depth map"))
            depth_map = torch.from_numpy(padding.pad_array(depth.depth).copy())[None]
        pipe = self.assemble(models, checkpoint)
        pixels = self.generate(
            pipe,
            models,
            progress,
            prompt=prompt,
            negative_prompt=negative_prompt,
            image=picture,
            depth_map=depth_map,
            strength=self.strength,
        )
        return Image(padding.cut(pixels))
