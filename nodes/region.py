"""The part of a picture around a mask that is worked on alone, at a network's own size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdgraph import values
from sdgraph.values import Image

from .fit import LEAST

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import PIL.Image

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; the last two are the first beyond."""


@dataclass(frozen=True)
class Region:
    """A box of a picture, and the width and height at which a network works on it."""

    box: Box
    worked: tuple[int, int]

    @classmethod
    def around(
        cls, marked: Box, size: tuple[int, int], padding: int, own: tuple[int, int], multiple: int
    ) -> Region:
        """The box of what is marked, wider by `padding` each side, worked on in the area of `own`.

        A box narrower than half its length grows to that where the picture allows: networks know
        no slivers. Its sides keep their ratio, up to the rounding to a multiple.
        """
        left, right = _wider(marked[0] - padding, marked[2] + padding, 0, size[0])
        top, bottom = _wider(marked[1] - padding, marked[3] + padding, 0, size[1])
        left, right = _wider(left, right, (bottom - top) // 2, size[0])
        top, bottom = _wider(top, bottom, (right - left) // 2, size[1])
        width, height = right - left, bottom - top
        scale = (own[0] * own[1] / (width * height)) ** 0.5
        worked = (
            max(LEAST, multiple, round(side * scale / multiple) * multiple)
            for side in (width, height)
        )
        wide, high = worked
        return cls((left, top, right, bottom), (wide, high))

    def cut(self, picture: PIL.Image.Image) -> PIL.Image.Image:
        """The box of a picture, as large as it is worked on."""
        import PIL.Image

        return picture.crop(self.box).resize(self.worked, PIL.Image.Resampling.LANCZOS)

    def put(self, image: Image, painted: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The colours of the whole picture with the box as it was painted."""
        import numpy as np
        import PIL.Image

        left, top, right, bottom = self.box
        small = PIL.Image.fromarray(painted).resize(
            (right - left, bottom - top), PIL.Image.Resampling.LANCZOS
        )
        whole = image.numpy[..., :3].copy()
        whole[top:bottom, left:right] = np.asarray(small)
        return whole


def marked_box(mask: values.Mask) -> Box:
    """The smallest box that holds all a mask marks; a mask that marks nothing has none."""
    import numpy as np

    rows, columns = (np.flatnonzero(mask.numpy.max(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _wider(first: int, last: int, least: int, most: int) -> tuple[int, int]:
    """A span that is at least so long, both ways alike, and stays between 0 and `most`."""
    missing = max(0, least - (last - first))
    first, last = first - missing // 2, last + missing - missing // 2
    first, last = first - max(0, last - most), last - min(0, first)
    return max(0, first), min(most, last)
