"""Estimates depth maps from pictures."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Node
from sdgraph.models import Models, resolve
from sdgraph.nodes.vision.depth_prediction import predict_depth
from sdgraph.nodes.vision.memory import depth_estimation_memory
from sdgraph.values import Checkpoint, DepthMap, Image, Part

__all__ = ["DepthEstimate"]

_METRIC = ("glpn", "zoedepth", "depth_pro", "prompt_depth_anything")
"""Model types that predict distances: larger is farther."""


class DepthEstimate(Node[DepthMap]):
    """Estimates the relative depth of a picture with a model such as DPT (Ranftl et al. 2021)."""

    category = "control"

    image: In[Image] = Field(description="a picture of any size")
    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("tiny/depth-estimator"),
        description="a DPT, Depth Anything, ZoeDepth or GLPN checkpoint",
    )

    def parts(self) -> Mapping[str, Part]:
        checkpoint = self.checkpoint
        assert isinstance(checkpoint, Checkpoint), "a node in this field was replaced by its result"
        return {
            "model": Part(checkpoint, partial=True),
            "processor": Part(checkpoint, processor=True),
        }

    def working_memory(self, sizes: Mapping[str, int], dtype: str) -> int:
        checkpoint = self.checkpoint
        assert isinstance(checkpoint, Checkpoint), "a node in this field was replaced by its result"
        return depth_estimation_memory(
            resolve(checkpoint).config() or {}, checkpoint.dtype or dtype
        )

    def check(self) -> Iterator[Problem]:
        if not isinstance(self.checkpoint, Checkpoint):
            return
        config = resolve(self.checkpoint).config()
        model_class = ((config or {}).get("architectures") or ["nothing"])[0]
        estimates_depth = "DepthEstimation" in model_class or model_class == "DepthProModel"
        if config is not None and not estimates_depth:
            found = f"{self.checkpoint.source}, a {config.get('_class_name', model_class)}"
            yield Problem("checkpoint", found, "a depth estimator (…ForDepthEstimation)")
        else:
            # Raises CheckpointError if it is missing.
            resolve(self.checkpoint).config(name="preprocessor_config.json")

    def size_source(self) -> object:
        return self.image

    def run(self, image: Image, checkpoint: Checkpoint, models: Models) -> DepthMap:
        import torch

        prediction = predict_depth(models["model"], models["processor"], image.rgb, models.device)
        width, height = image.size
        resized = torch.nn.functional.interpolate(
            prediction[:, None].float(), size=(height, width), mode="bicubic", align_corners=False
        )
        config = resolve(checkpoint).config() or {}
        metric = (
            config.get("model_type") in _METRIC or config.get("depth_estimation_type") == "metric"
        )
        depth = resized[0, 0].cpu().numpy()
        return DepthMap(-depth if metric else depth)
