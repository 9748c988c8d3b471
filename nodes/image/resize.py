"""Changes the size and the borders of a picture, without a model."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal, Self

from pydantic import Field, model_validator

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Node, refuse
from sdgraph.values import Image

from .colour import check_colour, parse_rgba
from .known_size import known_size
from .resampling import Resample, pillow_filter

__all__ = ["Crop", "Pad", "Resize"]


class Resize(Node[Image]):
    """Resizes a picture, with Lanczos resampling unless another is named."""

    category = "picture"

    image: In[Image] = Field(description="a picture of any size")
    width: int = Field(ge=1, le=16_384, description="the width in pixels")
    height: int = Field(ge=1, le=16_384, description="the height in pixels")
    mode: Literal["stretch", "fit", "fill"] = Field(
        default="stretch",
        description="`stretch` to the size; keep the proportions and `fit` inside it, or `fill` it "
        "and cut the rest",
    )
    multiple: int = Field(
        default=1,
        ge=1,
        le=1024,
        description="sides are rounded to multiples of this, with `fit` rounded down",
    )
    resample: Resample = Field(default="lanczos", description="the filter")

    def run(self, image: Image) -> Image:
        import PIL.ImageOps

        resample = pillow_filter(self.resample)
        size = self.output_size(image.size)
        if self.mode == "fill":
            resized = PIL.ImageOps.fit(image.pil, size, resample)
        else:
            resized = image.pil.resize(size, resample)
        return Image.from_pil(resized)

    def size_source(self) -> object:
        return self.image if self.mode == "fit" else (self.width, self.height)

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The width and height of the result for a picture of that size."""
        box = (self.width, self.height)
        if self.mode == "fit":
            return _round_to_multiples(fit_size(size, box), self.multiple, down=True)
        return _round_to_multiples(box, self.multiple)


class Crop(Node[Image]):
    """Cuts a part out of a picture: a box, or the middle in a given size."""

    category = "picture"

    image: In[Image] = Field(description="a picture of any size")
    box: list[int] | None = Field(
        default=None, min_length=4, max_length=4, description="left, top, right, bottom in pixels"
    )
    width: int | None = Field(
        default=None,
        ge=1,
        le=16_384,
        description="pixels in the middle; the whole side if not given",
    )
    height: int | None = Field(
        default=None,
        ge=1,
        le=16_384,
        description="pixels in the middle; the whole side if not given",
    )

    @model_validator(mode="after")
    def _box_or_size(self) -> Self:
        if self.box is None:
            if self.width is None and self.height is None:
                raise refuse("box", found="no part", wanted="a box, or width or height")
        elif self.width is not None or self.height is not None:
            raise refuse("box", found="both a box and a size", wanted="one of the two")
        elif self.box[0] >= self.box[2] or self.box[1] >= self.box[3]:
            found = f"{list(self.box)}, which holds no pixel"
            raise refuse("box", found=found, wanted="left < right and top < bottom")
        elif min(self.box) < 0:
            raise refuse(
                "box",
                found=str(list(self.box)),
                wanted="pixels of the picture, from 0",
                fix="Pad makes a picture larger",
            )
        return self

    def run(self, image: Image) -> Image:
        if (problem := self._outside(image.size)) is not None:
            raise InvalidValueError(problem)
        left, top, right, bottom = self.box or self._middle(image.size)
        return Image(image.numpy[top:bottom, left:right])

    def check(self) -> Iterator[Problem]:
        size = known_size(self.image)
        if size is not None and (problem := self._outside(size)) is not None:
            yield problem

    def _outside(self, size: tuple[int, int]) -> Problem | None:
        """The problem of a part that reaches beyond a picture of that size."""
        left, top, right, bottom = self.box or self._middle(size)
        if left >= 0 and top >= 0 and right <= size[0] and bottom <= size[1]:
            return None
        corner = f" from ({left}, {top})" if self.box else ""
        part = f"{right - left}×{bottom - top}{corner}"
        found = f"the part {part}, which reaches beyond the {size[0]}×{size[1]}"
        fix = "Pad makes a picture larger"
        return Problem("image", found, "a part inside the picture", fix)

    def size_source(self) -> object:
        return self.image

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The width and height of the part of a picture of that size."""
        left, top, right, bottom = self.box or self._middle(size)
        return right - left, bottom - top

    def _middle(self, size: tuple[int, int]) -> tuple[int, int, int, int]:
        width, height = self.width or size[0], self.height or size[1]
        left, top = (size[0] - width) // 2, (size[1] - height) // 2
        return left, top, left + width, top + height


class Pad(Node[Image]):
    """Adds pixels around a picture: a number on each side, or up to a size."""

    category = "picture"

    image: In[Image] = Field(description="a picture of any size")
    left: int = Field(default=0, ge=0, le=16_384, description="pixels on the left")
    top: int = Field(default=0, ge=0, le=16_384, description="pixels at the top")
    right: int = Field(default=0, ge=0, le=16_384, description="pixels on the right")
    bottom: int = Field(default=0, ge=0, le=16_384, description="pixels at the bottom")
    width: int | None = Field(
        default=None, ge=1, le=16_384, description="the full width, with the picture in the middle"
    )
    height: int | None = Field(
        default=None, ge=1, le=16_384, description="the full height, with the picture in the middle"
    )
    mode: Literal["color", "edge", "reflect"] = Field(
        default="color",
        description="what is added: one `color`, the repeated `edge`, or a mirror image",
    )
    color: str = Field(
        default="black",
        description="a name, #rrggbb, or #rrggbbaa, which gives the picture an alpha channel",
    )

    @model_validator(mode="after")
    def _size_or_sides(self) -> Self:
        for total, sides in (("width", ("left", "right")), ("height", ("top", "bottom"))):
            if getattr(self, total) is not None and any(getattr(self, side) for side in sides):
                raise refuse(
                    total, found=f"both {total} and {' or '.join(sides)}", wanted="one of the two"
                )
        check_colour("color", self.color)
        return self

    def size_source(self) -> object:
        return self.image

    def check(self) -> Iterator[Problem]:
        size = known_size(self.image)
        for name, side in zip(("width", "height"), size or (), strict=False):
            total = getattr(self, name)
            if total is not None and total < side:
                yield _too_small(name, total, side)

    def run(self, image: Image) -> Image:
        import cv2
        import numpy as np

        left, right = self._margins(image.width, self.width, self.left, self.right, "width")
        top, bottom = self._margins(image.height, self.height, self.top, self.bottom, "height")
        pixels, color = image.numpy, parse_rgba(self.color)
        if self.mode == "color" and pixels.shape[2] == 3 and color[3] < 255:
            pixels = np.dstack([pixels, np.full(pixels.shape[:2], 255, np.uint8)])
        borders = {"edge": cv2.BORDER_REPLICATE, "reflect": cv2.BORDER_REFLECT_101}
        border = borders.get(self.mode, cv2.BORDER_CONSTANT)
        padded = cv2.copyMakeBorder(pixels, top, bottom, left, right, border, value=color)
        padded.setflags(write=False)  # spares Image a copy
        return Image(np.asarray(padded, np.uint8))

    def output_size(self, size: tuple[int, int]) -> tuple[int, int]:
        """The width and height of the result for a picture of that size."""
        width = self.left + size[0] + self.right
        height = self.top + size[1] + self.bottom
        return self.width or width, self.height or height

    def _margins(
        self, side: int, total: int | None, before: int, after: int, name: str
    ) -> tuple[int, int]:
        """The number of pixels to add before and after a side.

        Args:
            side: The length of the side.
            total: The length to reach; None adds `before` and `after`.
            before: Pixels to the left or above.
            after: Pixels to the right or below.
            name: The name of the field with `total`, for the error.
        """
        if total is None:
            return before, after
        if total < side:
            raise InvalidValueError(_too_small(name, total, side))
        return (total - side) // 2, total - side - (total - side) // 2


def _too_small(name: str, total: int, side: int) -> Problem:
    fix = "Crop or Resize makes a picture smaller"
    return Problem(name, str(total), f"at least {side}, that of the image", fix)


def fit_size(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The largest size with the same proportions inside a box; no side is less than a pixel.

    Args:
        size: Width and height.
        box: The largest width and height.

    Example:
        >>> fit_size((200, 100), (64, 64))
        (64, 32)
    """
    scale = min(box[0] / size[0], box[1] / size[1])
    width, height = (max(1, round(side * scale)) for side in size)
    return width, height


def _round_to_multiples(
    size: tuple[int, int], multiple: int, *, down: bool = False
) -> tuple[int, int]:
    """Both sides rounded to multiples (rounded down if `down`), at least one multiple each."""
    width, height = (
        max(1, side // multiple if down else (2 * side + multiple) // (2 * multiple))
        for side in size
    )
    return width * multiple, height * multiple
