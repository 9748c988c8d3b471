"""Sizes, counts, times, names and tables as text for people."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path


def align_columns(rows: Sequence[Sequence[str]]) -> Iterator[str]:
    """Yields each row as one line, with the columns aligned; the last column is not padded.

    Args:
        rows: Rows of cells, all of the same length.

    Example:
        >>> for line in align_columns([("a", "1", "x"), ("long", "22", "y")]):
        ...     print(line)
        a     1   x
        long  22  y
    """
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)][:-1]
    for row in rows:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=False)]
        yield "  ".join([*cells, row[-1]]).rstrip()


def format_bytes(count: int) -> str:
    """A number of bytes in decimal units with three significant digits.

    Args:
        count: The number of bytes, 0 or more.

    Example:
        >>> format_bytes(999), format_bytes(13_500_000)
        ('999 B', '13.5 MB')
    """
    if count < 1000:
        return f"{count} B"
    size = float(count)
    for unit in ("kB", "MB", "GB"):
        size /= 1000
        if size < 999.5:
            return f"{size:.3g} {unit}"
    return f"{size / 1000:.3g} TB"


def shorten_list(names: Sequence[str], shown: int = 3) -> str:
    """The first names of a list, and how many more there are.

    Args:
        names: The names.
        shown: How many are written.

    Example:
        >>> shorten_list(["a.heic", "b.psd"]), shorten_list(["a", "b", "c", "d", "e"])
        ('a.heic, b.psd', 'a, b, c and 2 more')
    """
    more = f" and {len(names) - shown} more" if len(names) > shown else ""
    return ", ".join(names[:shown]) + more


def format_count(count: int, noun: str, plural: str = "") -> str:
    """A count with its noun, which is plural unless the count is 1.

    Args:
        count: How many.
        noun: The singular.
        plural: The plural, if it is not the singular with an "s".

    Example:
        >>> format_count(1, "node"), format_count(2, "node")
        ('1 node', '2 nodes')
    """
    return f"{count} {noun if count == 1 else plural or noun + 's'}"


def format_seconds(seconds: float) -> str:
    """A duration in the one or two units that suit its length.

    Args:
        seconds: The duration in seconds.

    Example:
        >>> format_seconds(0.25), format_seconds(725), format_seconds(12_000)
        ('0.25 s', '12 min 05 s', '3 h 20 min')
    """
    if seconds < 60:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02} s"
    return f"{minutes // 60} h {minutes % 60:02} min"


def shorten_path(path: str | Path) -> str:
    """A path as it is, or relative to the current folder, whichever is shorter.

    Args:
        path: An absolute or relative path; it need not exist.
    """
    text = str(path)
    try:
        return min(os.path.relpath(text), text, key=len)
    except ValueError:  # on another drive
        return text


def snake_case(name: str) -> str:
    """A class name in snake case.

    Args:
        name: A name in CapWords.

    Example:
        >>> snake_case("ToySquare")
        'toy_square'
    """
    return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name).lower()


def with_article(noun: str) -> str:
    """The noun with its article: "an Image", "a Mask"."""
    is_vowel = noun[:1] in "AEIO" or (noun[:1] == "U" and not noun[1:2].isupper())  # a UNet
    return f"an {noun}" if is_vowel else f"a {noun}"
