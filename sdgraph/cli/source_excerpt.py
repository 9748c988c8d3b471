"""Problems as text, with the line of the file that they are on."""

from __future__ import annotations

import unicodedata
from functools import lru_cache
from pathlib import Path

from sdgraph.errors import Mark, Problem
from sdgraph.files import FileStamp, read_text

_LINE_WIDTH = 100


def format_problem(problem: Problem) -> str:
    """A problem as text, with its line of the file and a caret below its column."""
    head, *rest = str(problem).splitlines()
    return "\n".join([head, *excerpt_at(problem.at), *rest])


def excerpt_at(mark: Mark | None) -> list[str]:
    """The line of the file at a mark and a caret below its column; [] if it cannot be read."""
    lines = _lines_of(mark.file) if mark else ()
    if mark is None or not 0 < mark.line <= len(lines):
        return []
    line = lines[mark.line - 1]
    before, after = line[: mark.column - 1], line[mark.column - 1 :]
    if len(line) > _LINE_WIDTH:  # show what is around the column
        before = before if len(before) <= 60 else "…" + before[-59:]
        rest = max(_LINE_WIDTH - len(before), 20)
        after = after if len(after) <= rest else after[: rest - 1] + "…"
    number = str(mark.line)
    # Tabs stay tabs and wide letters take two cells, so that the caret is below its column.
    blank = "".join(
        "\t" if char == "\t" else "  " if unicodedata.east_asian_width(char) in "WF" else " "
        for char in before
        if not unicodedata.combining(char)
    )
    return [f"  {number} | {before}{after}", f"  {' ' * len(number)} | {blank}^"]


def _lines_of(file: str) -> tuple[str, ...]:
    """The lines of a file; an unchanged file is read only once for all its problems."""
    try:
        path = Path(file).resolve()
        return _lines(path, FileStamp.of(path))
    except (OSError, ValueError, RuntimeError):  # RuntimeError: a link to itself
        return ()


@lru_cache(maxsize=16)
def _lines(path: Path, stamp: FileStamp) -> tuple[str, ...]:
    # Imported here because only errors in files need the language.
    from sdgraph.language import MAX_WORKFLOW_BYTES, looks_like_workflow

    text = read_text(path, MAX_WORKFLOW_BYTES)
    # A file that is no workflow may be any file of the user's, such as a private key.
    return tuple(text.splitlines()) if looks_like_workflow(text) else ()
