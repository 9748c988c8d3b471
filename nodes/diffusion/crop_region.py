"""The part of a picture around a mask that is worked on alone, at a network's native size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdgraph.nodes.image.padding import MIN_SIDE
from sdgraph.nodes.masks.pixels import PAINTED
from sdgraph.values import Checkpoint, Image, Mask

from .families import ModelFamily

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import PIL.Image

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; the last two are the first beyond."""


@dataclass(frozen=True)
class CropRegion:
    """A box of a picture, and the width and height at which a network works on it."""

    box: Box
    working_size: tuple[int, int]

    @classmethod
    def around_mask(
        cls, mask: Mask, padding: int | None, checkpoint: Checkpoint, family: ModelFamily
    ) -> CropRegion:
        """The region around what a mask marks; the whole picture where `padding` is None."""
        if padding is None:
            return cls((0, 0, *mask.size), mask.size)
        native, multiple = family.native_size(checkpoint), family.size_multiple(checkpoint)
        return cls.around_box(marked_box(mask), mask.size, padding, native, multiple)

    @classmethod
    def around_box(
        cls,
        marked: Box,
        size: tuple[int, int],
        padding: int,
        native: tuple[int, int],
        multiple: int,
    ) -> CropRegion:
        """The region around a box that is worked on in the area of a network's native size.

        Its sides keep their ratio, up to the rounding to a multiple. A box narrower than half its
        length, or than the shortest side of a network allows, grows as far as the picture goes;
        where that is not far enough it is stretched, and the area stays.

        Args:
            marked: The box of what is marked.
            size: The picture's width and height in pixels.
            padding: By how many pixels the box grows to each side.
            native: The width and height that the network is made for.
            multiple: What the sides that are worked at must be multiples of.
        """
        left, right = _wider(marked[0] - padding, marked[2] + padding, 0, size[0])
        top, bottom = _wider(marked[1] - padding, marked[3] + padding, 0, size[1])
        area = native[0] * native[1]
        share = min(1.0, max(0.5, MIN_SIDE**2 / area))
        left, right = _wider(left, right, int((bottom - top) * share), size[0])
        top, bottom = _wider(top, bottom, int((right - left) * share), size[1])
        width, height = right - left, bottom - top
        scale = (area / (width * height)) ** 0.5
        least = -(-MIN_SIDE // multiple) * multiple
        short, long = (
            max(least, round(side * scale / multiple) * multiple)
            for side in sorted((width, height))
        )
        long = max(least, min(long, area // short // multiple * multiple))
        return cls((left, top, right, bottom), (short, long) if width < height else (long, short))

    def crop(self, picture: PIL.Image.Image) -> PIL.Image.Image:
        """The box of a picture, resized to the size that is worked at."""
        import PIL.Image

        return picture.crop(self.box).resize(self.working_size, PIL.Image.Resampling.LANCZOS)

    def crop_mask(self, mask: Mask) -> PIL.Image.Image:
        """The box of a mask, white wherever a marked pixel falls: no thin stroke is lost."""
        import PIL.Image

        left, top, right, bottom = self.box
        if self.working_size == (right - left, bottom - top):
            return mask.pil.crop(self.box)
        marked = mask.pil.crop(self.box).point(lambda value: 255 if value >= PAINTED else 0)
        small = marked.resize(self.working_size, PIL.Image.Resampling.BOX)
        return small.point(lambda value: 255 if value else 0)

    def paste(self, image: Image, painted: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
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


def marked_box(mask: Mask) -> Box:
    """The smallest box around all that a mask marks; the mask marks something."""
    import numpy as np

    rows, columns = (np.flatnonzero(mask.numpy.max(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _wider(first: int, last: int, least: int, most: int) -> tuple[int, int]:
    """A span grown both ways alike until it is `least` long, within 0 and `most`."""
    missing = max(0, least - (last - first))
    first, last = first - missing // 2, last + missing - missing // 2
    first, last = first - max(0, last - most), last - min(0, first)
    return max(0, first), min(most, last)
