"""Masks combined, as fuzzy sets (Zadeh 1965): soft borders stay soft."""

from __future__ import annotations

from collections.abc import Sequence
from functools import reduce
from typing import ClassVar

from pydantic import Field

from sdgraph.graph import In, Node
from sdgraph.nodes.image.padding import check_same_size
from sdgraph.values import Mask

from .pixels import new_mask

__all__ = ["MaskIntersect", "MaskSubtract", "MaskUnion"]


class MaskUnion(Node[Mask]):
    """What any of several masks marks: the largest value at each pixel."""

    category: ClassVar[str] = "mask"

    masks: Sequence[In[Mask]] = Field(
        min_length=2, description="two or more of one size", examples=[["$one", "$other"]]
    )

    def run(self, masks: Sequence[Mask]) -> Mask:
        import cv2

        check_same_sizes(masks)
        return new_mask(reduce(cv2.max, (mask.numpy for mask in masks)))


class MaskIntersect(Node[Mask]):
    """What all of several masks mark: the least value at each pixel; it may be nothing."""

    category: ClassVar[str] = "mask"

    masks: Sequence[In[Mask]] = Field(
        min_length=2, description="two or more of one size", examples=[["$one", "$other"]]
    )

    def run(self, masks: Sequence[Mask]) -> Mask:
        import cv2

        check_same_sizes(masks)
        return new_mask(reduce(cv2.min, (mask.numpy for mask in masks)))


class MaskSubtract(Node[Mask]):
    """What one mask marks and another does not: their difference, at least 0, at each pixel."""

    category: ClassVar[str] = "mask"

    mask: In[Mask] = Field(description="what to take from")
    less: In[Mask] = Field(description="what to take away; of the same size")

    def run(self, mask: Mask, less: Mask) -> Mask:
        import cv2

        check_same_size(mask.size, less.size, ("mask", "mask to take away"))
        return new_mask(cv2.subtract(mask.numpy, less.numpy))


def check_same_sizes(masks: Sequence[Mask]) -> None:
    """Raises InvalidValueError that names both sizes where a mask is not of the first one's."""
    for number, mask in enumerate(masks[1:], 2):
        check_same_size(masks[0].size, mask.size, ("first mask", f"mask number {number}"))
