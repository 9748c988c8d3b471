"""The box around a mask that is repainted alone, at the checkpoint's native size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from sdgraph.nodes.diffusion.families import ModelFamily
from sdgraph.nodes.image.padding import MIN_SIDE
from sdgraph.nodes.masks.pixels import PAINTED
from sdgraph.values import Checkpoint, Image, Mask

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import PIL.Image

Box = tuple[int, int, int, int]
"""Left, top, right and bottom in pixels; right and bottom are outside."""


@dataclass(frozen=True)
class CropRegion:
    """A box of a picture, and the width and height that it is resized to for the network."""

    box: Box
    working_size: tuple[int, int]

    @classmethod
    def around_mask(
        cls, mask: Mask, padding: int | None, checkpoint: Checkpoint, family: ModelFamily
    ) -> CropRegion:
        """The region around what a mask marks.

        Args:
            mask: A mask with at least one marked pixel.
            padding: By how many pixels the box grows to each side; None for the whole picture.
            checkpoint: The checkpoint, whose configs give the native size.
            family: Its family.
        """
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
        """The region around a box, resized to the area of the network's native size.

        The proportions are kept, up to rounding to a multiple. A box narrower than half its
        length, or too narrow for the network's shortest side, grows within the picture; if the
        picture is too small for that, the box is stretched to the same area.

        Args:
            marked: The box of what is marked.
            size: The picture's width and height in pixels.
            padding: By how many pixels the box grows to each side.
            native: The network's native width and height.
            multiple: What the sides for the network must be multiples of.
        """
        left, right = _widen(marked[0] - padding, marked[2] + padding, 0, size[0])
        top, bottom = _widen(marked[1] - padding, marked[3] + padding, 0, size[1])
        area = native[0] * native[1]
        min_ratio = min(1.0, max(0.5, MIN_SIDE**2 / area))
        left, right = _widen(left, right, int((bottom - top) * min_ratio), size[0])
        top, bottom = _widen(top, bottom, int((right - left) * min_ratio), size[1])
        width, height = right - left, bottom - top
        scale = (area / (width * height)) ** 0.5
        shortest = -(-MIN_SIDE // multiple) * multiple
        short, long = (
            max(shortest, round(side * scale / multiple) * multiple)
            for side in sorted((width, height))
        )
        long = max(shortest, min(long, area // short // multiple * multiple))
        return cls((left, top, right, bottom), (short, long) if width < height else (long, short))

    def crop(self, picture: PIL.Image.Image) -> PIL.Image.Image:
        """The box of a picture, resized to the working size."""
        import PIL.Image

        return picture.crop(self.box).resize(self.working_size, PIL.Image.Resampling.LANCZOS)

    def crop_mask(self, mask: Mask) -> PIL.Image.Image:
        """The box of a mask in the working size; no thin stroke is lost.

        A pixel is white if any marked pixel falls into it.
        """
        import PIL.Image

        left, top, right, bottom = self.box
        if self.working_size == (right - left, bottom - top):
            return mask.pil.crop(self.box)
        marked = mask.pil.crop(self.box).point(lambda value: 255 if value >= PAINTED else 0)
        small = marked.resize(self.working_size, PIL.Image.Resampling.BOX)
        return small.point(lambda value: 255 if value else 0)

    def paste(self, image: Image, painted: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The whole picture with the repainted box: uint8, height × width × 3.

        Args:
            image: The picture.
            painted: The box in the working size, uint8, height × width × 3.
        """
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
    """The smallest box around the marked pixels of a mask, which has at least one."""
    import numpy as np

    rows, columns = (np.flatnonzero(mask.numpy.max(axis=axis)) for axis in (1, 0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _widen(first: int, last: int, min_length: int, limit: int) -> tuple[int, int]:
    """A span grown equally at both ends to at least `min_length`, within 0..`limit`."""
    missing = max(0, min_length - (last - first))
    first, last = first - missing // 2, last + missing - missing // 2
    first, last = first - max(0, last - limit), last - min(0, first)
    return max(0, first), min(limit, last)
