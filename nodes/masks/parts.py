"""Masks as connected parts: their holes filled, the largest alone."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from pydantic import Field

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Node
from sdgraph.values import Mask

from .pixels import PAINTED, new_mask

if TYPE_CHECKING:
    from sdgraph.values import Pixels

__all__ = ["MaskFillHoles", "MaskLargest"]


class MaskFillHoles(Node[Mask]):
    """The mask with all painted that it surrounds.

    A hole is what is less than half painted and from where no way leads, by the sides of such
    pixels, to the border.
    """

    category: ClassVar[str] = "mask"

    mask: In[Mask] = Field(description="a mask of any size")

    def run(self, mask: Mask) -> Mask:
        return new_mask(fill_holes(mask.numpy))


class MaskLargest(Node[Mask]):
    """The largest connected part of the mask, the rest taken away; refused where it is empty.

    Pixels that are painted at all and touch, by a side or a corner, are one part. Of two of one
    size it is the one that begins higher up, then further left.
    """

    category: ClassVar[str] = "mask"

    mask: In[Mask] = Field(description="a mask of any size")

    def run(self, mask: Mask) -> Mask:
        return new_mask(largest_part(mask.numpy))


def fill_holes(mask: Pixels) -> Pixels:
    """The mask with 255 in its holes."""
    import cv2

    _, walls = cv2.threshold(mask, PAINTED - 1, 255, cv2.THRESH_BINARY)
    # One pixel around joins all that lies outside.
    around = cv2.copyMakeBorder(walls, 1, 1, 1, 1, cv2.BORDER_CONSTANT, value=0)
    cv2.floodFill(around, None, (0, 0), 255)
    made: Pixels = cv2.max(mask, cv2.bitwise_not(around[1:-1, 1:-1]))
    return made


def largest_part(mask: Pixels) -> Pixels:
    """The largest part of the mask; raises InvalidValueError where there is none."""
    import cv2
    import numpy as np

    count, labels, told, _ = cv2.connectedComponentsWithStats(mask, connectivity=8)
    if count == 1:
        found = f"an empty one of {mask.shape[1]}×{mask.shape[0]}, which has no largest part"
        raise InvalidValueError(Problem("mask", found, "at least one painted pixel"))
    left, top, _, _, area = told[1:].T
    chosen = 1 + int(np.lexsort((left, top, -area))[0])
    made: Pixels = cv2.bitwise_and(mask, cv2.inRange(labels, chosen, chosen))
    return made
