"""Combines two pictures: one pasted over the other, or both blended."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from sdgraph.errors import Problem
from sdgraph.graph import In, Node
from sdgraph.values import Image, Mask

from .known_size import size_problems
from .padding import check_same_size

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["Blend", "Composite"]


class Composite(Node[Image]):
    """Pastes a picture over another, through a mask and through its own alpha.

    The result has the size of `image`; what would be outside of it is cut off.
    """

    category = "picture"

    image: In[Image] = Field(description="the background")
    over: In[Image] = Field(description="the picture on top, of any size")
    mask: In[Mask] | None = Field(
        default=None,
        description="white where `over` is shown, with its size; all of it is shown without a mask",
    )
    position: list[int] = Field(
        default=[0, 0],
        min_length=2,
        max_length=2,
        description="the place of its top left corner, [x, y] in pixels; may be outside",
    )

    def check(self) -> Iterator[Problem]:
        over = "picture on top"
        yield from size_problems(("over", over, self.over), ("mask", "mask", self.mask))

    def size_source(self) -> object:
        return self.image

    def run(self, image: Image, over: Image, mask: Mask | None) -> Image:
        if mask is not None:
            check_same_size(over.size, mask.size, ("picture on top", "mask"))
        x, y = self.position
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + over.width, image.width), min(y + over.height, image.height)
        if left >= right or top >= bottom:
            return Image(image.numpy)
        part = slice(top - y, bottom - y), slice(left - x, right - x)
        above, below = over.numpy[part], image.numpy[top:bottom, left:right]
        pasted = _paste(below, above, None if mask is None else mask.numpy[part])
        if pasted.shape == image.numpy.shape:
            return Image(pasted)
        pixels = image.numpy.copy()
        pixels[top:bottom, left:right] = pasted
        pixels.setflags(write=False)  # spares Image a copy
        return Image(pixels)


class Blend(Node[Image]):
    """Blends two pictures of the same size (W3C Compositing and Blending Level 1).

    The result has the alpha of `image`; where `over` is transparent, it is `image`.
    """

    category = "picture"

    image: In[Image] = Field(description="the picture below")
    over: In[Image] = Field(description="the picture on top, of the same size")
    amount: float = Field(
        default=0.5, ge=0, le=1, description="the strength: 0 is `image` alone, 1 the full blend"
    )
    mode: Literal["normal", "multiply", "screen", "overlay", "difference"] = Field(
        default="normal", description="the blend mode; `normal` mixes `over` itself in"
    )

    def check(self) -> Iterator[Problem]:
        above = "picture above"
        yield from size_problems(("image", "image", self.image), ("over", above, self.over))

    def size_source(self) -> object:
        return self.image

    def run(self, image: Image, over: Image) -> Image:
        import numpy as np
        import PIL.Image
        from PIL import ImageChops

        check_same_size(image.size, over.size, ("image", "picture above"))
        below, mixed = image.rgb, over.rgb
        if self.mode != "normal":
            mixed = getattr(ImageChops, self.mode)(below, mixed)
        if over.numpy.shape[2] == 4:
            amount = PIL.Image.fromarray(np.rint(over.numpy[..., 3] * self.amount).astype(np.uint8))
            mixed = PIL.Image.composite(mixed, below, amount)
        elif self.amount < 1:
            mixed = PIL.Image.blend(below, mixed, self.amount)
        if image.numpy.shape[2] == 3:
            return Image(np.asarray(mixed))
        return Image(np.dstack([np.asarray(mixed), image.numpy[..., 3]]))


def _paste(below: Any, above: Any, mask: Any) -> Any:
    """Pastes pixels over others of the same size.

    Args:
        below: uint8, height × width × 3 or 4.
        above: uint8, height × width × 3 or 4.
        mask: uint8, height × width, 255 where `above` is shown; None shows all of it.

    Returns:
        uint8, height × width, with the channels of `below`.
    """
    import numpy as np
    import PIL.Image

    def picture(pixels: Any) -> PIL.Image.Image:
        return PIL.Image.fromarray(np.ascontiguousarray(pixels))

    cover = above[..., 3] if above.shape[2] == 4 else None
    if cover is None:
        cover = mask
    elif mask is not None:
        cover = np.rint(cover * (mask / np.float32(255))).astype(np.uint8)
    if cover is None and below.shape[2] == 3:
        return above
    if cover is None:
        return np.dstack([above, np.full_like(above[..., 0], 255)])
    if below.shape[2] == 3:
        mixed = PIL.Image.composite(picture(above[..., :3]), picture(below), picture(cover))
        return np.asarray(mixed)
    layer = picture(np.dstack([above[..., :3], cover]))
    return np.asarray(PIL.Image.alpha_composite(picture(below), layer))
