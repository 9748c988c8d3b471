"""Compares two pictures: side by side, or as their difference."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from sdgraph.errors import Problem
from sdgraph.graph import In, Node, refuse
from sdgraph.values import Image

from .known_size import size_problems
from .padding import check_same_size
from .text import draw_text

__all__ = ["Compare"]

_GAP = 4
"""Black pixels between two pictures."""


class Compare(Node[Image]):
    """Shows two pictures side by side on black, or their difference; alpha is ignored.

    Labels are drawn in a strip above the pictures, not over them.
    """

    category = "picture"

    image: In[Image] = Field(description="a picture of any size")
    other: In[Image] = Field(
        description="the second picture; for a difference it has the size of `image`"
    )
    mode: Literal["side", "difference"] = Field(
        default="side",
        description="`side`: side by side; `difference`: |image - other| of each channel, × gain",
    )
    gain: float = Field(
        default=1.0,
        gt=0,
        le=255,
        description="multiplies the difference, to make small ones visible",
    )
    labels: list[str] = Field(
        default=[], max_length=2, description="a text for each picture, or one for the difference"
    )
    size: float = Field(
        default=16.0, ge=1, le=256, description="the height of the labels' letters in pixels"
    )

    @model_validator(mode="after")
    def _count_labels(self) -> Self:
        wanted = 2 if self.mode == "side" else 1
        if self.labels and len(self.labels) != wanted:
            raise refuse("labels", found=f"{len(self.labels)} labels", wanted=f"{wanted}, or none")
        return self

    def check(self) -> Iterator[Problem]:
        if self.mode == "difference":
            yield from size_problems(("image", "image", self.image), ("other", "other", self.other))

    def run(self, image: Image, other: Image) -> Image:
        import numpy as np

        first, second = image.numpy[..., :3], other.numpy[..., :3]
        if self.mode == "side":
            panels = [first, second]
        else:
            check_same_size(image.size, other.size, ("image", "other"))
            panels = [self._difference(first, second)]
        strip = round(1.5 * self.size) if self.labels else 0
        if not strip and len(panels) == 1:
            return Image(panels[0])
        width = sum(panel.shape[1] for panel in panels) + _GAP * (len(panels) - 1)
        height = strip + max(len(panel) for panel in panels)
        canvas = np.zeros((height, width, 3), np.uint8)
        left = 0
        for number, panel in enumerate(panels):
            right = left + panel.shape[1]
            canvas[strip : strip + len(panel), left:right] = panel
            if strip:
                canvas[:strip, left:right] = self._draw_label(number, right - left, strip)
            left = right + _GAP
        canvas.setflags(write=False)  # spares Image a copy
        return Image(canvas)

    def _difference(self, first: Any, second: Any) -> Any:
        import cv2

        difference = cv2.absdiff(first, second)
        if self.gain != 1:
            cv2.convertScaleAbs(difference, difference, self.gain)
        difference.setflags(write=False)  # spares Image a copy
        return difference

    def _draw_label(self, number: int, width: int, height: int) -> Any:
        import numpy as np
        import PIL.Image
        from PIL import ImageFont

        strip = PIL.Image.new("RGB", (width, height))
        style = {"font": ImageFont.load_default(self.size), "fill": (255, 255, 255, 255)}
        place = (width // 2, height // 2)
        return np.asarray(draw_text(strip, self.labels[number], place, "center", style))
