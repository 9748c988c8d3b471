"""Two pictures made one: the one laid over the other, or the two blended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Literal

from pydantic import Field

from sdgraph.graph import In, Node
from sdgraph.values import Image, Mask

from .padding import check_same_size

if TYPE_CHECKING:
    import PIL.Image

__all__ = ["Blend", "Composite"]


class Composite(Node[Image]):
    """A picture laid over another through a mask, and where it has alpha through that.

    The result is of the size of `image`; what lies beyond it is cut.
    """

    category: ClassVar[str] = "picture"

    image: In[Image] = Field(description="the background")
    over: In[Image] = Field(description="what is laid over it, of any size")
    mask: In[Mask] | None = Field(
        default=None, description="white where `over` shows, of its size; all of it if not given"
    )
    position: list[int] = Field(
        default=[0, 0],
        min_length=2,
        max_length=2,
        description="where its top left corner goes, [x, y] in pixels; may lie outside",
    )

    def run(self, image: Image, over: Image, mask: Mask | None) -> Image:
        if mask is not None:
            check_same_size(over.size, mask.size, ("picture laid over", "mask"))
        x, y = self.position
        left, top = max(x, 0), max(y, 0)
        right, bottom = min(x + over.width, image.width), min(y + over.height, image.height)
        if left >= right or top >= bottom:
            return Image(image.numpy)
        part = slice(top - y, bottom - y), slice(left - x, right - x)
        above, below = over.numpy[part], image.numpy[top:bottom, left:right]
        laid = _laid_over(below, above, None if mask is None else mask.numpy[part])
        if laid.shape == image.numpy.shape:
            return Image(laid)
        made = image.numpy.copy()
        made[top:bottom, left:right] = laid
        made.setflags(write=False)  # spares Image a copy
        return Image(made)


class Blend(Node[Image]):
    """Two pictures of one size mixed, by the formulas of the W3C (Compositing and Blending 1).

    The alpha of `image` is kept; where `over` is clear, `image` stays as it is.
    """

    category: ClassVar[str] = "picture"

    image: In[Image] = Field(description="the picture below")
    over: In[Image] = Field(description="the picture above, of the same size")
    amount: float = Field(
        default=0.5, ge=0, le=1, description="how much of the mixture; 0 is `image` alone"
    )
    mode: Literal["normal", "multiply", "screen", "overlay", "difference"] = Field(
        default="normal", description="what is mixed in: `over` itself, or what the two make"
    )

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


def _laid_over(below: Any, above: Any, mask: Any) -> Any:
    """The pixels of `above` over those of `below`, uint8 of the channels of `below`."""
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
        made = PIL.Image.composite(picture(above[..., :3]), picture(below), picture(cover))
        return np.asarray(made)
    clear = picture(np.dstack([above[..., :3], cover]))
    return np.asarray(PIL.Image.alpha_composite(picture(below), clear))
