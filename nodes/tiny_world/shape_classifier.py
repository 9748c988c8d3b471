"""Classifies the shape of an object by comparing it with templates of each shape and angle.

The templates are drawn from inequalities, not by the code that draws scenes, so that the judge is
independent of that code.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np

from .backgrounds import Floats
from .words import SHAPES

PERIODS = {"square": 90.0, "triangle": 120.0, "star": 72.0, "cross": 90.0}
"""Degrees after which a rotated shape looks the same again; round shapes have no entry."""

_SIDE = 48  # pixels of a patch
_UNIT = 20.0  # pixels: the square root of the area of the object in a patch
_STEP = 6.0  # degrees between templates
_BLURS = (0.5, 1.3, 2.4, 3.8)  # sigmas in pixels of a patch, for large sharp to small soft objects
_MIN_SIMILARITY = 0.8  # the least intersection over union of a patch and its best template


def classify_shape(matte: Floats) -> tuple[str | None, float | None]:
    """Classifies the shape of an object.

    Args:
        matte: float32, height × width, 0..1, the share of each pixel that the object covers.

    Returns:
        The name of the shape, None if no template is similar enough, and its angle: the smallest
        one in degrees clockwise, None for a round or unknown shape.
    """
    patch = _normalize(matte)
    names, angles, templates, areas = _templates()
    shared = np.minimum(templates, patch).sum(axis=1)
    similarity = shared / (areas + patch.sum() - shared)
    best = int(similarity.argmax())
    name = names[best] if similarity[best] >= _MIN_SIMILARITY else None
    return name, angles[best] if name in PERIODS else None


def _normalize(matte: Floats) -> Floats:
    """A patch: the matte scaled to a fixed area and centred, as one row of pixels."""
    total = float(matte.sum())
    rows, columns = np.arange(matte.shape[0]), np.arange(matte.shape[1])
    x = float(matte.sum(axis=0) @ columns) / total
    y = float(matte.sum(axis=1) @ rows) / total
    scale = _UNIT / total**0.5
    middle = (_SIDE - 1) / 2
    move = np.array([[scale, 0, middle - scale * x], [0, scale, middle - scale * y]])
    patch = cv2.warpAffine(matte, move, (_SIDE, _SIDE), flags=cv2.INTER_LINEAR)
    return np.asarray(patch, np.float32).reshape(1, -1)


@cache
def _templates() -> tuple[list[str], list[float], Floats, Floats]:
    """The names, angles, patches (one per row) and areas of all templates."""
    names, angles, patches = [], [], []
    for name in SHAPES:
        for angle in np.arange(0, PERIODS.get(name, _STEP), _STEP):
            sharp = _normalize(_draw_shape(name, float(angle))).reshape(_SIDE, _SIDE)
            for sigma in _BLURS:
                names.append(name)
                angles.append(float(angle))
                patches.append(_normalize(_blur(sharp, sigma)))
    rows = np.concatenate(patches)
    return names, angles, rows, rows.sum(axis=1)


def _blur(shape: Floats, sigma: float) -> Floats:
    """Blurs a shape and scales it so that the median of its bright pixels is 1, as in a matte."""
    soft = np.asarray(cv2.GaussianBlur(shape, (0, 0), sigma))
    bright = soft[soft > 0.8 * np.percentile(soft[soft > 0.1], 90)]
    return np.asarray(np.minimum(soft / np.median(bright), 1), np.float32)


def _draw_shape(name: str, angle: float) -> Floats:
    """Draws a shape, rotated clockwise, in the middle of a patch."""
    fine = _SIDE * 4
    steps = ((np.arange(fine) + 0.5) / fine - 0.5) * (_SIDE / _UNIT * 2)
    x, y = np.meshgrid(steps, steps)
    turn = np.radians(angle)
    x, y = x * np.cos(turn) + y * np.sin(turn), y * np.cos(turn) - x * np.sin(turn)
    inside = _INSIDE[name](x, y).astype(np.float32)
    return np.asarray(cv2.resize(inside, (_SIDE, _SIDE), interpolation=cv2.INTER_AREA))


def _in_ring(x: Any, y: Any) -> Any:
    radius = np.hypot(x, y)
    return (radius < 1) & (radius > 0.56)


def _in_cross(x: Any, y: Any) -> Any:
    x, y = abs(x), abs(y)
    return (np.maximum(x, y) < 1) & (np.minimum(x, y) < 0.36)


def _in_triangle(x: Any, y: Any) -> Any:
    return (y < 0.5) & (abs(x) < (y + 1) / 3**0.5)


def _in_star(x: Any, y: Any) -> Any:
    """Whether a point is in a star with five tips at radius 1 and notches at radius 0.45."""
    fifth = 2 * np.pi / 5
    from_tip = abs((np.arctan2(x, -y) + fifth / 2) % fifth - fifth / 2)  # radians
    radius = np.hypot(x, y)
    along, across = radius * np.cos(from_tip), radius * np.sin(from_tip)
    notch_x, notch_y = 0.45 * np.cos(fifth / 2), 0.45 * np.sin(fifth / 2)
    return (along - 1) * notch_y - across * (notch_x - 1) < 0


_INSIDE = {
    "circle": lambda x, y: np.hypot(x, y) < 1,
    "square": lambda x, y: np.maximum(abs(x), abs(y)) < 0.8,
    "triangle": _in_triangle,
    "star": _in_star,
    "ring": _in_ring,
    "cross": _in_cross,
}
