"""Finds the objects that words name: first as boxes, then as masks in them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import Field, model_validator

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Node
from sdgraph.models import Models
from sdgraph.nodes.vision.inference import (
    as_checkpoint,
    check_model,
    infer,
    preprocess,
    refuse_blank,
    refuse_narrow,
    tokenize,
)
from sdgraph.nodes.vision.memory import recognition_memory, text_attention_memory
from sdgraph.values import Checkpoint, Image, Mask, Part

from . import sam
from .pixels import nonempty_mask

__all__ = ["MaskByGrounding"]


class MaskByGrounding(Node[Mask]):
    """Finds all objects that words name, with Grounding DINO (Liu et al. 2023) and SAM.

    Full stops separate several kinds of object: "a cat. a dog". It fails if nothing is found.
    """

    category = "mask"

    image: In[Image] = Field(description="a picture of any size; alpha is ignored")
    words: In[str] = Field(description="what to look for, such as: a cat. a dog")
    threshold: float = Field(
        default=0.3, ge=0, lt=1, description="boxes with a score above this are used"
    )
    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("IDEA-Research/grounding-dino-tiny"),
        description="a Grounding DINO checkpoint",
    )
    segmenter: In[Checkpoint] = Field(default=sam.CHECKPOINT, description="a SAM checkpoint")

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        refuse_blank(self.words)
        return self

    def check(self) -> Iterator[Problem]:
        architecture = "GroundingDinoForObjectDetection"
        yield from check_model("checkpoint", self.checkpoint, architecture, words=True)
        yield from check_model("segmenter", self.segmenter, sam.ARCHITECTURE)

    def parts(self) -> Mapping[str, Part]:
        detector, segmenter = as_checkpoint(self.checkpoint), as_checkpoint(self.segmenter)
        return {
            "detector": Part(detector, partial=True),
            "detector_processor": Part(detector, processor=True),
            "tokenizer": Part(detector, tokenizer=True),
            "segmenter": Part(segmenter, partial=True),
            "segmenter_processor": Part(segmenter, processor=True),
        }

    def working_memory(self, sizes: Mapping[str, int], dtype: str) -> int:
        detector_memory = recognition_memory(dtype, self.checkpoint) + text_attention_memory(
            dtype, self.checkpoint, self.words
        )
        return max(detector_memory, recognition_memory(dtype, self.segmenter))

    def size_source(self) -> object:
        return self.image

    def run(
        self,
        image: Image,
        words: str,
        checkpoint: Checkpoint,
        segmenter: Checkpoint,
        models: Models,
    ) -> Mask:
        boxes = self._find_boxes(image, words, models)
        pixels = sam.segment_with_sam(
            models["segmenter"], models["segmenter_processor"], image, models.device, boxes=boxes
        )
        return nonempty_mask(pixels, f"SAM, in {len(boxes)} boxes for {words!r},", "other words")

    def _find_boxes(self, image: Image, words: str, models: Models) -> list[list[float]]:
        """Left, top, right and bottom in pixels of each object."""
        import torch

        model, processor = models["detector"], models["detector_processor"]
        refuse_narrow(image.size, processor.size["longest_edge"])
        # The model was trained on phrases in lower case, each with a full stop at its end.
        text = words.lower().strip().rstrip(".") + "."
        inputs: dict[str, Any] = tokenize(models["tokenizer"], text, model.config.max_text_len)
        inputs |= preprocess(processor, image.rgb)
        outputs = infer(model, models.device, inputs)
        scores = outputs.logits[0].float().sigmoid().amax(-1)
        middle, extent = outputs.pred_boxes[0].float()[scores > self.threshold].chunk(2, dim=-1)
        if not len(middle):
            best = f"the best box has a score of {scores.max():.3f}"
            found = f"{words!r}, which matches nothing in the picture: {best}"
            wanted = "words for what is there, or a threshold below that"
            raise InvalidValueError(Problem("words", found, wanted))
        corners = torch.cat([middle - extent / 2, middle + extent / 2], dim=-1).clamp(0, 1)
        boxes: list[list[float]] = (corners * corners.new_tensor(image.size * 2)).tolist()
        return boxes
