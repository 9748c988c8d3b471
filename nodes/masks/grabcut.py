"""Finds the subject in a box by its colours."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Node
from sdgraph.values import Image, Mask

from .pixels import nonempty_mask
from .shapes import Box, clip_box, refuse_empty_box

__all__ = ["MaskGrabCut"]


class MaskGrabCut(Node[Mask]):
    """Finds the subject in a box, by how its colours differ from the rest (Rother et al. 2004).

    The box must leave some of the picture out: from there GrabCut learns the background's colours.
    """

    category = "mask"

    image: In[Image] = Field(description="a picture of any size; alpha is ignored")
    box: Box = Field(
        description="left, top, right, bottom in pixels, around the whole subject",
        examples=[[16, 16, 48, 48]],
    )
    iterations: int = Field(
        default=5, ge=1, le=100, description="rounds of learning the colours and cutting"
    )

    @model_validator(mode="after")
    def _holds_a_pixel(self) -> Self:
        refuse_empty_box("box", self.box)
        return self

    def size_source(self) -> object:
        return self.image

    def run(self, image: Image) -> Mask:
        import cv2
        import numpy as np

        width, height = image.size
        left, top, right, bottom = clip_box(self.box, image.size)
        if (right - left, bottom - top) == image.size:
            box = f"{list(self.box)}, which holds all of the picture of {width}×{height}"
            wanted = "a box that leaves some of the background out"
            raise InvalidValueError(Problem("box", box, wanted))
        guess = np.zeros((height, width), np.uint8)
        guess[top:bottom, left:right] = cv2.GC_PR_FGD
        # GrabCut's first guess uses OpenCV's own random generator.
        cv2.setRNGSeed(0)
        models = np.zeros((1, 65)), np.zeros((1, 65))
        colours = np.ascontiguousarray(image.numpy[..., :3])
        cv2.grabCut(colours, guess, None, *models, self.iterations, cv2.GC_INIT_WITH_MASK)
        pixels = np.where(guess == cv2.GC_PR_FGD, np.uint8(255), np.uint8(0))
        return nonempty_mask(
            pixels, "GrabCut", "a box around a subject whose colours differ from the rest"
        )
