"""Finds the files that match a pattern such as `photos/**/*.png`, up to a limit."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from fnmatch import translate
from pathlib import Path

MAX_ENTRIES = 100_000
"""How many files and folders are looked at for one pattern."""


class TooManyFilesError(ValueError):
    """A pattern leads through more files and folders than are looked at."""


def find_files(pattern: Path, most: int) -> Iterator[Path]:
    """Yields the plain files whose path matches a pattern, in no particular order.

    `*` and `?` stand for parts of a name, and `**` for any number of folders. Hidden files and
    folders match only a part of the pattern that begins with a dot. `**` follows no links.

    Args:
        pattern: An absolute path with these signs in it.
        most: How many files may match.

    Raises:
        TooManyFilesError: More than MAX_ENTRIES files and folders would have to be looked at, or
            more than `most` files match.
    """
    # 1. Each folder that waits has the parts of the pattern that its entries are to match.
    # 2. A part without signs is one entry; `**` is the folder itself, or any folder below it.
    # 3. A file that matches the last part is a result. A folder is visited once for each part.
    plain = next((n for n, part in enumerate(pattern.parts) if _has_signs(part)), -1)
    waiting = [(str(Path(*pattern.parts[:plain])), pattern.parts[plain:])]
    seen = {waiting[0]}
    looked_at = found = 0
    while waiting:
        folder, (part, *rest) = waiting.pop()
        following = [(folder, tuple(rest))] if part == "**" and rest else []
        for entry in _entries(folder, part):
            looked_at += 1
            if looked_at > MAX_ENTRIES:
                raise TooManyFilesError(f"more than {MAX_ENTRIES:,} files and folders to look at")
            if part == "**" and entry.is_dir(follow_symlinks=False):
                following.append((entry.path, (part, *rest)))
            elif not rest:
                if entry.is_file():
                    found += 1
                    yield Path(entry.path)
            elif part != "**" and entry.is_dir():
                following.append((entry.path, tuple(rest)))
        if found > most:
            raise TooManyFilesError(f"more than {most:,} files match")
        waiting += (place for place in following if place not in seen)
        seen.update(following)


def _entries(folder: str, part: str) -> Iterator[os.DirEntry[str]]:
    """The entries of a folder whose names match a part of a pattern."""
    matches = None
    if _has_signs(part):
        matches = re.compile(translate("*" if part == "**" else part)).match
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if matches is None:
                    if entry.name == part:
                        yield entry
                        return
                elif (entry.name[0] != "." or part[0] == ".") and matches(entry.name):
                    yield entry
    except OSError:
        return  # it may not be read, or is no folder


def _has_signs(part: str) -> bool:
    return "*" in part or "?" in part
