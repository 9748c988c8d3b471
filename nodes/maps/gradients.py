"""How steeply the colours of a picture change at each pixel."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from sdgraph.values import Pixels


def colour_gradients(pixels: Pixels, smoothing: float) -> tuple[Any, Any]:
    """The gradients to the right and down of a picture smoothed by a Gaussian of that deviation.

    Both int16, height × width × 3. A straight edge from black to white is 255 beside it, whatever
    the smoothing, so that thresholds mean the same for all.
    """
    import cv2

    across, along = _kernels(smoothing)
    seen = pixels[..., :3]
    border = cv2.BORDER_REPLICATE
    right = cv2.sepFilter2D(seen, cv2.CV_16S, across, along, borderType=border)
    down = cv2.sepFilter2D(seen, cv2.CV_16S, along, across, borderType=border)
    return right, down


def _kernels(deviation: float) -> tuple[Any, Any]:
    """A Gaussian's derivative, whose rising half sums to 1, and the Gaussian, which sums to 1."""
    import numpy as np

    reach = max(1, round(3 * deviation))
    steps = np.arange(-reach, reach + 1, dtype=np.float32)
    bell = np.exp(-((steps / deviation) ** 2) / 2)
    slope = steps * bell
    return slope / slope[reach:].sum(), bell / bell.sum()
