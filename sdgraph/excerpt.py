"""Problems as text, with the line of the file they stand on, and as data."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import Mark, Problem

_LINE_WIDTH = 100


def problem_text(problem: Problem) -> str:
    """A problem with the line it stands on and a caret beneath its column."""
    head, *rest = str(problem).splitlines()
    return "\n".join([head, *excerpt(problem.at), *rest])


def excerpt(mark: Mark | None) -> list[str]:
    """The source line at a mark and a caret beneath its column; [] where it cannot be read."""
    lines = _lines(mark.file) if mark else ()
    if mark is None or not 0 < mark.line <= len(lines):
        return []
    line = lines[mark.line - 1]
    before, after = line[: mark.column - 1], line[mark.column - 1 :]
    if len(line) > _LINE_WIDTH:  # keep what is around the column in sight
        before = before if len(before) <= 60 else "…" + before[-59:]
        room = max(_LINE_WIDTH - len(before), 20)
        after = after if len(after) <= room else after[: room - 1] + "…"
    number = str(mark.line)
    # Tabs stay tabs and wide letters take two cells, so that the caret stands where it should.
    blank = "".join(
        "\t" if char == "\t" else "  " if unicodedata.east_asian_width(char) in "WF" else " "
        for char in before
        if not unicodedata.combining(char)
    )
    return [f"  {number} | {before}{after}", f"  {' ' * len(number)} | {blank}^"]


@lru_cache(maxsize=16)
def _lines(file: str) -> tuple[str, ...]:
    try:
        return tuple(Path(file).read_text(encoding="utf-8-sig").splitlines())
    except (OSError, ValueError):
        return ()


def problem_data(problem: Problem) -> dict[str, Any]:
    """A problem as plain data for JSON."""
    at = problem.at
    place = {"file": at.file, "line": at.line, "column": at.column} if at else {}
    found = {"subject": problem.subject, "found": problem.found, "wanted": problem.wanted}
    return {**place, **found, "fix": problem.fix}
