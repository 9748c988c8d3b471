"""Pictures of any size through networks that take multiples of a factor: pad, and cut back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdgraph.errors import InvalidValueError, Problem

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import PIL.Image

MIN_SIDE = 64
"""The shortest side a U-Net with three halvings and a VAE of factor 8 takes."""


@dataclass(frozen=True)
class Padding:
    """A picture's size and the padded one that the network sees; pixels stay where they are."""

    size: tuple[int, int]
    padded: tuple[int, int]

    @classmethod
    def of(cls, size: tuple[int, int], multiple: int) -> Padding:
        """The least padding to the right and below that makes both sides multiples."""
        width, height = (max(MIN_SIDE, -(-side // multiple) * multiple) for side in size)
        return cls(size, (width, height))

    def pad(self, picture: PIL.Image.Image) -> PIL.Image.Image:
        """The picture with its last row and column repeated; itself where nothing is to do."""
        import numpy as np
        import PIL.Image

        if self.size == self.padded:
            return picture
        return PIL.Image.fromarray(self.pad_array(np.asarray(picture)))

    def pad_array(self, array: npt.NDArray[np.generic]) -> npt.NDArray[np.generic]:
        """The same for an array of height × width (× channels)."""
        import numpy as np

        right, below = (self.padded[n] - self.size[n] for n in (0, 1))
        rest = ((0, 0),) * (array.ndim - 2)
        return np.pad(array, ((0, below), (0, right), *rest), mode="edge")

    def cut(self, array: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The part of a network's picture that stands over the original."""
        width, height = self.size
        return array[:height, :width]


def check_same_size(one: tuple[int, int], other: tuple[int, int], names: tuple[str, str]) -> None:
    """Raises InvalidValueError that names both sizes where they differ."""
    if one != other:
        found = f"{other[0]}×{other[1]}, and the {names[0]} is {one[0]}×{one[1]}"
        raise InvalidValueError(Problem(names[1], found, "one size", f"resize the {names[1]}"))
