"""Classifies the shape of an object by comparing it with templates of each shape and angle.

The templates are drawn from inequalities, not by the code that draws scenes, so that the judge is
independent of that code.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt

from .words import SHAPES

Floats = npt.NDArray[np.float32]

PERIODS = {"square": 90.0, "triangle": 120.0, "star": 72.0, "cross": 90.0}
"""After how many degrees a shape looks the same; the round ones always do."""

_SIDE = 48  # pixels of a patch
_UNIT = 20.0  # pixels: the square root of the area that every patch is scaled to
_STEP = 6.0  # degrees between templates
_BLURS = (0.5, 1.3, 2.4, 3.8)  # pixels of a patch: from large sharp objects to small soft ones
_CLEAR = 0.8  # the likeness below which a patch has no known shape


def classify_shape(matte: Floats) -> tuple[str | None, float | None]:
    """The shape that a matte shows and its angle in degrees clockwise.

    matte: float32, height × width, 0..1, how much of each pixel the object covers. The shape is
    None where it is like none of them; the angle is None of round shapes, and the smallest of
    those at which the shape looks so.
    """
    patch = _patch(matte)
    names, angles, forms, sums = _templates()
    shared = np.minimum(forms, patch).sum(axis=1)
    likeness = shared / (sums + patch.sum() - shared)
    best = int(likeness.argmax())
    name = names[best] if likeness[best] >= _CLEAR else None
    return name, angles[best] if name in PERIODS else None


def _patch(matte: Floats) -> Floats:
    """The matte scaled to one area and put in the middle, as a flat row."""
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
    """The names, angles, patches (one a row) and their sums, of every shape."""
    names, angles, forms = [], [], []
    for name in SHAPES:
        for angle in np.arange(0, PERIODS.get(name, _STEP), _STEP):
            sharp = _patch(_drawn(name, float(angle))).reshape(_SIDE, _SIDE)
            for blur in _BLURS:
                names.append(name)
                angles.append(float(angle))
                forms.append(_patch(_softened(sharp, blur)))
    rows = np.concatenate(forms)
    return names, angles, rows, rows.sum(axis=1)


def _softened(form: Floats, blur: float) -> Floats:
    """The form blurred, and as bright as a matte that takes the blurred colour for the whole."""
    soft = np.asarray(cv2.GaussianBlur(form, (0, 0), blur))
    bright = soft[soft > 0.8 * np.percentile(soft[soft > 0.1], 90)]
    return np.asarray(np.minimum(soft / np.median(bright), 1), np.float32)


def _drawn(name: str, angle: float) -> Floats:
    """A shape turned clockwise about the middle of a patch."""
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
    """Within five points: the border runs straight from a tip (radius 1) to a notch (0.45)."""
    fifth = 2 * np.pi / 5
    away = abs((np.arctan2(x, -y) + fifth / 2) % fifth - fifth / 2)  # radians from the nearest tip
    radius = np.hypot(x, y)
    along, across = radius * np.cos(away), radius * np.sin(away)
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
