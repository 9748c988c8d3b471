"""Masks of what stands at a point or in a box."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Self

from pydantic import Field, model_validator

from sdgraph.errors import Problem
from sdgraph.graph import In, Node, refuse
from sdgraph.models import Models
from sdgraph.nodes.vision.inference import (
    as_checkpoint,
    check_model,
    infer,
    preprocess,
    refuse_narrow,
    refuse_outside,
)
from sdgraph.nodes.vision.memory import recognition_memory
from sdgraph.values import Checkpoint, Image, Mask, Part

from .pixels import nonempty_mask
from .shapes import Box, Points, clip_box, refuse_empty_box

if TYPE_CHECKING:
    from sdgraph.values import Pixels

__all__ = ["MaskBySam"]

ARCHITECTURE = "SamModel"
CHECKPOINT = Checkpoint("facebook/sam-vit-base")

_BOXES = 8
"""The boxes that are looked into at once, which takes less memory than seeing the picture."""


class MaskBySam(Node[Mask]):
    """What stands at points of a picture or in a box, by SAM (Kirillov et al. 2023).

    Of a single point, which may mean a thing or a part of it, SAM makes three masks: the one that
    it holds for the best is taken. Several points, and a box, tell one thing.
    """

    category: ClassVar[str] = "mask"

    image: In[Image] = Field(description="a picture of any size; alpha is ignored")
    points: Points | None = Field(
        default=None,
        min_length=1,
        description="[[x, y], …] in pixels, inside the picture",
        examples=[[[32, 32]]],
    )
    labels: list[Annotated[int, Field(ge=0, le=1)]] | None = Field(
        default=None,
        description="for each point 1 on the thing, 0 beside it; unset: all 1",
    )
    box: Box | None = Field(default=None, description="left, top, right, bottom around the thing")
    checkpoint: In[Checkpoint] = Field(default=CHECKPOINT, description="a SAM checkpoint")

    @model_validator(mode="after")
    def _told_where(self) -> Self:
        if self.points is None and self.box is None:
            raise refuse("points", found="neither points nor a box", wanted="one of them, or both")
        count = len(self.points or ())
        if self.labels is not None and len(self.labels) != count:
            found = f"{len(self.labels)} labels for {count} points"
            raise refuse("labels", found=found, wanted="one for each point")
        if self.box is not None:
            refuse_empty_box("box", self.box)
        return self

    def check(self) -> Iterator[Problem]:
        yield from check_model("checkpoint", self.checkpoint, ARCHITECTURE)

    def parts(self) -> Mapping[str, Part]:
        checkpoint = as_checkpoint(self.checkpoint)
        return {
            "model": Part(checkpoint, partial=True),
            "processor": Part(checkpoint, processor=True),
        }

    def working_memory(self, sizes: Mapping[str, int], dtype: str) -> int:
        return recognition_memory(dtype, self.checkpoint)

    def run(self, image: Image, checkpoint: Checkpoint, models: Models) -> Mask:
        points = self.points or ()
        refuse_outside(points, image.size)
        made = segment_with_sam(
            models["model"],
            models["processor"],
            image,
            models.device,
            points=points,
            labels=self.labels or [1] * len(points),
            boxes=[clip_box(self.box, image.size)] if self.box else (),
        )
        return nonempty_mask(made, "SAM", "other points, or a box closer around the thing")


def segment_with_sam(
    model: Any,
    processor: Any,
    image: Image,
    device: str,
    *,
    points: Sequence[Sequence[int]] = (),
    labels: Sequence[int] = (),
    boxes: Sequence[Sequence[float]] = (),
) -> Pixels:
    """What SAM finds, 255 on 0: at all the points together, or in each of the boxes.

    Points go with one box at most. Raises InvalidValueError for a picture too narrow for SAM to
    see.
    """
    import numpy as np
    import torch

    refuse_narrow(image.size, processor.size["longest_edge"])
    inputs = preprocess(processor, image.rgb)
    originals, reshaped = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    scale = (reshaped[0].flip(0) / originals[0].flip(0)).float()
    if points:
        inputs["input_points"] = torch.tensor(points)[None, None] * scale
        inputs["input_labels"] = torch.tensor(labels)[None, None]
    if boxes:
        inputs["input_boxes"] = torch.tensor(boxes)[None] * scale.repeat(2)
    alone = len(points) == 1 and not boxes
    pixels = {"pixel_values": inputs.pop("pixel_values")}
    image_embeddings = infer(model, device, pixels, by=model.get_image_embeddings)
    made = np.zeros(image.size[::-1], np.uint8)
    for told in _by_few(inputs):
        few = {**told, "image_embeddings": image_embeddings}
        seen = infer(model, device, few, multimask_output=alone)
        best = seen.iou_scores[0].argmax(-1)
        # One by one: a hundred masks at once of a large picture would fill the memory.
        for mask in seen.pred_masks[0, range(len(best)), best].float().cpu():
            (whole,) = processor.post_process_masks([mask[None, None]], originals, reshaped)
            made[whole[0, 0].numpy()] = 255
    return made


def _by_few(inputs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The inputs with a few of the boxes at a time: each takes memory of its own in the decoder."""
    boxes = inputs.get("input_boxes")
    for few in (None,) if boxes is None else boxes.split(_BOXES, dim=1):
        yield {**inputs, "input_boxes": few} if few is not None else dict(inputs)
