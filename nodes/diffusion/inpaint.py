"""Repaints part of a picture from words."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar

from pydantic import Field

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Progress
from sdgraph.models import Models
from sdgraph.nodes.diffusion.pipelines.crop_region import CropRegion
from sdgraph.nodes.diffusion.pipelines.pipeline_io import resize_pixels
from sdgraph.nodes.image.known_size import size_problems
from sdgraph.nodes.image.padding import Padding, check_same_size
from sdgraph.nodes.masks.pixels import PAINTED
from sdgraph.values import Checkpoint, Image, Mask

from .families import Purpose, Task
from .node_batches import PictureCall
from .reference_images import ReferenceGuided

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["Inpaint"]


class Inpaint(ReferenceGuided[Image]):
    """Repaints what the mask marks; everywhere else the picture stays bit for bit.

    Takes inpainting checkpoints (9-channel U-Net: latents, mask, masked latents; Rombach et al.
    2022) and plain ones (4 channels: the kept part is blended back at every step).
    """

    version = 2
    batch_fields = frozenset({"image", "mask", "prompt", "negative_prompt", "seed"})
    purposes: ClassVar[tuple[Purpose, ...]] = ("inpainting", "text-to-image")

    image: In[Image] = Field(description="the picture to change")
    mask: In[Mask] = Field(description="white where to repaint; it has the size of the image")
    strength: float = Field(
        default=1.0,
        ge=0,
        le=1,
        description="how much the repainted part changes: 0 nothing, 1 all of it",
    )
    padding_mask_crop: int | None = Field(
        default=None,
        ge=0,
        le=4096,
        description="repaint only the box of the mask, enlarged by these pixels, at the "
        "checkpoint's native size; the whole picture if not given",
    )
    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("tiny/inpaint"),
        description="an inpainting checkpoint, or a text-to-image one",
    )

    def run(
        self,
        image: Image,
        mask: Mask,
        prompt: str,
        negative_prompt: str,
        checkpoint: Checkpoint,
        reference: Image | tuple[Image, ...] | None,
        image_encoder: Checkpoint | None,
        models: Models,
        progress: Progress,
    ) -> Image:
        pictures = {"image": image, "mask": mask, "reference": reference}
        call = self.picture_call({**pictures, "checkpoint": checkpoint})
        pipe = self.assemble(models, checkpoint)
        prompts: Any = {"prompt": prompt, "negative_prompt": negative_prompt}
        return call.finish(self.generate(pipe, models, progress, **prompts, **call.arguments))

    def picture_call(self, arguments: Mapping[str, Any]) -> PictureCall:
        image, mask = arguments["image"], arguments["mask"]
        region, padding = self._painted_region(image, mask, arguments["checkpoint"])
        call = {
            "image": padding.pad(region.crop(image.rgb)),
            "mask_image": padding.pad(region.crop_mask(mask)),
            "width": padding.padded[0],
            "height": padding.padded[1],
            "strength": self.strength,
            **self.family.inpaint_options(*padding.padded),
            **self.reference_call(arguments["reference"]),
        }

        def finish(pixels: npt.NDArray[np.uint8]) -> Image:
            pixels = resize_pixels(pixels, padding.padded)
            return paste_masked(image, region.paste(image, padding.cut(pixels)), mask)

        return PictureCall(call, finish)

    def _painted_region(
        self, image: Image, mask: Mask, checkpoint: Checkpoint
    ) -> tuple[CropRegion, Padding]:
        """The part of the picture that the pipeline gets, and how it is padded."""
        refuse_unusable_mask(image, mask)
        region = CropRegion.around_mask(mask, self.padding_mask_crop, checkpoint, self.family)
        return region, Padding.of(region.working_size, self.family.size_multiple(checkpoint))

    def check(self) -> Iterator[Problem]:
        yield from super().check()
        yield from size_problems(("image", "image", self.image), ("mask", "mask", self.mask))

    def size_source(self) -> object:
        return self.image

    def task(self) -> Task:
        return "inpaint"

    def planned_size(self) -> tuple[int, int] | None:
        """The size of the pipeline's picture; None, the native size, for the mask's box alone."""
        size = super().planned_size() if self.padding_mask_crop is None else None
        resize = self.family.inpaint_size
        return size if size is None or resize is None else resize(*size)

    def prompt_pictures(self) -> Sequence[object]:
        return (
            (self.image, self.mask, self.padding_mask_crop)
            if self.family.prompt_encoding.pictures
            else ()
        )

    def seen_pictures(self, arguments: Mapping[str, Any]) -> Any:
        if not self.prompt_pictures():
            return None
        image, mask = arguments["image"], arguments["mask"]
        region, padding = self._painted_region(image, mask, arguments["checkpoint"])
        return padding.pad(region.crop(image.rgb))

    def reference_area(self) -> int:
        family = self.family
        if family.reference_area is None:
            return 0
        width, height = self.planned_size() or family.native_size(self.known_checkpoint)
        return family.reference_area(width * height)


def refuse_unusable_mask(image: Image, mask: Mask) -> None:
    """Raises InvalidValueError for a mask of another size, or one that marks nothing or all."""
    check_same_size(image.size, mask.size, ("image", "mask"))
    if mask.numpy.max() < PAINTED:
        found = "a mask that marks nothing: no pixel is white (128 or more)"
        wanted = "the part to paint in white, the rest in black"
        fix = "invert: true swaps the two in a Mask"
        raise InvalidValueError(Problem("mask", found, wanted, fix))
    if mask.numpy.min() >= PAINTED:
        found = f"a mask that marks all of the picture of {image.width}×{image.height}"
        wanted = "the part that stays in black"
        fix = "Text2Image and Image2Image paint a whole picture"
        raise InvalidValueError(Problem("mask", found, wanted, fix))


def paste_masked(image: Image, painted: npt.NDArray[np.uint8], mask: Mask) -> Image:
    """Blends a repainted picture into the original by a mask.

    Args:
        image: The original, which stays bit for bit where the mask is 0.
        painted: The repainted picture, uint8, height × width × 3.
        mask: The mask, with the size of the image.
    """
    import numpy as np

    kept = image.numpy
    share: npt.NDArray[Any] = mask.numpy[..., None].astype(np.uint32)
    colours = (kept[..., :3] * (255 - share) + painted * share + 127) // 255
    if kept.shape[2] == 3:
        return Image(colours.astype(np.uint8))
    alpha = np.maximum(kept[..., 3:], mask.numpy[..., None])
    return Image(np.concatenate([colours.astype(np.uint8), alpha], axis=2))
