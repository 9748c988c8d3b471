"""Notes about results that are not kept on disk on purpose, for `plan` and `--explain`.

A note is a symbolic link, of which only the text is read, like an alias (see `aliases`). Where
links are not supported there are no notes, and nothing else changes.
"""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

from sdgraph.formatting import format_bytes, format_seconds

SUFFIX = ".not-kept"
_TEXT = re.compile(r"([0-9.e+-]+) s, (\d+) bytes")


class NotKept(NamedTuple):
    """Why a result is not kept: making it again takes less time than keeping and fetching it."""

    remake_seconds: float
    size: int

    def __str__(self) -> str:
        seconds = self.remake_seconds
        again = format_seconds(seconds) if seconds >= 0.1 else f"{seconds * 1e3:.3g} ms"
        return f"made again in {again}: sooner than {format_bytes(self.size)} are kept and fetched"


class NotKeptNotes:
    """The notes in the folder of a store."""

    def __init__(self, folder: Path) -> None:
        self._root = f"{folder}{os.sep}"

    def get(self, key: bytes) -> NotKept | None:
        """The note about the result of a key, if there is one."""
        try:
            text = os.readlink(self._path(key))  # noqa: PTH115  one for each node of a plan
        except OSError:
            return None
        match = _TEXT.fullmatch(text)
        try:
            return NotKept(float(match[1]), int(match[2])) if match else None
        except ValueError:
            return None

    def put(self, key: bytes, note: NotKept) -> None:
        """Writes a note in place of an older one; does nothing if it cannot be written."""
        path = Path(self._path(key))
        with suppress(OSError):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.unlink(missing_ok=True)
            path.symlink_to(f"{note.remake_seconds:.3g} s, {note.size} bytes")

    def _path(self, key: bytes) -> str:
        name = key.hex()
        return f"{self._root}{name[:2]}{os.sep}{name}{SUFFIX}"
