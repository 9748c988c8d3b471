"""Problems as text, with the line of the file they stand on, and as data."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path
from typing import Any

from sdgraph.errors import Mark, Problem

_LINE_WIDTH = 100


def problem_text(problem: Problem) -> str:
    """A problem with the line it stands on and a caret beneath its column."""
    head, *rest = str(problem).splitlines()
    return "\n".join([head, *excerpt(problem.at), *rest])


def excerpt(mark: Mark | None) -> list[str]:
    """The source line at a mark and a caret beneath its column; [] where it cannot be read."""
    lines = _lines_of(mark.file) if mark else ()
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


def _lines_of(file: str) -> tuple[str, ...]:
    """The lines as they are now; a file with many problems is read once while it stays so."""
    try:
        path = Path(file).resolve()
        status = path.stat()
        return _lines(path, status.st_size, status.st_mtime_ns, status.st_ino)
    except (OSError, ValueError):
        return ()


@lru_cache(maxsize=16)
def _lines(path: Path, *_: int) -> tuple[str, ...]:
    return tuple(path.read_text(encoding="utf-8-sig").splitlines())


def problem_data(problem: Problem) -> dict[str, Any]:
    """A problem as plain data for JSON."""
    at = problem.at
    place = {"file": at.file, "line": at.line, "column": at.column} if at else {}
    found = {"subject": problem.subject, "found": problem.found, "wanted": problem.wanted}
    return {**place, **found, "fix": problem.fix}
