"""Soft edges and scribbles of a picture, without a model."""

from __future__ import annotations

from typing import ClassVar, Self

from pydantic import Field, model_validator

from sdgraph.graph import In, Node, refuse
from sdgraph.values import Image, ScribbleMap, SoftEdgeMap

from .canny import three_channels
from .gradients import colour_gradients

__all__ = ["Scribble", "SoftEdges"]


class SoftEdges(Node[SoftEdgeMap]):
    """Soft edges: how steep the smoothed picture is, brighter where steeper, of its size.

    It stands in for HED (Xie and Tu 2015), which the soft-edge networks were trained on: lines are
    as soft as HED's, but a contrast counts, and not whether it bounds a thing.
    """

    category: ClassVar[str] = "control"

    image: In[Image] = Field(description="a picture of any size; alpha is ignored")
    smoothing: float = Field(
        default=2.0,
        ge=0.5,
        le=64,
        description="pixels (deviation of a Gaussian): how wide lines are, what detail is left out",
    )
    contrast: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="an edge is white where colours change by this share of black to white",
    )

    def run(self, image: Image) -> SoftEdgeMap:
        import cv2

        right, down = (
            each.astype("float32") for each in colour_gradients(image.numpy, self.smoothing)
        )
        channels = cv2.split(cv2.magnitude(right, down))
        steep = cv2.max(cv2.max(channels[0], channels[1]), channels[2])
        return SoftEdgeMap(three_channels(cv2.convertScaleAbs(steep, alpha=1 / self.contrast)))


class Scribble(Node[ScribbleMap]):
    """The main lines of a picture as if drawn by hand: thin ridges of its soft edges, drawn thick.

    A pixel is on a ridge where the smoothed picture is steepest across the line, and steeper than
    the thresholds (Canny 1986): white on black, of the picture's size.
    """

    category: ClassVar[str] = "control"

    image: In[Image] = Field(description="a picture of any size; alpha is ignored")
    smoothing: float = Field(
        default=3.0,
        ge=0.5,
        le=64,
        description="pixels (deviation of a Gaussian): the more, the fewer and rounder lines",
    )
    low: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="a line goes on down to this contrast, as a share of black to white",
    )
    high: float = Field(default=0.25, ge=0, le=1, description="a line reaches this contrast")
    thickness: int = Field(default=5, ge=1, le=256, description="of a line, in pixels")

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.low > self.high:
            found = f"low {self.low:g} above high {self.high:g}"
            raise refuse("low", found=found, wanted="low ≤ high", fix="swap the two")
        return self

    def run(self, image: Image) -> ScribbleMap:
        import cv2

        right, down = colour_gradients(image.numpy, self.smoothing)
        lines = cv2.Canny(right, down, 255 * self.low, 255 * self.high, L2gradient=True)
        pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (self.thickness, self.thickness))
        return ScribbleMap(three_channels(cv2.dilate(lines, pen)))
