"""Sizes, counts, times, names and tables as text for people."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path


def aligned(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """The rows with their columns under one another; the last is left as it is."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def size_words(count: int) -> str:
    """A number of bytes as people say it, in powers of a thousand."""
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.5:
            return f"{size:.3g} {unit}"
    return f"{size / 1000:.3g} TB"


def count_words(count: int, noun: str) -> str:
    """The count with the noun, in the plural where it is not one: "1 node", "2 nodes"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def shorter(path: str | Path) -> str:
    """A path as it is or seen from the current folder, whichever is shorter."""
    text = str(path)
    try:
        return min(os.path.relpath(text), text, key=len)
    except ValueError:  # another drive
        return text


def snake(name: str) -> str:
    """A class's name in snake case: "ToySquare" is "toy_square"."""
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def seconds_words(seconds: float) -> str:
    """Seconds as people say them: "0.25 s", "12 min 05 s", "3 h 20 min"."""
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"
