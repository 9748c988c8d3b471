"""Pictures made from pictures without a model."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field

from sdgraph.node import In, Node
from sdgraph.values import Image


class Resize(Node[Image]):
    """The picture at another size, by Lanczos resampling."""

    category: ClassVar[str] = "picture"

    image: In[Image] = Field(description="a picture of any size")
    width: int = Field(ge=1, le=16_384, description="pixels")
    height: int = Field(ge=1, le=16_384, description="pixels")
    mode: Literal["stretch", "fit", "fill"] = Field(
        default="stretch",
        description="stretch; fit inside, proportions kept; fill, and cut the rest",
    )

    def run(self, image: Image) -> Image:
        import PIL.ImageOps
        from PIL.Image import Resampling

        size = (self.width, self.height)
        if self.mode == "stretch":
            made = image.pil.resize(size, Resampling.LANCZOS)
        elif self.mode == "fit":
            made = image.pil.resize(inside(image.size, size), Resampling.LANCZOS)
        else:
            made = PIL.ImageOps.fit(image.pil, size, Resampling.LANCZOS)
        return Image.from_pil(made)


def inside(size: tuple[int, int], box: tuple[int, int]) -> tuple[int, int]:
    """The largest size of the same proportions inside a box; no side is less than a pixel."""
    scale = min(box[0] / size[0], box[1] / size[1])
    width, height = (max(1, round(side * scale)) for side in size)
    return width, height
