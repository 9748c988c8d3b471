"""Small pictures and videos, and the metadata that the tests of files write into them."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from sdgraph.values import Video

PICTURES = [".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".bmp", ".gif"]
VIDEOS = [".mp4", ".webm", ".gif"]
PROVENANCE = 'name: "portrait"\nprompt: Käse ☃ 😀, 100%\n'


def photo(height: int = 4, width: int = 6, channels: int = 3) -> npt.NDArray[np.uint8]:
    return np.random.default_rng(7).integers(0, 256, (height, width, channels), np.uint8)


def gradient(height: int = 24, width: int = 32) -> npt.NDArray[np.uint8]:
    """A smooth picture, red to the right and green downwards: its four edges all differ."""
    pixels = np.zeros((height, width, 3), np.uint8)
    pixels[..., 0] = np.linspace(0, 255, width)
    pixels[..., 1] = np.linspace(0, 255, height)[:, None]
    return pixels


def small_video(count: int = 5, fps: float = 8, height: int = 24, width: int = 32) -> Video:
    """The gradient, moving a little from frame to frame."""
    still = gradient(height, width) // 2
    return Video(np.stack([still + 10 * n for n in range(count)]).astype(np.uint8), fps)


def mean_difference(one: Any, other: Any) -> float:
    return float(np.abs(np.asarray(one, float) - np.asarray(other, float)).mean())
