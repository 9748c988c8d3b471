"""The name that was probably meant, for a name that is not known."""

from __future__ import annotations

from collections.abc import Iterable
from difflib import get_close_matches
from heapq import nsmallest

from .foreign_names import note_about, our_name

_MOST_LETTERS = 100  # a comparison takes a time that grows with the product of the lengths
_MOST_COMPARED = 300


def nearest(word: str, names: Iterable[str]) -> str | None:
    """The name that `word` stands for in another tool, or is similar to; None if there is none.

    Args:
        word: What was written; its case does not count.
        names: What might have been meant.

    Example:
        >>> nearest("cany", ["Canny", "LoadImage"])
        'Canny'
        >>> nearest("cfg", ["steps", "guidance"])
        'guidance'
    """
    if len(word) > _MOST_LETTERS:
        return None
    names = tuple(names)
    if (ours := our_name(word, names)) is not None:
        return ours
    by_lower = {name.lower(): name for name in names if len(name) <= _MOST_LETTERS}
    word = word.lower()
    if len(by_lower) > _MOST_COMPARED:  # a comparison takes as long as 50 of these
        near = nsmallest(_MOST_COMPARED, by_lower, lambda name: _distance(name, word))
        by_lower = {name: by_lower[name] for name in near}
    matches = get_close_matches(word, by_lower, n=1, cutoff=0.6)
    return by_lower[matches[0]] if matches else None


def did_you_mean(word: str, names: Iterable[str]) -> str:
    """A fix that proposes the nearest name, or says what to do instead; "" if there is none.

    Args:
        word: What was written.
        names: What might have been meant.

    Example:
        >>> did_you_mean("cany", ["Canny", "LoadImage"])
        "did you mean 'Canny'?"
    """
    names = tuple(names)
    if (note := note_about(word, names)) and our_name(word, names) is None:
        return note
    name = nearest(word, names)
    return f"did you mean {name!r}?" if name and name != word else ""


def _distance(name: str, word: str) -> tuple[bool, int]:
    """How far two words seem to be from each other, without comparing all their letters."""
    return (name[:1] != word[:1], abs(len(name) - len(word)))
