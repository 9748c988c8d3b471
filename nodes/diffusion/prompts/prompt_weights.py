"""Weights in prompts: `a (red:1.3) star`, as in ComfyUI."""

from __future__ import annotations

import re

PARENTHESES_WEIGHT = 1.1
"""The weight that parentheses alone give."""

MAX_WEIGHT = 10.0
"""The largest weight, positive or negative, that still makes a picture; most are far smaller."""

WeightedTexts = tuple[tuple[str, float], ...]
"""The texts of a prompt in order, each with its weight."""

_ESCAPED = re.compile(r"\\[()]")
_PIECE = re.compile(rf"{_ESCAPED.pattern}|[()]|[^()\\]+|\\")
_WEIGHT = re.compile(r"(.*):\s*([+-]?(?:\d+\.?\d*|\.\d+))\s*", re.DOTALL)


def parse_weights(prompt: str) -> WeightedTexts:
    r"""The texts of a prompt, each with its weight; neighbours with the same weight are joined.

    `(text:1.3)` has the weight 1.3, `(text)` 1.1, and the weights of nested parentheses multiply. A
    parenthesis after a backslash is text, as is one without a partner, or a weight that is no
    number.

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
    for index, piece in enumerate(pieces):
        if index in partners:
            last = partners[index] - 1
            weighted = _WEIGHT.fullmatch(pieces[last])
            if weighted is not None:
                pieces[last] = weighted[1]
            weight = PARENTHESES_WEIGHT if weighted is None else float(weighted[2])
            weights.append(weights[-1] * weight)
        elif index in closing:
            weights.pop()
        else:
            text = piece[1:] if _ESCAPED.fullmatch(piece) else pieces[index]
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
    """The index of each closing parenthesis, by the index of its opening one."""
    partners, unclosed = {}, []
    for index, piece in enumerate(pieces):
        if piece == "(":
            unclosed.append(index)
        elif piece == ")" and unclosed:
            partners[unclosed.pop()] = index
    return partners
