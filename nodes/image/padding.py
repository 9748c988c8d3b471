"""Pads pictures for networks that need multiples of a factor, and cuts their results back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdgraph.errors import InvalidValueError, Problem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import PIL.Image

MIN_SIDE = 64
"""The shortest side in pixels: a VAE divides it by 8, and a U-Net halves it three times."""


@dataclass(frozen=True)
class Padding:
    """The size of a picture and its size after padding; padding is added right and below."""

    size: tuple[int, int]
    padded: tuple[int, int]

    @classmethod
    def of(cls, size: tuple[int, int], multiple: int) -> Padding:
        """The smallest padding that makes both sides multiples of a number, at least MIN_SIDE.

        Args:
            size: Width and height of the picture in pixels.
            multiple: What the sides must be multiples of.
        """
        width, height = (max(MIN_SIDE, -(-side // multiple) * multiple) for side in size)
        return cls(size, (width, height))

    def pad(self, picture: PIL.Image.Image) -> PIL.Image.Image:
        """The picture with its last row and column repeated; itself if no padding is needed."""
        import numpy as np
        import PIL.Image

        if self.size == self.padded:
            return picture
        return PIL.Image.fromarray(self.pad_array(np.asarray(picture)))

    def pad_array(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """An array of height × width (× channels) with its last row and column repeated."""
        import numpy as np

        right, below = (self.padded[n] - self.size[n] for n in (0, 1))
        rest = ((0, 0),) * (array.ndim - 2)
        return np.pad(array, ((0, below), (0, right), *rest), mode="edge")

    def cut(self, array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The part of a result, height × width × channels, that belongs to the picture."""
        width, height = self.size
        return array[:height, :width]


def check_same_size(one: tuple[int, int], other: tuple[int, int], names: tuple[str, str]) -> None:
    """Raises InvalidValueError if two sizes differ.

    Args:
        one: Width and height of the first.
        other: Width and height of the second.
        names: What the two are, for the error.
    """
    if one != other:
        found = f"{other[0]}×{other[1]}, and the {names[0]} is {one[0]}×{one[1]}"
        raise InvalidValueError(Problem(names[1], found, "one size", f"resize the {names[1]}"))
