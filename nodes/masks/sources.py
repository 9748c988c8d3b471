"""Reads masks from files, from the transparency of pictures and from their colours."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Node, SourceFile, refuse
from sdgraph.media import read_image
from sdgraph.nodes.io.files import image_problems
from sdgraph.values import Image, Mask

from .pixels import new_mask, nonempty_mask

if TYPE_CHECKING:
    from sdgraph.values import Pixels

__all__ = ["MaskFromAlpha", "MaskFromColor", "MaskFromFile"]


class MaskFromFile(Node[Mask]):
    """Loads a mask from a picture file: its brightness, without its alpha."""

    category = "mask"

    path: SourceFile = Field(description="a picture file that is white where to paint")

    def check(self) -> Iterator[Problem]:
        yield from image_problems(self.path)

    def run(self) -> Mask:
        return Mask.from_pil(read_image(self.path))


class MaskFromAlpha(Node[Mask]):
    """Paints where a picture is transparent; it fails if the picture has no alpha channel."""

    category = "mask"

    image: In[Image] = Field(description="a picture with transparency")

    def run(self, image: Image) -> Mask:
        return new_mask(transparency(image))


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
        parse_rgb("color", self.color)
        return self

    def run(self, image: Image) -> Mask:
        made = match_colour(image, self.color, self.tolerance)
        return nonempty_mask(made, self.color, "a colour that it has, or a larger tolerance")


def parse_rgb(field: str, color: str) -> tuple[int, int, int]:
    """Red, green and blue of a colour; raises the validation error of a field that has none."""
    from PIL import ImageColor

    try:
        red, green, blue = ImageColor.getrgb(color)[:3]
    except ValueError:
        raise refuse(field, found=repr(color), wanted="a colour name or #rrggbb") from None
    return red, green, blue


def transparency(image: Image) -> Pixels:
    """The transparency of each pixel: uint8, 255 is fully transparent.

    Raises:
        InvalidValueError: The picture has no alpha channel.
    """
    import cv2

    pixels = image.numpy
    if pixels.shape[2] == 3:
        raise InvalidValueError(Problem("image", "no alpha channel", "one with transparency"))
    made: Pixels = cv2.bitwise_not(cv2.extractChannel(pixels, 3))
    return made


def match_colour(image: Image, color: str, tolerance: int) -> Pixels:
    """255 where red, green and blue differ from a colour by at most a tolerance, else 0."""
    import cv2

    pixels = image.numpy
    # The fourth number is for the alpha of a picture that has one: any alpha matches.
    wanted = parse_rgb("color", color)
    low = (*(channel - tolerance for channel in wanted), 0)
    high = (*(channel + tolerance for channel in wanted), 255)
    channels = pixels.shape[2]
    made: Pixels = cv2.inRange(pixels, low[:channels], high[:channels])
    return made
