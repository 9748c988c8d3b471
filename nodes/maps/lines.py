"""Finds soft edges and scribbles in a picture, without a model."""

from __future__ import annotations

from typing import Self

from pydantic import Field, model_validator

from sdgraph.graph import In, Node, refuse
from sdgraph.values import Image, ScribbleMap, SoftEdgeMap

from .canny import three_channels
from .gradients import colour_gradients

__all__ = ["Scribble", "SoftEdges"]


class SoftEdges(Node[SoftEdgeMap]):
    """Finds soft edges: the gradient of the smoothed picture, brighter where it is steeper.

    It replaces HED (Xie and Tu 2015), on which the networks for soft edges were trained. The lines
    are as soft, but they follow contrast, whether or not it is the border of an object.
    """

    category = "control"

    image: In[Image] = Field(description="a picture of any size; alpha is ignored")
    smoothing: float = Field(
        default=2.0,
        ge=0.5,
        le=64,
        description="deviation of a Gaussian in pixels: more gives wider lines and less detail",
    )
    contrast: float = Field(
        default=0.5,
        gt=0,
        le=1,
        description="edges are white from this contrast up, as a share of black to white",
    )

    def size_source(self) -> object:
        return self.image

    def run(self, image: Image) -> SoftEdgeMap:
        import cv2

        right, down = (
            gradient.astype("float32") for gradient in colour_gradients(image.numpy, self.smoothing)
        )
        channels = cv2.split(cv2.magnitude(right, down))
        steepest = cv2.max(cv2.max(channels[0], channels[1]), channels[2])
        return SoftEdgeMap(three_channels(cv2.convertScaleAbs(steepest, alpha=1 / self.contrast)))


class Scribble(Node[ScribbleMap]):
    """Draws the main lines of a picture as if by hand: white on black, in the picture's size.

    A line follows the pixels where the gradient of the smoothed picture is largest across the line
    and above the thresholds (Canny 1986).
    """

    category = "control"

    image: In[Image] = Field(description="a picture of any size; alpha is ignored")
    smoothing: float = Field(
        default=3.0,
        ge=0.5,
        le=64,
        description="standard deviation of a Gaussian in pixels: more gives fewer, rounder lines",
    )
    low: float = Field(
        default=0.1,
        ge=0,
        le=1,
        description="a line continues down to this contrast, as a share of black to white",
    )
    high: float = Field(
        default=0.25, ge=0, le=1, description="a line reaches this contrast somewhere"
    )
    thickness: int = Field(default=5, ge=1, le=256, description="the thickness of lines in pixels")

    @model_validator(mode="after")
    def _low_is_below_high(self) -> Self:
        if self.low > self.high:
            found = f"low {self.low:g} above high {self.high:g}"
            raise refuse("low", found=found, wanted="low ≤ high", fix="swap the two")
        return self

    def size_source(self) -> object:
        return self.image

    def run(self, image: Image) -> ScribbleMap:
        import cv2

        right, down = colour_gradients(image.numpy, self.smoothing)
        lines = cv2.Canny(right, down, 255 * self.low, 255 * self.high, L2gradient=True)
        pen = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (self.thickness, self.thickness))
        return ScribbleMap(three_channels(cv2.dilate(lines, pen)))
