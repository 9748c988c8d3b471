"""Combines masks as fuzzy sets (Zadeh 1965), so that soft borders stay soft."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import reduce

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Node
from sdgraph.nodes.image.known_size import size_problems
from sdgraph.nodes.image.padding import check_same_size
from sdgraph.values import Mask

from .pixels import new_mask

__all__ = ["MaskIntersect", "MaskSubtract", "MaskUnion"]


class MaskUnion(Node[Mask]):
    """Paints what any of several masks paints: the largest value at each pixel."""

    category = "mask"

    masks: Sequence[In[Mask]] = Field(
        min_length=2,
        description="two or more masks of the same size",
        examples=[["$one", "$other"]],
    )

    def check(self) -> Iterator[Problem]:
        yield from _mask_size_problems(self.masks)

    def size_source(self) -> object:
        return self.masks

    def run(self, masks: Sequence[Mask]) -> Mask:
        import cv2

        check_same_sizes(masks)
        return new_mask(reduce(cv2.max, (mask.numpy for mask in masks)))


class MaskIntersect(Node[Mask]):
    """Paints what all of several masks paint: the smallest value at each pixel; may be empty."""

    category = "mask"

    masks: Sequence[In[Mask]] = Field(
        min_length=2,
        description="two or more masks of the same size",
        examples=[["$one", "$other"]],
    )

    def check(self) -> Iterator[Problem]:
        yield from _mask_size_problems(self.masks)

    def size_source(self) -> object:
        return self.masks

    def run(self, masks: Sequence[Mask]) -> Mask:
        import cv2

        check_same_sizes(masks)
        return new_mask(reduce(cv2.min, (mask.numpy for mask in masks)))


class MaskSubtract(Node[Mask]):
    """Subtracts a mask from another: their difference at each pixel, at least 0."""

    category = "mask"

    mask: In[Mask] = Field(description="the mask to subtract from")
    less: In[Mask] = Field(description="the mask to subtract, of the same size")

    def check(self) -> Iterator[Problem]:
        pictures = ("mask", "mask", self.mask), ("less", "mask to subtract", self.less)
        yield from size_problems(*pictures)

    def size_source(self) -> object:
        return self.mask

    def run(self, mask: Mask, less: Mask) -> Mask:
        import cv2

        check_same_size(mask.size, less.size, ("mask", "mask to subtract"))
        return new_mask(cv2.subtract(mask.numpy, less.numpy))


def _mask_size_problems(masks: Sequence[object]) -> Iterator[Problem]:
    names = ("first mask", *(f"mask number {number}" for number in range(2, len(masks) + 1)))
    yield from size_problems(*(("masks", *pair) for pair in zip(names, masks, strict=True)))


def check_same_sizes(masks: Sequence[Mask]) -> None:
    """Raises InvalidValueError if a mask has another size than the first."""
    for number, mask in enumerate(masks[1:], 2):
        check_same_size(masks[0].size, mask.size, ("first mask", f"mask number {number}"))
