"""Masks for training inpainting: grown objects, boxes, strokes, and the whole picture."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

KIND_WEIGHTS = {"object": 0.5, "box": 0.2, "strokes": 0.15, "everything": 0.15}
"""How often each kind is drawn; where no object is known, the first falls to boxes and strokes.

Boxes and strokes follow LaMa (Suvorov et al. 2022). With everything masked (Rombach et al. 2022)
the network stays able to make a whole picture.
"""

GROWTH = (0.03, 0.15)
"""How far a mask reaches beyond its object on each side, as a share of the picture's side.

With less, a rim of the object would show its colour and shape.
"""

BOX = (0.2, 0.75)
"""Sides of a random box, as shares of the picture's."""

WIDTH = (0.06, 0.2)
"""Widths of a stroke, as shares of the picture's side."""


def random_mask(
    rng: np.random.Generator, side: int, objects: Sequence[Pixels] = (), kind: str | None = None
) -> Pixels:
    """A random mask: uint8, side × side, 255 or 0, never empty.

    Args:
        rng: What it is drawn by.
        side: The picture's side in pixels.
        objects: Where each object of the picture is, 255 or 0, side × side; a mask of the kind
            "object" covers one of them whole.
        kind: One of `KIND_WEIGHTS`; None draws one by these weights.
    """
    if kind is None:
        names = list(KIND_WEIGHTS) if objects else [n for n in KIND_WEIGHTS if n != "object"]
        odds = np.array([KIND_WEIGHTS[name] for name in names])
        kind = str(rng.choice(names, p=odds / odds.sum()))
    if kind == "object":
        return mask_around_object(rng, objects[int(rng.integers(len(objects)))])
    return _BY_KIND[kind](rng, side)


def mask_around_object(rng: np.random.Generator, outline: Pixels) -> Pixels:
    """A mask that covers an object: its outline grown, a box, or an ellipse around it.

    Often it is not the outline: a mask that always had the object's shape would give it away,
    while in use the shape is described in words.
    """
    side = outline.shape[0]
    reach = max(1, round(float(rng.uniform(*GROWTH)) * side))
    form = int(rng.integers(3))
    if form == 0:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        return np.asarray(cv2.dilate(outline, kernel), dtype=np.uint8)
    left, top, width, height = cv2.boundingRect(outline)
    mask = np.zeros_like(outline)
    if form == 1:
        low = max(0, left - reach), max(0, top - reach)
        mask[low[1] : top + height + reach, low[0] : left + width + reach] = 255
        return mask
    # An ellipse around a box is wider than it by the root of two.
    axes = [round(0.7072 * length) + reach for length in (width, height)]
    middle = (left + width // 2, top + height // 2)
    cv2.ellipse(mask, middle, axes, 0, 0, 360, 255, -1)
    return np.maximum(mask, outline)


def _box(rng: np.random.Generator, side: int) -> Pixels:
    width, height = (max(1, round(float(rng.uniform(*BOX)) * side)) for _ in range(2))
    left, top = int(rng.integers(side - width + 1)), int(rng.integers(side - height + 1))
    mask = np.zeros((side, side), np.uint8)
    mask[top : top + height, left : left + width] = 255
    return mask


def _strokes(rng: np.random.Generator, side: int) -> Pixels:
    """One to three broken lines with round ends and joints, begun inside the picture."""
    mask = np.zeros((side, side), np.uint8)
    for _ in range(int(rng.integers(1, 4))):
        thickness = max(1, round(float(rng.uniform(*WIDTH)) * side))
        point = rng.uniform(0, side, 2)
        for _ in range(int(rng.integers(1, 5))):
            turn, length = rng.uniform(0, 2 * np.pi), rng.uniform(0.1, 0.4) * side
            end_point = np.clip(
                point + length * np.array([np.cos(turn), np.sin(turn)]), 0, side - 1
            )
            ends = [tuple(int(x) for x in each) for each in (point, end_point)]
            cv2.line(mask, ends[0], ends[1], 255, thickness)
            for end in ends:
                cv2.circle(mask, end, thickness // 2, 255, -1)
            point = end_point
    return mask


def _everything(rng: np.random.Generator, side: int) -> Pixels:
    del rng
    return np.full((side, side), 255, np.uint8)


_BY_KIND: dict[str, Callable[[np.random.Generator, int], Pixels]] = {
    "box": _box,
    "strokes": _strokes,
    "everything": _everything,
}
