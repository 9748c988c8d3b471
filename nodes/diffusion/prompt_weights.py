"""Weights in prompts: `a (red:1.3) star`, as ComfyUI and its forerunners write them."""

from __future__ import annotations

import re

STRONGER = 1.1
"""The weight that parentheses alone give."""

MOST = 10.0
"""How large, either way, a weight can be that still makes a picture; far less is usual."""

Segments = tuple[tuple[str, float], ...]

_ESCAPED = re.compile(r"\\[()]")
_PIECE = re.compile(rf"{_ESCAPED.pattern}|[()]|[^()\\]+|\\")
_WEIGHT = re.compile(r"(.*):\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*", re.DOTALL)


def weighted(prompt: str) -> Segments:
    """The texts of a prompt, each with its weight, neighbours of one weight being one.

    `(text:1.3)` has that weight, `(text)` 1.1, and those of nested ones multiply; a backslash makes
    a parenthesis text. Those that find no partner are text, as is a weight that is no number.
    """
    pieces = _PIECE.findall(prompt)
    ends = _partners(pieces)
    closing = set(ends.values())
    weights = [1.0]
    merged: list[tuple[str, float]] = []
    for place, piece in enumerate(pieces):
        if place in ends:
            last = ends[place] - 1
            told = _WEIGHT.fullmatch(pieces[last])
            if told is not None:
                pieces[last] = told[1]
            weights.append(weights[-1] * (STRONGER if told is None else float(told[2])))
        elif place in closing:
            weights.pop()
        else:
            text = piece[1:] if _ESCAPED.fullmatch(piece) else pieces[place]
            if merged and merged[-1][1] == weights[-1]:
                merged[-1] = merged[-1][0] + text, weights[-1]
            elif text:
                merged.append((text, weights[-1]))
    return tuple(merged) or (("", 1.0),)


def too_large(prompt: str) -> float | None:
    """The first weight of a prompt that no picture comes of, or None."""
    return next((weight for _, weight in weighted(prompt) if not abs(weight) <= MOST), None)


def _partners(pieces: list[str]) -> dict[int, int]:
    """For each opening parenthesis that has a partner the place of that."""
    partner, waiting = {}, []
    for place, piece in enumerate(pieces):
        if piece == "(":
            waiting.append(place)
        elif piece == ")" and waiting:
            partner[waiting.pop()] = place
    return partner
