"""Edges of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from sdgraph.graph import In, Node, refuse
from sdgraph.values import EdgeMap, Image

if TYPE_CHECKING:
    from sdgraph.values import Pixels

__all__ = ["Canny"]


class Canny(Node[EdgeMap]):
    """Edges by Canny's detector (Canny 1986), white on black, of the picture's size."""

    category: ClassVar[str] = "control"

    image: In[Image] = Field(description="a picture of any size; alpha is ignored")
    low: int = Field(
        default=100, ge=0, le=1000, description="below this gradient a pixel is no edge"
    )
    high: int = Field(
        default=200, ge=0, le=1000, description="above this gradient it surely is one"
    )

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.low > self.high:
            found = f"low {self.low} above high {self.high}"
            raise refuse("low", found=found, wanted="low ≤ high", fix="swap the two")
        return self

    def run(self, image: Image) -> EdgeMap:
        import cv2
        import numpy as np

        edges = cv2.Canny(np.ascontiguousarray(image.numpy[..., :3]), self.low, self.high)
        return EdgeMap(three_channels(edges))


def three_channels(pixels: Any) -> Pixels:
    """Three channels of one; fresh and read-only, which spares their value a copy."""
    import cv2
    import numpy as np

    made = np.asarray(cv2.merge([pixels] * 3), np.uint8)
    made.setflags(write=False)
    return made
