"""Finds the object at a point or in a box."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Self

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
"""The number of boxes per call of the decoder, which then needs less memory than the encoder."""


class MaskBySam(Node[Mask]):
    """Finds the object at points of a picture or in a box, with SAM (Kirillov et al. 2023).

    A single point may mean an object or a part of it: SAM proposes three masks, and the one with
    the best score is used. Several points, or points and a box, mean one object.
    """

    category = "mask"

    image: In[Image] = Field(description="a picture of any size; alpha is ignored")
    points: Points | None = Field(
        default=None,
        min_length=1,
        description="[[x, y], …] in pixels, inside the picture",
        examples=[[[32, 32]]],
    )
    labels: list[Annotated[int, Field(ge=0, le=1)]] | None = Field(
        default=None,
        description="for each point: 1 on the object, 0 outside of it; all 1 if not given",
    )
    box: Box | None = Field(
        default=None, description="left, top, right, bottom in pixels around the object"
    )
    checkpoint: In[Checkpoint] = Field(default=CHECKPOINT, description="a SAM checkpoint")

    @model_validator(mode="after")
    def _point_or_box(self) -> Self:
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

    def size_source(self) -> object:
        return self.image

    def run(self, image: Image, checkpoint: Checkpoint, models: Models) -> Mask:
        points = self.points or ()
        refuse_outside(points, image.size)
        pixels = segment_with_sam(
            models["model"],
            models["processor"],
            image,
            models.device,
            points=points,
            labels=self.labels or [1] * len(points),
            boxes=[clip_box(self.box, image.size)] if self.box else (),
        )
        return nonempty_mask(pixels, "SAM", "other points, or a box closer around the object")


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
    """Segments the object at some points, or the objects in each of several boxes, with SAM.

    Args:
        model: A SamModel.
        processor: Its processor.
        image: The picture.
        device: Where to compute.
        points: x and y in pixels; with at most one box.
        labels: For each point, 1 on the object and 0 outside of it.
        boxes: Left, top, right and bottom in pixels.

    Returns:
        uint8, height × width, 255 where an object is, 0 elsewhere.

    Raises:
        InvalidValueError: The picture is too narrow for SAM.
    """
    import numpy as np

    refuse_narrow(image.size, processor.size["longest_edge"])
    inputs = preprocess(processor, image.rgb)
    originals, reshaped = inputs.pop("original_sizes"), inputs.pop("reshaped_input_sizes")
    scale = (reshaped[0].flip(0) / originals[0].flip(0)).float()
    inputs |= _prompt_inputs(points, labels, boxes, scale)
    single_point = len(points) == 1 and not boxes
    pixels = {"pixel_values": inputs.pop("pixel_values")}
    image_embeddings = infer(model, device, pixels, method=model.get_image_embeddings)
    marked = np.zeros(image.size[::-1], np.uint8)
    for batch in _batches(inputs):
        batch["image_embeddings"] = image_embeddings
        output = infer(model, device, batch, multimask_output=single_point)
        best = output.iou_scores[0].argmax(-1)
        # One by one: a hundred masks of a large picture at once would not fit into memory.
        for mask in output.pred_masks[0, range(len(best)), best].float().cpu():
            (whole,) = processor.post_process_masks([mask[None, None]], originals, reshaped)
            marked[whole[0, 0].numpy()] = 255
    return marked


def _prompt_inputs(
    points: Sequence[Sequence[int]],
    labels: Sequence[int],
    boxes: Sequence[Sequence[float]],
    scale: Any,
) -> dict[str, Any]:
    """The inputs of SAM for points and boxes, in pixels of the picture as SAM sees it."""
    import torch

    inputs = {}
    if points:
        inputs["input_points"] = torch.tensor(points)[None, None] * scale
        inputs["input_labels"] = torch.tensor(labels)[None, None]
    if boxes:
        inputs["input_boxes"] = torch.tensor(boxes)[None] * scale.repeat(2)
    return inputs


def _batches(inputs: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The inputs with a few boxes at a time, because the decoder needs memory for each box."""
    boxes = inputs.get("input_boxes")
    if boxes is None:
        yield dict(inputs)
        return
    for batch in boxes.split(_BOXES, dim=1):
        yield {**inputs, "input_boxes": batch}
