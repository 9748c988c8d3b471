"""The mask node that combines the simple sources: white is painted, black is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from sdgraph import values
from sdgraph.errors import Problem
from sdgraph.graph import In, Node, SourceFile, refuse
from sdgraph.media import read_image
from sdgraph.nodes.io.files import image_problems
from sdgraph.values import Image

from .changes import feather_mask, grow_mask, invert_mask, resize_mask
from .pixels import new_mask
from .shapes import draw_box, draw_ellipse, draw_polygon, refuse_empty_box
from .sources import match_colour, parse_rgb, transparency

if TYPE_CHECKING:
    from sdgraph.values import Pixels

__all__ = ["Mask"]

SOURCES = ("path", "box", "ellipse", "polygon", "color", "alpha")


class Mask(Node[values.Mask]):
    """Makes a mask from exactly one source: a file, a shape, a colour of the image, or its alpha.

    Its size is `width` × `height` if given, otherwise that of the image or of the file.
    """

    category = "mask"

    image: In[Image] | None = Field(
        default=None, description="the picture that the mask is for; `color` and `alpha` read it"
    )
    path: SourceFile | None = Field(
        default=None, description="a picture file that is white where to paint"
    )
    box: list[int] | None = Field(
        default=None, min_length=4, max_length=4, description="left, top, right, bottom in pixels"
    )
    ellipse: list[int] | None = Field(
        default=None,
        min_length=4,
        max_length=4,
        description="left, top, right, bottom of the box that it touches",
    )
    polygon: list[list[int]] | None = Field(
        default=None, min_length=3, description="corners [[x, y], …] in pixels"
    )
    color: str | None = Field(
        default=None, description="paints where the image has this colour: a name or #rrggbb"
    )
    tolerance: int = Field(
        default=32,
        ge=0,
        le=255,
        description="the largest difference of red, green and blue from `color`",
    )
    alpha: bool = Field(default=False, description="paints where the image is transparent")
    grow: int = Field(
        default=0, ge=-4096, le=4096, description="pixels to grow by; negative shrinks"
    )
    feather: float = Field(
        default=0.0,
        ge=0,
        le=1024,
        description="blurs the border by this radius in pixels, after growing",
    )
    invert: bool = Field(default=False, description="swaps inside and outside, as the last step")
    width: int | None = Field(default=None, ge=1, le=16_384, description="pixels")
    height: int | None = Field(default=None, ge=1, le=16_384, description="pixels")

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        given = [name for name in SOURCES if getattr(self, name)]
        if len(given) != 1:
            found = " and ".join(given) or "no source"
            wanted = f"exactly one of {', '.join(SOURCES)}"
            raise refuse(given[1] if given else "path", found=found, wanted=wanted)
        if given[0] in ("color", "alpha") and self.image is None:
            raise refuse(
                given[0], found="no image", wanted="the image to look at", fix="add `image: $photo`"
            )
        if given[0] != "path" and self.image is None and not (self.width and self.height):
            raise refuse(
                given[0],
                found="a shape without a canvas",
                wanted="an image, or a size",
                fix="add `image: $photo`, or width and height",
            )
        if bool(self.width) != bool(self.height):
            missing = "height" if self.width else "width"
            raise refuse(missing, found="nothing", wanted="width and height together")
        for corner in self.polygon or ():
            if len(corner) != 2:
                raise refuse("polygon", found=f"a corner {list(corner)}", wanted="[x, y]")
        for name in ("box", "ellipse"):
            if shape := getattr(self, name):
                refuse_empty_box(name, shape)
        return self

    @model_validator(mode="after")
    def _known_color(self) -> Self:
        if self.color is not None:
            parse_rgb("color", self.color)
        return self

    def check(self) -> Iterator[Problem]:
        if self.path is not None:
            yield from image_problems(self.path)

    def run(self, image: Image | None) -> values.Mask:
        mask = grow_mask(self._made(image), self.grow)
        if self.feather:
            mask = feather_mask(mask, self.feather)
        return new_mask(invert_mask(mask) if self.invert else mask)

    def _made(self, image: Image | None) -> Pixels:
        if self.path is not None:
            made = values.Mask.from_pil(read_image(self.path)).numpy
        elif not (self.color or self.alpha):
            return self._shape(self._size(image, (0, 0)))
        else:
            assert image is not None, "checked when the node was made"
            made = transparency(image) if self.alpha else self._coloured(image)
        return resize_mask(made, self._size(image, (made.shape[1], made.shape[0])))

    def _coloured(self, image: Image) -> Pixels:
        return match_colour(image, self.color or "", self.tolerance)

    def _size(self, image: Image | None, own: tuple[int, int]) -> tuple[int, int]:
        if self.width and self.height:
            return self.width, self.height
        return image.size if image is not None else own

    def _shape(self, size: tuple[int, int]) -> Pixels:
        if self.box:
            return draw_box(size, self.box)
        return (
            draw_ellipse(size, self.ellipse)
            if self.ellipse
            else draw_polygon(size, self.polygon or ())
        )
