"""Connected parts of masks: fills holes, or keeps the largest part."""

from __future__ import annotations

from typing import TYPE_CHECKING

from pydantic import Field

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Node
from sdgraph.values import Mask

from .pixels import PAINTED, new_mask

if TYPE_CHECKING:
    from sdgraph.values import Pixels

__all__ = ["MaskFillHoles", "MaskLargest"]


class MaskFillHoles(Node[Mask]):
    """Fills the holes of a mask.

    A hole is a group of pixels below 128 that is not connected to the border; pixels are connected
    by their sides.
    """

    category = "mask"

    mask: In[Mask] = Field(description="a mask of any size")

    def size_source(self) -> object:
        return self.mask

    def run(self, mask: Mask) -> Mask:
        return new_mask(fill_holes(mask.numpy))


class MaskLargest(Node[Mask]):
    """Keeps only the largest connected part of a mask; it fails if the mask is empty.

    Pixels above 0 that touch by a side or a corner are connected. Of two parts with the same size
    the upper one is kept, then the left one.
    """

    category = "mask"

    mask: In[Mask] = Field(description="a mask of any size")

    def size_source(self) -> object:
        return self.mask

    def run(self, mask: Mask) -> Mask:
        return new_mask(largest_part(mask.numpy))


def fill_holes(mask: Pixels) -> Pixels:
    """A mask with 255 in its holes."""
    import cv2

    _, walls = cv2.threshold(mask, PAINTED - 1, 255, cv2.THRESH_BINARY)
    # A border of one pixel connects everything outside.
    around = cv2.copyMakeBorder(walls, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(around, None, (0, 0), 255)
    filled: Pixels = cv2.max(mask, cv2.bitwise_not(around[1:-1, 1:-1]))
    return filled


def largest_part(mask: Pixels) -> Pixels:
    """The largest connected part of a mask; raises InvalidValueError if the mask is empty."""
    import cv2
    import numpy as np

    count, labels, stats, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count == 1:
        found = f"an empty one of {mask.shape[1]}×{mask.shape[0]}, which has no largest part"
        raise InvalidValueError(Problem("mask", found, "at least one painted pixel"))
    left, top, _, _, area = stats[1:].T
    chosen = 1 + int(np.lexsort((left, top, -area))[0])
    largest: Pixels = cv2.bitwise_and(mask, cv2.inRange(labels, chosen, chosen))
    return largest
