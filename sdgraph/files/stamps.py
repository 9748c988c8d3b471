"""What identifies the content of a file without reading it."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable
from hashlib import blake2b
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

SETTLING_NS = 2 * 10**9
"""The coarsest step of a file system's clock (FAT): two writes within it can look the same."""


class FileStamp(NamedTuple):
    """Identifies the content of a file without reading it; times in nanoseconds since 1970."""

    path: str
    size: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> FileStamp:
        """The stamp of a file as it is now; a link is followed. Raises OSError."""
        return cls._of_status(str(path), path.stat())

    @classmethod
    def of_each(cls, paths: Iterable[Path]) -> list[FileStamp]:
        """The stamps of files as they are now; links are followed. Raises OSError."""
        return [cls._of_status(str(path), path.stat()) for path in paths]

    @classmethod
    def of_regular(cls, path: str) -> FileStamp | None:
        """The stamp of a file as it is now; None for what is no regular file, or not there."""
        try:
            status = os.stat(path)  # noqa: PTH116  a Path takes three times as long
        except (OSError, ValueError):
            return None
        return cls._of_status(path, status) if S_ISREG(status.st_mode) else None

    @classmethod
    def _of_status(cls, path: str, status: os.stat_result) -> FileStamp:
        times = (status.st_mtime_ns, status.st_ctime_ns)
        return cls(path, status.st_size, *times, status.st_ino)

    def is_settled(self) -> bool:
        """Whether any write from now on will show in the stamp."""
        now = time.time_ns()
        # Programs can set mtime to any time; they cannot set ctime (except on Windows, where it is
        # the time of creation).
        return now - self.changed >= SETTLING_NS and abs(now - self.modified) >= SETTLING_NS


def tree_stamps(folder: str | Path, most: int, depth: int = 4) -> tuple[FileStamp, ...] | None:
    """The stamps of all files and folders in a folder, in the disk's order; links are followed.

    Args:
        folder: The folder.
        most: So many stamps at most.
        depth: How deep folders may be nested.

    Returns:
        The stamps, or None if the tree is larger, or a part of it cannot be read.
    """
    stamps: list[FileStamp] = []
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                stamps.append(FileStamp._of_status(entry.path, entry.stat()))
                if len(stamps) > most:
                    return None
                if entry.is_dir():
                    rest = most - len(stamps)
                    below = tree_stamps(entry.path, rest, depth - 1) if depth else None
                    if below is None:
                        return None
                    stamps += below
    except OSError:
        return None
    return tuple(stamps)


def folder_stamp(folder: Path) -> str:
    """A hash of the names, sizes and times of the files in a folder; raises OSError."""
    files = [path for path in sorted(folder.iterdir()) if path.is_file()]
    stamps = [(path.name, *FileStamp.of(path)[1:4]) for path in files]
    return blake2b(repr(stamps).encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
