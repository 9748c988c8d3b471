"""Weights in prompts: `a (red:1.3) star`, as ComfyUI and its forerunners write them."""

from __future__ import annotations

import re

PARENTHESES_WEIGHT = 1.1
"""The weight that parentheses alone give."""

MAX_WEIGHT = 10.0
"""How large, either way, a weight can be that still makes a picture; far less is usual."""

WeightedTexts = tuple[tuple[str, float], ...]
"""The texts of a prompt in order, each with its weight."""

_ESCAPED = re.compile(r"\\[()]")
_PIECE = re.compile(rf"{_ESCAPED.pattern}|[()]|[^()\\]+|\\")
_WEIGHT = re.compile(r"(.*):\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*", re.DOTALL)


def parse_weights(prompt: str) -> WeightedTexts:
    r"""The texts of a prompt, each with its weight, neighbours of one weight being one.

    `(text:1.3)` has that weight, `(text)` 1.1, and the weights of nested parentheses multiply; a
    backslash makes a parenthesis text. Parentheses without a partner are text, as is a weight that
    is no number.

    Example:
        >>> parse_weights("a (red:1.3) star")
        (('a ', 1.0), ('red', 1.3), (' star', 1.0))
        >>> parse_weights(r"a star \(small\)")
        (('a star (small)', 1.0),)
    """
    pieces = _PIECE.findall(prompt)
    partners = _partners(pieces)
    closing = set(partners.values())
    weights = [1.0]
    texts: list[tuple[str, float]] = []
    for place, piece in enumerate(pieces):
        if place in partners:
            last = partners[place] - 1
            weighted = _WEIGHT.fullmatch(pieces[last])
            if weighted is not None:
                pieces[last] = weighted[1]
            weight = PARENTHESES_WEIGHT if weighted is None else float(weighted[2])
            weights.append(weights[-1] * weight)
        elif place in closing:
            weights.pop()
        else:
            text = piece[1:] if _ESCAPED.fullmatch(piece) else pieces[place]
            if texts and texts[-1][1] == weights[-1]:
                texts[-1] = texts[-1][0] + text, weights[-1]
            elif text:
                texts.append((text, weights[-1]))
    return tuple(texts) or (("", 1.0),)


def excessive_weight(prompt: str) -> float | None:
    """The first weight of a prompt that is beyond `MAX_WEIGHT`, or None."""
    weights = (weight for _, weight in parse_weights(prompt))
    return next((weight for weight in weights if not abs(weight) <= MAX_WEIGHT), None)


def _partners(pieces: list[str]) -> dict[int, int]:
    """The place of the closing parenthesis for the place of each opening one that has one."""
    partners, waiting = {}, []
    for place, piece in enumerate(pieces):
        if piece == "(":
            waiting.append(place)
        elif piece == ")" and waiting:
            partners[waiting.pop()] = place
    return partners
