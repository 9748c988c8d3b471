"""One mask made of another: grown, feathered, turned round, resized."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from sdgraph.graph import In, Node
from sdgraph.values import Image, Mask

from .pixels import new_mask

if TYPE_CHECKING:
    from sdgraph.values import Pixels

__all__ = ["MaskFeather", "MaskGrow", "MaskInvert", "MaskResize"]

_REACH = 64


class MaskGrow(Node[Mask]):
    """The mask grown by a disc, or shrunk: dilation and erosion of its grey values (Serra 1982)."""

    category: ClassVar[str] = "mask"

    mask: In[Mask] = Field(description="a mask of any size")
    by: int = Field(default=8, ge=-4096, le=4096, description="pixels; negative shrinks")

    def run(self, mask: Mask) -> Mask:
        return new_mask(grow_mask(mask.numpy, self.by))


class MaskFeather(Node[Mask]):
    """The mask with soft borders, by a Gaussian blur."""

    category: ClassVar[str] = "mask"

    mask: In[Mask] = Field(description="a mask of any size")
    radius: float = Field(
        default=4.0, gt=0, le=1024, description="standard deviation of the blur in pixels"
    )

    def run(self, mask: Mask) -> Mask:
        return new_mask(feather_mask(mask.numpy, self.radius))


class MaskInvert(Node[Mask]):
    """The mask turned round: what was kept is painted, what was painted is kept."""

    category: ClassVar[str] = "mask"

    mask: In[Mask] = Field(description="a mask of any size")

    def run(self, mask: Mask) -> Mask:
        return new_mask(invert_mask(mask.numpy))


class MaskResize(Node[Mask]):
    """The mask stretched to the size of a picture, by bilinear resampling."""

    category: ClassVar[str] = "mask"

    mask: In[Mask] = Field(description="a mask of any size")
    image: In[Image] = Field(description="the picture that the mask is for: gives the size")

    def run(self, mask: Mask, image: Image) -> Mask:
        return new_mask(resize_mask(mask.numpy, image.size))


def grow_mask(mask: Pixels, by: int) -> Pixels:
    """The mask grown (or shrunk, below 0) by a disc of that radius."""
    import cv2
    import numpy as np

    change: Any = cv2.dilate if by > 0 else cv2.erode
    left = abs(by)
    while left:
        # A large disc takes minutes; several small ones, one after the other, are the same.
        radius = min(left, _REACH)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        before, mask = mask, change(mask, disc)
        left -= radius
        if left and np.array_equal(before, mask):
            break
    return mask


def feather_mask(mask: Pixels, radius: float) -> Pixels:
    """The mask blurred by a Gaussian of that standard deviation."""
    import cv2

    made: Pixels = cv2.GaussianBlur(mask, (0, 0), radius)
    return made


def invert_mask(mask: Pixels) -> Pixels:
    """255 less the mask."""
    import cv2

    made: Pixels = cv2.bitwise_not(mask)
    return made


def resize_mask(mask: Pixels, size: tuple[int, int]) -> Pixels:
    """The mask at that (width, height); itself where it has it."""
    import numpy as np
    import PIL.Image

    if mask.shape == size[::-1]:
        return mask
    made = PIL.Image.fromarray(mask).resize(size, PIL.Image.Resampling.BILINEAR)
    return np.asarray(made)
