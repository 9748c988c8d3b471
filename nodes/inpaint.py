"""Part of a picture painted anew from words."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pydantic import Field

from sdgraph import values
from sdgraph.errors import ValueRefused
from sdgraph.models import Models
from sdgraph.node import In, Progress
from sdgraph.values import Checkpoint, Image

from .diffusion import Diffusion
from .families import family_of, multiple_of, own_size
from .fit import Fit, same_size
from .region import Region, marked_box

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import PIL.Image

PIPELINES = {"sd": "StableDiffusionInpaintPipeline", "xl": "StableDiffusionXLInpaintPipeline"}


class Inpaint(Diffusion[Image]):
    """The picture with what the mask marks painted anew; elsewhere equal to the input bit for bit.

    Takes inpainting checkpoints (9-channel U-Net: latents, mask, masked latents; Rombach et al.
    2022) and plain ones (4 channels: the kept part is blended back at every step).
    """

    channels = (9, 4)

    image: In[Image] = Field(description="the picture to change")
    mask: In[values.Mask] = Field(description="white where it is painted anew; the image's size")
    strength: float = Field(
        default=1.0, ge=0, le=1, description="how much of what was there is forgotten; 1 is all"
    )
    padding_mask_crop: int | None = Field(
        default=None,
        ge=0,
        le=4096,
        description="works on the mask's box alone, wider by these pixels, at the checkpoint's own "
        "size, and pastes it back; unset works on the whole picture",
    )
    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("tiny/inpaint"),
        description="an inpainting checkpoint, or a text-to-image one",
    )

    def run(
        self,
        image: Image,
        mask: values.Mask,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        models: Models,
        progress: Progress,
    ) -> Image:
        same_size(image.size, mask.size, ("image", "mask"))
        refuse_empty(mask)
        pipe = self.assemble(PIPELINES[family_of(checkpoint) or "sd"], models, checkpoint)
        multiple = multiple_of(checkpoint)
        words = {"prompt": prompt, "negative_prompt": negative_prompt}

        def painted(picture: PIL.Image.Image, area: PIL.Image.Image) -> npt.NDArray[np.uint8]:
            return self.generate(
                pipe, models, progress, image=picture, mask_image=area, width=picture.width,
                height=picture.height, strength=self.strength, **words,
            )  # fmt: skip

        if self.padding_mask_crop is None:
            fit = Fit.of(image.size, multiple)
            return paste(image, fit.cut(painted(fit.pad(image.rgb), fit.pad(mask.pil))), mask)
        region = Region.around(
            marked_box(mask), image.size, self.padding_mask_crop, own_size(checkpoint), multiple
        )
        made = painted(region.cut(image.rgb), region.cut(mask.pil))
        return paste(image, region.put(image, made), mask)

    def told_size(self) -> tuple[int, int] | None:
        """Of what is worked on: about the checkpoint's own where it is the mask's box alone."""
        return super().told_size() if self.padding_mask_crop is None else None


def refuse_empty(mask: values.Mask) -> None:
    """Raises ValueRefused for a mask that marks nothing."""
    if mask.numpy.max() < 128:
        # The pipelines take a mask as white from one half up.
        raise ValueRefused(
            "the mask marks nothing: no pixel is white (128 or more); wanted the part to paint in "
            "white, the rest in black (invert: true turns a mask round)"
        )


def paste(image: Image, painted: npt.NDArray[np.uint8], mask: values.Mask) -> Image:
    """`painted` where the mask is white, `image` where it is black, a blend between."""
    import numpy as np

    kept = image.numpy
    share: npt.NDArray[Any] = mask.numpy[..., None].astype(np.uint32)
    colours = (kept[..., :3] * (255 - share) + painted * share + 127) // 255
    if kept.shape[2] == 3:
        return Image(colours.astype(np.uint8))
    alpha = np.maximum(kept[..., 3:], mask.numpy[..., None])
    return Image(np.concatenate([colours.astype(np.uint8), alpha], axis=2))
