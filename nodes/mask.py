"""Masks: white where something is to be painted, black where the picture stays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar, Self

from pydantic import Field, model_validator

from sdgraph import values
from sdgraph.errors import MediaError, Problem, ValueRefused
from sdgraph.media import probe_image, read_image
from sdgraph.node import In, Node, SourceFile, refuse
from sdgraph.values import Image

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

SOURCES = ("path", "box", "ellipse", "polygon", "color", "alpha")


class Mask(Node[values.Mask]):
    """A mask from exactly one source: a file, a shape, a colour of the image, or its alpha.

    Its size is `width` × `height` where given, else the image's, else the file's.
    """

    category: ClassVar[str] = "mask"

    image: In[Image] | None = Field(
        default=None, description="gives the size; color and alpha look at it"
    )
    path: SourceFile | None = Field(default=None, description="a picture, white where to paint")
    box: list[int] | None = Field(
        default=None, min_length=4, max_length=4, description="left, top, right, bottom in pixels"
    )
    ellipse: list[int] | None = Field(
        default=None, min_length=4, max_length=4, description="the box it touches"
    )
    polygon: list[list[int]] | None = Field(
        default=None, min_length=3, description="corners [[x, y], …] in pixels"
    )
    color: str | None = Field(default=None, description="where the image has it: a name or #rrggbb")
    tolerance: int = Field(
        default=32,
        ge=0,
        le=255,
        description="how far each of red, green and blue may be from color",
    )
    alpha: bool = Field(default=False, description="where the image is transparent")
    grow: int = Field(
        default=0, ge=-4096, le=4096, description="pixels to grow by; negative shrinks"
    )
    feather: float = Field(
        default=0.0, ge=0, le=1024, description="blur radius in pixels, after growing"
    )
    invert: bool = Field(default=False, description="swap inside and outside, at the last")
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
            raise refuse(given[0], found="no image", wanted="the image to look at",
                         fix="add `image: $photo`")  # fmt: skip
        if given[0] != "path" and self.image is None and not (self.width and self.height):
            raise refuse(given[0], found="a shape without a canvas", wanted="an image, or a size",
                         fix="add `image: $photo`, or width and height")  # fmt: skip
        if bool(self.width) != bool(self.height):
            missing = "height" if self.width else "width"
            raise refuse(missing, found="nothing", wanted="width and height together")
        for corner in self.polygon or ():
            if len(corner) != 2:
                raise refuse("polygon", found=f"a corner {list(corner)}", wanted="[x, y]")
        for name in ("box", "ellipse"):
            if (shape := getattr(self, name)) and (shape[0] >= shape[2] or shape[1] >= shape[3]):
                found = f"{list(shape)}, which holds no pixel"
                raise refuse(name, found=found, wanted="left < right and top < bottom")
        return self

    @model_validator(mode="after")
    def _known_color(self) -> Self:
        if self.color is not None:
            from PIL import ImageColor

            try:
                ImageColor.getrgb(self.color)
            except ValueError:
                raise refuse("color", found=repr(self.color),
                             wanted="a colour name or #rrggbb") from None  # fmt: skip
        return self

    def check(self) -> Iterator[Problem]:
        if self.path is not None:
            try:
                probe_image(self.path)
            except MediaError as error:
                yield error.about("path", "a picture that can be opened")

    def run(self, image: Image | None) -> values.Mask:
        mask = self._drawn(image)
        if self.grow:
            mask = _grown(mask, self.grow)
        if self.feather:
            mask = _feathered(mask, self.feather)
        return values.Mask(255 - mask if self.invert else mask)

    def _drawn(self, image: Image | None) -> npt.NDArray[np.uint8]:
        import numpy as np
        import PIL.Image

        if self.color or self.alpha:
            assert image is not None, "checked when the node was made"
            found = self._where(image)
        elif self.path is not None:
            found = values.Mask.from_pil(read_image(self.path)).numpy
        else:
            found = self._shape(self._size(image))
        size = self._size(image, (found.shape[1], found.shape[0]))
        if size == (found.shape[1], found.shape[0]):
            return found
        resized = PIL.Image.fromarray(found).resize(size, PIL.Image.Resampling.BILINEAR)
        return np.asarray(resized)

    def _size(self, image: Image | None, own: tuple[int, int] = (0, 0)) -> tuple[int, int]:
        if self.width and self.height:
            return self.width, self.height
        return image.size if image is not None else own

    def _where(self, image: Image) -> npt.NDArray[np.uint8]:
        import numpy as np
        from PIL import ImageColor

        pixels = image.numpy
        if self.alpha:
            if pixels.shape[2] == 3:
                raise ValueRefused("the image has no alpha channel; wanted one with transparency")
            return 255 - pixels[..., 3]
        color = np.array(ImageColor.getrgb(self.color or "")[:3], dtype=np.int16)
        far = np.abs(pixels[..., :3].astype(np.int16) - color).max(axis=2)
        return np.where(far <= self.tolerance, 255, 0).astype(np.uint8)

    def _shape(self, size: tuple[int, int]) -> npt.NDArray[np.uint8]:
        import numpy as np
        import PIL.Image
        from PIL import ImageDraw

        canvas = PIL.Image.new("L", size)
        draw = ImageDraw.Draw(canvas)
        if self.box:
            left, top, right, bottom = self.box
            draw.rectangle((left, top, right - 1, bottom - 1), fill=255)
        elif self.ellipse:
            left, top, right, bottom = self.ellipse
            draw.ellipse((left, top, right - 1, bottom - 1), fill=255)
        else:
            draw.polygon([(x, y) for x, y in self.polygon or ()], fill=255)
        return np.asarray(canvas)


def _grown(mask: npt.NDArray[np.uint8], by: int) -> npt.NDArray[np.uint8]:
    """The mask grown (or shrunk) by a disc of that radius."""
    import cv2
    import numpy as np

    change: Any = cv2.dilate if by > 0 else cv2.erode
    left = abs(by)
    while left:
        # A large disc takes minutes; several small ones, one after the other, are the same.
        radius = min(left, _REACH)
        disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * radius + 1, 2 * radius + 1))
        before, mask = mask, np.asarray(change(mask, disc))
        left = 0 if (before == mask).all() else left - radius
    return mask


_REACH = 64


def _feathered(mask: npt.NDArray[np.uint8], radius: float) -> npt.NDArray[np.uint8]:
    import cv2
    import numpy as np

    return np.asarray(cv2.GaussianBlur(mask, (0, 0), radius))
