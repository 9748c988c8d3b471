"""Finds what words name, with CLIPSeg."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Self

from pydantic import Field, model_validator

from sdgraph.errors import Problem
from sdgraph.graph import In, Node
from sdgraph.models import Models
from sdgraph.nodes.vision.inference import (
    as_checkpoint,
    check_model,
    infer,
    preprocess,
    refuse_blank,
    tokenize,
)
from sdgraph.nodes.vision.memory import recognition_memory
from sdgraph.values import Checkpoint, Image, Mask, Part

from .pixels import nonempty_mask

__all__ = ["MaskByWords"]


class MaskByWords(Node[Mask]):
    """Finds what words name, with CLIPSeg (Lüddecke and Ecker 2022); it fails if nothing is found.

    CLIPSeg works at 352×352 pixels, so the borders are rough: grow the mask, or use
    MaskByGrounding, which is finer and slower.
    """

    category = "mask"

    image: In[Image] = Field(description="a picture of any size; alpha is ignored")
    words: In[str] = Field(description="what to look for, such as: a cat")
    threshold: float = Field(
        default=0.4, gt=0, lt=1, description="pixels with at least this probability are painted"
    )
    checkpoint: In[Checkpoint] = Field(
        default=Checkpoint("CIDAS/clipseg-rd64-refined"), description="a CLIPSeg checkpoint"
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        refuse_blank(self.words)
        return self

    def check(self) -> Iterator[Problem]:
        architecture = "CLIPSegForImageSegmentation"
        yield from check_model("checkpoint", self.checkpoint, architecture, words=True)

    def parts(self) -> Mapping[str, Part]:
        checkpoint = as_checkpoint(self.checkpoint)
        return {
            "model": Part(checkpoint),
            "processor": Part(checkpoint, processor=True),
            "tokenizer": Part(checkpoint, tokenizer=True),
        }

    def working_memory(self, sizes: Mapping[str, int], dtype: str) -> int:
        return recognition_memory(dtype, self.checkpoint)

    def size_source(self) -> object:
        return self.image

    def run(self, image: Image, words: str, checkpoint: Checkpoint, models: Models) -> Mask:
        import cv2
        import numpy as np

        model = models["model"]
        limit = model.config.text_config.max_position_embeddings
        inputs = tokenize(models["tokenizer"], words, limit)
        inputs |= preprocess(models["processor"], image.rgb)
        logits = infer(model, models.device, inputs).logits.float().sigmoid().cpu().numpy()
        probability = cv2.resize(logits.reshape(logits.shape[-2:]), image.size)
        pixels = np.where(probability >= self.threshold, np.uint8(255), np.uint8(0))
        wanted = f"words for what is there, or a threshold of at most {probability.max():.3f}"
        return nonempty_mask(pixels, repr(words), wanted)
