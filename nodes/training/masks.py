"""Masks to learn inpainting by: objects grown, boxes, strokes, and everything."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import cv2
import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]

WEIGHTS = {"object": 0.5, "box": 0.2, "strokes": 0.15, "everything": 0.15}
"""How often each kind is drawn; where no object is known, the first falls to boxes and strokes.

Boxes and strokes follow LaMa (Suvorov et al. 2022); everything masked (Rombach et al. 2022) keeps
the network able to make a whole picture.
"""

GROWTH = (0.03, 0.15)
"""How far a mask reaches beyond its object on each side, as a share of the picture's side.

No less, or a rim of the object would tell its colour and shape.
"""

BOX = (0.2, 0.75)
"""Sides of a random box, as shares of the picture's."""

WIDTH = (0.06, 0.2)
"""Widths of a stroke, as shares of the picture's side."""


def draw(
    dice: np.random.Generator, side: int, objects: Sequence[Pixels] = (), kind: str | None = None
) -> Pixels:
    """A mask of a random kind, or of the one asked for: uint8, side × side, 255 or 0, never empty.

    objects: where each object of the picture is; "object" covers one of them whole.
    """
    if kind is None:
        names = list(WEIGHTS) if objects else [name for name in WEIGHTS if name != "object"]
        odds = np.array([WEIGHTS[name] for name in names])
        kind = str(dice.choice(names, p=odds / odds.sum()))
    if kind == "object":
        chosen = objects[int(dice.integers(len(objects)))]
        return around(dice, chosen)
    return _BY_KIND[kind](dice, side)


def around(dice: np.random.Generator, thing: Pixels) -> Pixels:
    """What covers an object: its outline grown, a box, or an ellipse round it.

    Often not its outline: a mask that always had the object's shape would tell it, and at use the
    shape is asked for in words.
    """
    side = thing.shape[0]
    reach = max(1, round(float(dice.uniform(*GROWTH)) * side))
    form = int(dice.integers(3))
    if form == 0:
        kernel = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * reach + 1, 2 * reach + 1))
        return np.asarray(cv2.dilate(thing, kernel), dtype=np.uint8)
    left, top, width, height = cv2.boundingRect(thing)
    made = np.zeros_like(thing)
    if form == 1:
        low = max(0, left - reach), max(0, top - reach)
        made[low[1] : top + height + reach, low[0] : left + width + reach] = 255
        return made
    # An ellipse round a box is wider than it by the root of two.
    axes = [round(0.7072 * each) + reach for each in (width, height)]
    middle = (left + width // 2, top + height // 2)
    cv2.ellipse(made, middle, axes, 0, 0, 360, 255, -1)
    return np.maximum(made, thing)


def _box(dice: np.random.Generator, side: int) -> Pixels:
    width, height = (max(1, round(float(dice.uniform(*BOX)) * side)) for _ in range(2))
    left, top = int(dice.integers(side - width + 1)), int(dice.integers(side - height + 1))
    made = np.zeros((side, side), np.uint8)
    made[top : top + height, left : left + width] = 255
    return made


def _strokes(dice: np.random.Generator, side: int) -> Pixels:
    """One to three broken lines with round ends and joints, begun inside the picture."""
    made = np.zeros((side, side), np.uint8)
    for _ in range(int(dice.integers(1, 4))):
        thick = max(1, round(float(dice.uniform(*WIDTH)) * side))
        point = dice.uniform(0, side, 2)
        for _ in range(int(dice.integers(1, 5))):
            turn, length = dice.uniform(0, 2 * np.pi), dice.uniform(0.1, 0.4) * side
            after = np.clip(point + length * np.array([np.cos(turn), np.sin(turn)]), 0, side - 1)
            ends = [tuple(int(x) for x in each) for each in (point, after)]
            cv2.line(made, ends[0], ends[1], 255, thick)
            for end in ends:
                cv2.circle(made, end, thick // 2, 255, -1)
            point = after
    return made


def _everything(dice: np.random.Generator, side: int) -> Pixels:
    del dice
    return np.full((side, side), 255, np.uint8)


_BY_KIND: dict[str, Callable[[np.random.Generator, int], Pixels]] = {
    "box": _box,
    "strokes": _strokes,
    "everything": _everything,
}
