"""Shows a mask over its picture."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Self

from pydantic import Field, model_validator

from sdgraph.errors import Problem
from sdgraph.graph import In, Node
from sdgraph.nodes.image.colour import check_colour, parse_rgba
from sdgraph.nodes.image.known_size import size_problems
from sdgraph.nodes.image.padding import check_same_size
from sdgraph.values import Image, Mask

__all__ = ["MaskOverlay"]


class MaskOverlay(Node[Image]):
    """Tints a picture where a mask is white, as a preview of the mask."""

    category = "mask"

    image: In[Image] = Field(description="the picture")
    mask: In[Mask] = Field(description="where to tint; it has the size of the image")
    color: str = Field(default="red", description="the colour of the tint: a name or #rrggbb")
    opacity: float = Field(
        default=0.5, ge=0, le=1, description="the opacity of the tint where the mask is white"
    )

    @model_validator(mode="after")
    def _known_color(self) -> Self:
        check_colour("color", self.color)
        return self

    def check(self) -> Iterator[Problem]:
        yield from size_problems(("image", "image", self.image), ("mask", "mask", self.mask))

    def size_source(self) -> object:
        return self.image

    def run(self, image: Image, mask: Mask) -> Image:
        import numpy as np
        import PIL.Image

        check_same_size(image.size, mask.size, ("image", "mask"))
        picture = image.pil
        tint = PIL.Image.new(picture.mode, image.size, parse_rgba(self.color)[:3])
        share = mask.pil.point([round(value * self.opacity) for value in range(256)])
        return Image(np.asarray(PIL.Image.composite(tint, picture, share)))
