"""The mask node that combines the simple sources: white is painted, black is kept."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Self

from pydantic import Field, model_validator

from sdgraph import values
from sdgraph.errors import Problem
from sdgraph.graph import In, Node, SourceFile, refuse
from sdgraph.nodes.image.colour import check_colour
from sdgraph.nodes.image.resampling import Resample
from sdgraph.values import Image

from .changes import feather_mask, grow_mask, invert_mask, resize_mask
from .mask_files import mask_file_problems, read_mask_file
from .pixels import new_mask
from .shapes import draw_box, draw_ellipse, draw_polygon, refuse_empty_box
from .sources import match_colour, read_transparency

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
    resample: Resample = Field(
        default="bilinear", description="the filter, where the source has another size"
    )

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        sources = [name for name in SOURCES if getattr(self, name)]
        if len(sources) != 1:
            found = " and ".join(sources) or "no source"
            wanted = f"exactly one of {', '.join(SOURCES)}"
            raise refuse(sources[1] if sources else "path", found=found, wanted=wanted)
        if sources[0] in ("color", "alpha") and self.image is None:
            raise refuse(
                sources[0],
                found="no image",
                wanted="the image to look at",
                fix="add `image: $photo`",
            )
        if sources[0] != "path" and self.image is None and not (self.width and self.height):
            raise refuse(
                sources[0],
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
            check_colour("color", self.color)
        return self

    def check(self) -> Iterator[Problem]:
        if self.path is not None:
            yield from mask_file_problems(self.path)

    def size_source(self) -> object:
        size = self.width, self.height
        return size if self.width and self.height else self.image or self.path

    def run(self, image: Image | None) -> values.Mask:
        mask = grow_mask(self._draw(image), self.grow)
        if self.feather:
            mask = feather_mask(mask, self.feather)
        return new_mask(invert_mask(mask) if self.invert else mask)

    def _draw(self, image: Image | None) -> Pixels:
        """The mask of the source, in the size of the result."""
        if self.path is not None:
            pixels = read_mask_file(self.path).numpy
        elif not (self.color or self.alpha):
            return self._draw_shape(self._size(image, (0, 0)))
        else:
            assert image is not None, "checked when the node was made"
            if self.alpha:
                pixels = read_transparency(image)
            else:
                pixels = match_colour(image, self.color or "", self.tolerance)
        size = self._size(image, (pixels.shape[1], pixels.shape[0]))
        return resize_mask(pixels, size, self.resample)

    def _size(self, image: Image | None, own: tuple[int, int]) -> tuple[int, int]:
        if self.width and self.height:
            return self.width, self.height
        return image.size if image is not None else own

    def _draw_shape(self, size: tuple[int, int]) -> Pixels:
        if self.box:
            return draw_box(size, self.box)
        return (
            draw_ellipse(size, self.ellipse)
            if self.ellipse
            else draw_polygon(size, self.polygon or ())
        )
