"""Draws masks from coordinates: boxes, ellipses, polygons and brush strokes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Self

from pydantic import Field, model_validator

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Node, refuse
from sdgraph.values import Image, Mask

from .pixels import nonempty_mask

if TYPE_CHECKING:
    import PIL.Image
    import PIL.ImageDraw

    from sdgraph.values import Pixels

__all__ = ["MaskBox", "MaskBrush", "MaskEllipse", "MaskPolygon"]

Coordinate = Annotated[int, Field(ge=-65_536, le=65_536)]
Box = Annotated[list[Coordinate], Field(min_length=4, max_length=4)]
Points = list[Annotated[list[Coordinate], Field(min_length=2, max_length=2)]]


class DrawnMask(Node[Mask]):
    """The base of all drawn masks: a mask with the size of its picture.

    What is outside the picture is cut off; it fails if nothing is left.
    """

    category = "mask"

    image: In[Image] = Field(description="the picture whose size the mask gets")

    def run(self, image: Image) -> Mask:
        return nonempty_mask(
            self.draw(image.size), "the shape", "one that reaches into the picture"
        )

    def size_source(self) -> object:
        return self.image

    def draw(self, size: tuple[int, int]) -> Pixels:
        """The shape as a new array, uint8, for a picture of (width, height)."""
        raise NotImplementedError


class MaskBox(DrawnMask):
    """Draws a rectangle, given by two corners."""

    box: Box = Field(
        description="left, top, right, bottom in pixels; right and bottom are not painted",
        examples=[[16, 16, 48, 48]],
    )

    @model_validator(mode="after")
    def _holds_a_pixel(self) -> Self:
        refuse_empty_box("box", self.box)
        return self

    def draw(self, size: tuple[int, int]) -> Pixels:
        return draw_box(size, self.box)


class MaskEllipse(DrawnMask):
    """Draws the ellipse that touches the sides of a box."""

    box: Box = Field(
        description="left, top, right, bottom in pixels; right and bottom are not painted",
        examples=[[16, 16, 48, 48]],
    )

    @model_validator(mode="after")
    def _holds_a_pixel(self) -> Self:
        refuse_empty_box("box", self.box)
        return self

    def draw(self, size: tuple[int, int]) -> Pixels:
        return draw_ellipse(size, self.box)


class MaskPolygon(DrawnMask):
    """Draws a filled polygon, by the even-odd rule where its sides cross."""

    points: Points = Field(
        min_length=3,
        description="the corners [[x, y], …] in pixels",
        examples=[[[16, 16], [48, 16], [32, 48]]],
    )

    def draw(self, size: tuple[int, int]) -> Pixels:
        return draw_polygon(size, self.points)


class MaskBrush(DrawnMask):
    """Draws strokes of a round brush along points."""

    strokes: list[Annotated[Points, Field(min_length=1)]] = Field(
        min_length=1,
        description="[[[x, y], …], …] in pixels; a stroke of one point is a dot",
        examples=[[[[16, 32], [48, 32]]]],
    )
    radius: int = Field(default=16, ge=1, le=512, description="the radius of the brush in pixels")
    hardness: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="the share of the radius that is fully painted; outside it fades",
    )

    def draw(self, size: tuple[int, int]) -> Pixels:
        return draw_brush(size, self.strokes, self.radius, self.hardness)


def refuse_empty_box(field: str, box: Sequence[int]) -> None:
    """Raises the validation error of a box that contains no pixel."""
    if box[0] >= box[2] or box[1] >= box[3]:
        found = f"{list(box)}, which holds no pixel"
        raise refuse(field, found=found, wanted="left < right and top < bottom")


def clip_box(box: Sequence[int], size: tuple[int, int]) -> list[int]:
    """The part of a box inside a picture of (width, height); raises InvalidValueError if empty."""
    left, top = max(0, box[0]), max(0, box[1])
    right, bottom = min(size[0], box[2]), min(size[1], box[3])
    if left >= right or top >= bottom:
        found = f"{list(box)}, which lies outside the picture of {size[0]}×{size[1]}"
        raise InvalidValueError(Problem("box", found, "a box that reaches into it"))
    return [left, top, right, bottom]


def draw_box(size: tuple[int, int], bounds: Sequence[int]) -> Pixels:
    """A rectangle, 255 on 0; right and bottom are not painted."""
    import numpy as np

    left, top, right, bottom = (max(0, side) for side in bounds)
    mask = np.zeros(size[::-1], np.uint8)
    mask[top:bottom, left:right] = 255
    return mask


def draw_ellipse(size: tuple[int, int], bounds: Sequence[int]) -> Pixels:
    """The ellipse in a rectangle, 255 on 0."""
    left, top, right, bottom = bounds
    canvas, draw = _new_canvas(size)
    draw.ellipse((left, top, right - 1, bottom - 1), fill=255)
    return _to_array(canvas)


def draw_polygon(size: tuple[int, int], points: Sequence[Sequence[int]]) -> Pixels:
    """A filled polygon, 255 on 0, by the even-odd rule."""
    canvas, draw = _new_canvas(size)
    draw.polygon([(x, y) for x, y in points], fill=255)
    return _to_array(canvas)


def draw_brush(
    size: tuple[int, int],
    strokes: Sequence[Sequence[Sequence[int]]],
    radius: int,
    hardness: float = 1.0,
) -> Pixels:
    """Strokes of a round brush: uint8, height × width, 255 on 0.

    Args:
        size: Width and height in pixels.
        strokes: The points of each stroke, x and y in pixels; a single point draws a dot.
        radius: The radius of the brush in pixels.
        hardness: The share of the radius, 0..1, that is fully painted; outside it fades linearly.
    """
    import cv2
    import numpy as np

    mask = np.zeros(size[::-1], np.uint8)
    # A line of one point goes from that point to itself; otherwise OpenCV draws nothing.
    lines = [np.array([*stroke[:1], *stroke], np.int32) for stroke in strokes]
    hard = max(1, round(radius * hardness))
    for reach in range(radius, hard - 1, -1):
        value = round(255 * (radius + 1 - reach) / (radius + 1 - hard))
        cv2.polylines(mask, lines, isClosed=False, color=value, thickness=2 * reach)
    return mask


def _new_canvas(size: tuple[int, int]) -> tuple[PIL.Image.Image, PIL.ImageDraw.ImageDraw]:
    import PIL.Image
    import PIL.ImageDraw

    canvas = PIL.Image.new("L", size)
    return canvas, PIL.ImageDraw.Draw(canvas)


def _to_array(canvas: PIL.Image.Image) -> Pixels:
    import numpy as np

    return np.asarray(canvas)
