"""Mask values from pixels that a node has just made."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.values import Mask

if TYPE_CHECKING:
    from sdgraph.values import Pixels

PAINTED = 128
"""From this value up a pixel counts as painted, as the pipelines of diffusers count it."""


def new_mask(pixels: Pixels) -> Mask:
    """The mask of an array that nobody else holds: it becomes read-only, which spares a copy."""
    pixels.setflags(write=False)
    return Mask(pixels)


def nonempty_mask(pixels: Pixels, subject: str, wanted: str) -> Mask:
    """The mask of what a node has drawn or found.

    Raises InvalidValueError where that is nothing.
    """
    import cv2

    if not cv2.hasNonZero(pixels):
        width, height = pixels.shape[1], pixels.shape[0]
        found = f"it marks nothing in the picture of {width}×{height}"
        raise InvalidValueError(Problem(subject, found, wanted))
    return new_mask(pixels)
