"""The gradients of the colours of a picture."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdgraph.values import Pixels


def colour_gradients(pixels: Pixels, smoothing: float) -> tuple[Any, Any]:
    """The gradients to the right and down of a smoothed picture, each int16, height × width × 3.

    A straight edge from black to white has the gradient 255, whatever the smoothing, so that
    thresholds mean the same for all.

    Args:
        pixels: uint8, height × width × 3 or 4; alpha is ignored.
        smoothing: The standard deviation of the Gaussian in pixels.
    """
    import cv2

    across, along = _kernels(smoothing)
    colours = pixels[..., :3]
    border = cv2.BORDER_REPLICATE
    right = cv2.sepFilter2D(colours, cv2.CV_16S, across, along, borderType=border)
    down = cv2.sepFilter2D(colours, cv2.CV_16S, along, across, borderType=border)
    return right, down


def _kernels(deviation: float) -> tuple[Any, Any]:
    """The derivative of a Gaussian, whose rising half sums to 1, and the Gaussian, sum 1."""
    import numpy as np

    reach = max(1, round(3 * deviation))
    steps = np.arange(-reach, reach + 1, dtype=np.float32)
    bell = np.exp(-((steps / deviation) ** 2) / 2)
    slope = steps * bell
    return slope / slope[reach:].sum(), bell / bell.sum()
