"""Recognises what each part of a picture shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from pydantic import Field

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Node
from sdgraph.models import Models, resolve
from sdgraph.nodes.vision.inference import as_checkpoint, check_model, infer, preprocess
from sdgraph.nodes.vision.memory import recognition_memory
from sdgraph.values import Checkpoint, Image, Part, SegmentMap

from .ade20k import COLORS

if TYPE_CHECKING:
    from sdgraph.values import Pixels

__all__ = ["Segment"]


class Segment(Node[SegmentMap]):
    """Recognises which of ADE20K's 150 classes each pixel shows, and gives it the class's colour.

    Uses UperNet (Xiao et al. 2018) or SegFormer (Xie et al. 2021).
    """

    category = "control"

    image: In[Image] = Field(description="a picture of any size; alpha is ignored")
    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("openmmlab/upernet-convnext-small"),
        description="a UperNet or SegFormer checkpoint for ADE20K",
    )

    def check(self) -> Iterator[Problem]:
        architecture = "UperNetForSemanticSegmentation or SegformerForSemanticSegmentation"
        problems = list(check_model("checkpoint", self.checkpoint, architecture))
        yield from problems
        if not isinstance(self.checkpoint, Checkpoint):
            return
        config = resolve(self.checkpoint).config()
        if not problems and config is not None and len(config.get("id2label") or ()) != len(COLORS):
            source, count = self.checkpoint.source, len(config.get("id2label") or ())
            wanted = f"one for ADE20K's {len(COLORS)}"
            yield Problem("checkpoint", f"{source}, for {count} classes", wanted)

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

    def run(self, image: Image, checkpoint: Checkpoint, models: Models) -> SegmentMap:
        import numpy as np

        inputs = preprocess(models["processor"], image.rgb)
        logits = infer(models["model"], models.device, inputs).logits[0].float().cpu().numpy()
        if not np.isfinite(logits).all():
            found = "scores of NaN or infinity from the model"
            fix = "take another checkpoint, or the dtype float32"
            raise InvalidValueError(Problem("checkpoint", found, "finite scores", fix))
        return SegmentMap(np.array(COLORS, np.uint8)[_best_classes(logits, image.size)])


def _best_classes(logits: Any, size: tuple[int, int]) -> Pixels:
    """The class with the highest score at each pixel, for a picture of (width, height)."""
    import cv2
    import numpy as np

    best_score = np.full(size[::-1], -np.inf, np.float32)
    classes = np.zeros(size[::-1], np.uint8)
    # Class by class: all classes of a large picture at once would not fit into memory.
    for number, score in enumerate(logits):
        enlarged = cv2.resize(score, size, interpolation=cv2.INTER_LINEAR)
        classes[enlarged > best_score] = number
        np.maximum(best_score, enlarged, out=best_score)
    return classes
