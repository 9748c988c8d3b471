"""Finds the edges of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Self

from pydantic import Field, model_validator

from sdgraph.graph import In, Node, refuse
from sdgraph.values import EdgeMap, Image

if TYPE_CHECKING:
    from sdgraph.values import Pixels

__all__ = ["Canny"]


class Canny(Node[EdgeMap]):
    """Finds edges with Canny's detector (Canny 1986): white on black, in the picture's size."""

    category = "control"

    image: In[Image] = Field(description="a picture of any size; alpha is ignored")
    low: int = Field(
        default=100, ge=0, le=1000, description="pixels with a smaller gradient are no edges"
    )
    high: int = Field(
        default=200,
        ge=0,
        le=1000,
        description="pixels with a larger gradient are edges; the rest are, if connected to one",
    )

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.low > self.high:
            found = f"low {self.low} above high {self.high}"
            raise refuse("low", found=found, wanted="low ≤ high", fix="swap the two")
        return self

    def size_source(self) -> object:
        return self.image

    def run(self, image: Image) -> EdgeMap:
        import cv2
        import numpy as np

        edges = cv2.Canny(np.ascontiguousarray(image.numpy[..., :3]), self.low, self.high)
        return EdgeMap(three_channels(edges))


def three_channels(pixels: Any) -> Pixels:
    """One channel repeated three times, as a read-only array that a value need not copy."""
    import cv2
    import numpy as np

    repeated = np.asarray(cv2.merge([pixels] * 3), np.uint8)
    repeated.setflags(write=False)
    return repeated
