"""The words of the tiny world: shapes, colours, places, backgrounds and motions."""

from __future__ import annotations

from typing import NoReturn

from sdgraph.errors import InvalidValueError, Problem, did_you_mean

RGB = tuple[int, int, int]

SHAPES = ("circle", "square", "triangle", "star", "ring", "cross")

COLOURS: dict[str, RGB] = {
    "red": (220, 30, 40),
    "orange": (250, 135, 15),
    "yellow": (250, 230, 60),
    "green": (35, 165, 50),
    "cyan": (60, 220, 230),
    "blue": (35, 90, 240),
    "purple": (200, 60, 205),
    "white": (248, 248, 248),
}
"""The colours of objects: at least 43 apart in CIE Lab, and at least 35 from any background."""

BACKGROUNDS = ("navy", "gray", "black", "brown", "teal", "checkered", "striped", "sunset")
"""Five plain colours, then three patterns in perspective."""

PLACES: dict[str, tuple[float, float]] = {
    "center": (0.5, 0.5),
    "left": (0.27, 0.5),
    "right": (0.73, 0.5),
    "top": (0.5, 0.27),
    "bottom": (0.5, 0.73),
    "top left": (0.27, 0.27),
    "top right": (0.73, 0.27),
    "bottom left": (0.27, 0.73),
    "bottom right": (0.73, 0.73),
}
"""The middle of each place: x and y as shares of the width and height, from the top left."""

MOVES: dict[str, tuple[int, int]] = {
    "moving left": (-1, 0),
    "moving right": (1, 0),
    "moving up": (0, -1),
    "moving down": (0, 1),
}
"""The motions along a line and their directions (x, y): right and down are positive."""

MOTIONS = (*MOVES, "growing", "shrinking", "turning")


def refuse(subject: str, found: str, wanted: str, fix: str = "") -> NoReturn:
    """Raises an InvalidValueError with one problem."""
    raise InvalidValueError(Problem(subject, found, wanted, fix))


def check_word(subject: str, word: str, allowed: tuple[str, ...]) -> None:
    """Raises an InvalidValueError if a word is not one of those allowed."""
    if word not in allowed:
        fix = did_you_mean(str(word), allowed)
        refuse(subject, repr(word), f"one of {', '.join(allowed)}", fix)
