"""Backgrounds: their pictures and their depth."""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .words import BACKGROUNDS, RGB, check_word

Pixels = npt.NDArray[np.uint8]
Floats = npt.NDArray[np.float32]

_PLAIN: dict[str, RGB] = {
    "navy": (22, 28, 90),
    "gray": (125, 125, 125),
    "black": (12, 12, 14),
    "brown": (98, 62, 34),
    "teal": (0, 92, 100),
}
_TILES: tuple[RGB, RGB] = (158, 150, 142), (74, 70, 80)
_SKY: RGB = (112, 136, 168)
_BOARDS: tuple[RGB, RGB] = (150, 92, 122), (56, 20, 50)
_EVENING: tuple[RGB, RGB, RGB, RGB] = (44, 32, 92), (186, 112, 124), (86, 62, 76), (38, 28, 44)

HORIZON = {"checkered": 0.25, "sunset": 0.25}
"""The height of the horizon where there is one, as a share of the side from the top."""

_NEAREST = 0.55  # the depth of the bottom row; every object is nearer
_EXPONENTS = {  # of the depth as a function of the height below the horizon
    "navy": 1.0,
    "gray": 1.2,
    "black": 0.85,
    "brown": 1.1,
    "teal": 0.92,
    "checkered": 1.0,
    "striped": 1.3,
    "sunset": 0.85,
}
_FINE = 4  # patterns are drawn this many times larger, then scaled down


@cache
def draw_background(name: str, side: int) -> Pixels:
    """The picture of a background without objects: read-only uint8, side × side × 3."""
    check_word("background", name, BACKGROUNDS)
    if name in _PLAIN:
        pixels = np.full((side, side, 3), _PLAIN[name], np.uint8)
    else:
        steps = (np.arange(side * _FINE) + 0.5) / (side * _FINE)
        fine = _PATTERNS[name](*np.meshgrid(steps, steps))
        small = cv2.resize(fine.astype(np.float32), (side, side), interpolation=cv2.INTER_AREA)
        pixels = np.rint(small).astype(np.uint8)
    pixels.setflags(write=False)
    return pixels


@cache
def background_depth(name: str, side: int) -> Floats:
    """The depth of a background: read-only float32, side × side, from 0 (top) to 0.55 (bottom).

    The backgrounds differ, but any two correlate (Pearson 0.96), so that a picture can change
    its background and keep its depth.
    """
    check_word("background", name, BACKGROUNDS)
    down = (np.arange(side, dtype=np.float64) + 0.5) / side
    horizon = HORIZON.get(name, 0.0)
    floor = np.clip((down - horizon) / (1 - horizon), 0, 1) ** _EXPONENTS[name]
    depth = np.repeat((_NEAREST * floor).astype(np.float32)[:, None], side, axis=1)
    depth.setflags(write=False)
    return depth


def _checkered(x: Any, y: Any) -> Any:
    """Square tiles in perspective below a plain sky."""
    below = np.maximum(y - HORIZON["checkered"], 1e-3)
    distance, across = 0.62 / below, (x - 0.5) / below
    odd = (np.floor(distance) + np.floor(across * 1.5)) % 2
    tiles = _mix(odd, *_TILES)
    # Distant tiles are smaller than a pixel, so they fade into their mean colour.
    haze = np.clip((below - 0.09) / 0.1, 0, 1)
    tiles = _mix(haze, tuple(np.mean(_TILES, axis=0)), tiles)
    return np.where((y < HORIZON["checkered"])[..., None], np.array(_SKY), tiles)


def _striped(x: Any, y: Any) -> Any:
    """Horizontal boards that are wider near the bottom."""
    del x
    return _mix(np.floor(6 * y**0.65) % 2, *_BOARDS)


def _sunset(x: Any, y: Any) -> Any:
    """A sky that is brightest at the horizon, above a plain that darkens downwards."""
    del x
    horizon = HORIZON["sunset"]
    high, low, far, near = _EVENING
    sky = _mix(np.clip(y / horizon, 0, 1), high, low)
    plain = _mix(np.clip((y - horizon) / (1 - horizon), 0, 1), far, near)
    return np.where((y < horizon)[..., None], sky, plain)


def _mix(share: Any, first: Any, second: Any) -> Any:
    """Blends two colours: the first where the share is 0, the second where it is 1."""
    return np.asarray(first) + share[..., None] * (np.asarray(second) - np.asarray(first))


_PATTERNS = {"checkered": _checkered, "striped": _striped, "sunset": _sunset}
