"""What the tiny world is made of, by name: shapes, colours, places, grounds and motions."""

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
"""Objects' colours: at least 43 apart in CIE Lab, and 35 from every ground."""

BACKGROUNDS = ("navy", "gray", "black", "brown", "teal", "checkered", "striped", "sunset")
"""Five plain grounds, then three that show a floor and a distance."""

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
"""Where the middle of an object lies: shares of the width and of the height, downwards."""

MOVES: dict[str, tuple[int, int]] = {
    "moving left": (-1, 0),
    "moving right": (1, 0),
    "moving up": (0, -1),
    "moving down": (0, 1),
}
"""Motions from side to side, by their direction: right and down are positive."""

MOTIONS = (*MOVES, "growing", "shrinking", "turning")


def refuse(subject: str, found: str, wanted: str, fix: str = "") -> NoReturn:
    """Raises the InvalidValueError of one problem."""
    raise InvalidValueError(Problem(subject, found, wanted, fix))


def check_word(subject: str, word: str, known: tuple[str, ...]) -> None:
    """Refuses a word that is none of `known`."""
    if word not in known:
        fix = did_you_mean(str(word), known)
        refuse(subject, repr(word), f"one of {', '.join(known)}", fix)
