"""Makes mask values of pixels that a node has just computed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.values import Mask

if TYPE_CHECKING:
    from sdgraph.values import Pixels

PAINTED = 128
"""A pixel of at least this value counts as painted, as in the pipelines of diffusers."""


def new_mask(pixels: Pixels) -> Mask:
    """A mask of an array that nobody else uses: the array becomes read-only and is not copied."""
    pixels.setflags(write=False)
    return Mask(pixels)


def nonempty_mask(pixels: Pixels, subject: str, wanted: str) -> Mask:
    """A mask of an array that nobody else uses and that may not be empty.

    Args:
        pixels: uint8, height × width.
        subject: What made the mask, for the error.
        wanted: What to try if it is empty, for the error.

    Raises:
        InvalidValueError: No pixel is above 0.
    """
    import cv2

    if not cv2.hasNonZero(pixels):
        width, height = pixels.shape[1], pixels.shape[0]
        found = f"it marks nothing in the picture of {width}×{height}"
        raise InvalidValueError(Problem(subject, found, wanted))
    return new_mask(pixels)
