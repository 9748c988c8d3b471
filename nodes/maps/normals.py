"""Computes surface normals from depth."""

from __future__ import annotations

from pydantic import Field

from sdgraph.graph import In, Node
from sdgraph.values import DepthMap, NormalMap

__all__ = ["NormalsFromDepth"]


class NormalsFromDepth(Node[NormalMap]):
    """Computes surface normals from a depth map: red is left, green is up, blue faces the viewer.

    Perspective is ignored, as in the training of the networks for normals: a wall that faces the
    viewer is (128, 128, 255). So is everything in the background.
    """

    category = "control"

    depth: In[DepthMap] = Field(description="a depth map, for example of DepthEstimate")
    relief: float = Field(
        default=1.0,
        gt=0,
        le=100,
        description="the depth of the scene, as a share of the map's longer side",
    )
    background: float = Field(
        default=0.4,
        ge=0,
        lt=1,
        description="what is farther is background; 0 is the farthest, 1 the nearest pixel",
    )

    def size_source(self) -> object:
        return self.depth

    def run(self, depth: DepthMap) -> NormalMap:
        import cv2
        import numpy as np

        far, near = float(depth.depth.min()), float(depth.depth.max())
        # In float64: the difference of two float32 may be too large or too small for a float32.
        exact = depth.depth.astype(np.float64)
        exact -= far
        exact /= near - far
        nearness = exact.astype(np.float32)
        # Sobel's weights sum to 8.
        scale = self.relief * max(depth.size) / 8
        slopes = [
            cv2.Sobel(nearness, cv2.CV_32F, *order, scale=scale, borderType=cv2.BORDER_REPLICATE)
            for order in ((1, 0), (0, 1))
        ]
        # At the border one neighbour is missing, so that Sobel gives half of the slope.
        slopes[0][:, [0, -1]] *= 2
        slopes[1][[0, -1]] *= 2
        background = nearness < self.background
        for slope in slopes:
            slope[background] = 0
        length = cv2.magnitude(cv2.magnitude(*slopes), np.ones_like(nearness))
        normal = cv2.merge([slope / length for slope in slopes] + [1 / length])
        normal *= 127.5
        normal += 127.5
        pixels = np.rint(normal, out=normal).astype(np.uint8)
        pixels.setflags(write=False)  # spares the value a copy
        return NormalMap(pixels)
