"""Reads masks from files, from the transparency of pictures and from their colours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Node, SourceFile
from sdgraph.nodes.image.colour import check_colour, parse_rgba
from sdgraph.values import Image, Mask

from .mask_files import mask_file_problems, read_mask_file
from .pixels import new_mask, nonempty_mask

if TYPE_CHECKING:
    from sdgraph.values import Pixels

__all__ = ["MaskFromAlpha", "MaskFromColor", "MaskFromFile"]


class MaskFromFile(Node[Mask]):
    """Loads a mask from a picture file: its brightness."""

    category = "mask"

    path: SourceFile = Field(description="a picture file that is white where to paint")

    def check(self) -> Iterator[Problem]:
        yield from mask_file_problems(self.path)

    def size_source(self) -> object:
        return self.path

    def run(self) -> Mask:
        return read_mask_file(self.path)


class MaskFromAlpha(Node[Mask]):
    """Paints where a picture is transparent; it fails if the picture has no alpha channel."""

    category = "mask"

    image: In[Image] = Field(description="a picture with transparency")

    def size_source(self) -> object:
        return self.image

    def run(self, image: Image) -> Mask:
        return new_mask(read_transparency(image))


class MaskFromColor(Node[Mask]):
    """Paints where a picture has a colour; it fails if the picture has it nowhere."""

    category = "mask"

    image: In[Image] = Field(description="a picture of any size; alpha is ignored")
    color: str = Field(description="a name or #rrggbb", examples=["red"])
    tolerance: int = Field(
        default=32,
        ge=0,
        le=255,
        description="the largest difference of red, green and blue from `color`",
    )

    @model_validator(mode="after")
    def _known_color(self) -> Self:
        check_colour("color", self.color)
        return self

    def size_source(self) -> object:
        return self.image

    def run(self, image: Image) -> Mask:
        pixels = match_colour(image, self.color, self.tolerance)
        return nonempty_mask(pixels, self.color, "a colour that it has, or a larger tolerance")


def read_transparency(image: Image) -> Pixels:
    """The transparency of each pixel: uint8, 255 is fully transparent.

    Raises:
        InvalidValueError: The picture has no alpha channel.
    """
    import cv2

    pixels = image.numpy
    if pixels.shape[2] == 3:
        raise InvalidValueError(Problem("image", "no alpha channel", "one with transparency"))
    inverted: Pixels = cv2.bitwise_not(cv2.extractChannel(pixels, 3))
    return inverted


def match_colour(image: Image, color: str, tolerance: int) -> Pixels:
    """A mask of the pixels with a colour: uint8, height × width, 255 or 0.

    Args:
        image: The picture; its alpha is ignored.
        color: A name or #rrggbb.
        tolerance: The largest difference of red, green and blue each, 0..255.
    """
    import cv2

    pixels = image.numpy
    # The fourth number is for the alpha of a picture that has one: any alpha matches.
    wanted = parse_rgba(color)[:3]
    low = (*(channel - tolerance for channel in wanted), 0)
    high = (*(channel + tolerance for channel in wanted), 255)
    channels = pixels.shape[2]
    matches: Pixels = cv2.inRange(pixels, low[:channels], high[:channels])
    return matches
