"""Changes a mask: grows, feathers, inverts or resizes it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from sdgraph.graph import In, Node
from sdgraph.nodes.image.resampling import Resample, pillow_filter
from sdgraph.values import Image, Mask

from .pixels import new_mask

if TYPE_CHECKING:
    from sdgraph.values import Pixels

__all__ = ["MaskFeather", "MaskGrow", "MaskInvert", "MaskResize"]

_MAX_RADIUS = 64
"""The largest radius of a disc, in pixels, by which a mask is grown at once."""


class MaskGrow(Node[Mask]):
    """Grows or shrinks a mask by a disc: dilation or erosion of its values (Serra 1982)."""

    category = "mask"

    mask: In[Mask] = Field(description="a mask of any size")
    by: int = Field(default=8, ge=-4096, le=4096, description="pixels to grow by; negative shrinks")

    def size_source(self) -> object:
        return self.mask

    def run(self, mask: Mask) -> Mask:
        return new_mask(grow_mask(mask.numpy, self.by))


class MaskFeather(Node[Mask]):
    """Gives a mask soft borders with a Gaussian blur."""

    category = "mask"

    mask: In[Mask] = Field(description="a mask of any size")
    radius: float = Field(
        default=4.0, gt=0, le=1024, description="standard deviation of the blur in pixels"
    )

    def size_source(self) -> object:
        return self.mask

    def run(self, mask: Mask) -> Mask:
        return new_mask(feather_mask(mask.numpy, self.radius))


class MaskInvert(Node[Mask]):
    """Inverts a mask: what was painted is kept, and what was kept is painted."""

    category = "mask"

    mask: In[Mask] = Field(description="a mask of any size")

    def size_source(self) -> object:
        return self.mask

    def run(self, mask: Mask) -> Mask:
        return new_mask(invert_mask(mask.numpy))


class MaskResize(Node[Mask]):
    """Stretches a mask to the size of a picture, with bilinear resampling."""

    category = "mask"

    mask: In[Mask] = Field(description="a mask of any size")
    image: In[Image] = Field(description="the picture whose size the mask gets")

    def size_source(self) -> object:
        return self.image

    def run(self, mask: Mask, image: Image) -> Mask:
        return new_mask(resize_mask(mask.numpy, image.size))


def grow_mask(mask: Pixels, by: int) -> Pixels:
    """Grows a mask by a disc with a radius of `by` pixels; a negative number shrinks it."""
    import cv2
    import numpy as np

    transform: Any = cv2.dilate if by > 0 else cv2.erode
    remaining = abs(by)
    while remaining:
        # A large disc takes minutes; several small ones in a row give the same result.
        radius = min(remaining, _MAX_RADIUS)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        before, mask = mask, transform(mask, disc)
        remaining -= radius
        if remaining and np.array_equal(before, mask):
            break
    return mask


def feather_mask(mask: Pixels, radius: float) -> Pixels:
    """Blurs a mask by a Gaussian with a standard deviation of `radius` pixels."""
    import cv2

    blurred: Pixels = cv2.GaussianBlur(mask, (0, 0), radius)
    return blurred


def invert_mask(mask: Pixels) -> Pixels:
    """255 minus the mask."""
    import cv2

    inverted: Pixels = cv2.bitwise_not(mask)
    return inverted


def resize_mask(mask: Pixels, size: tuple[int, int], resample: Resample = "bilinear") -> Pixels:
    """A mask resized to (width, height); the same array if it has that size."""
    import numpy as np
    import PIL.Image

    if mask.shape == size[::-1]:
        return mask
    resized = PIL.Image.fromarray(mask).resize(size, pillow_filter(resample))
    return np.asarray(resized)
