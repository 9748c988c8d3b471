"""The stamp of a file, which tells whether its content may have changed."""

from __future__ import annotations

import time
from pathlib import Path
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
        """The stamp of a file as it is now; of the target of a link. Raises OSError."""
        status = path.stat()
        times = (status.st_mtime_ns, status.st_ctime_ns)
        return cls(str(path), status.st_size, *times, status.st_ino)

    def is_settled(self) -> bool:
        """Whether any write from now on will show in the stamp."""
        now = time.time_ns()
        # mtime can be set, to the far future too; ctime (where it is not the birth) cannot.
        return now - self.changed >= SETTLING_NS and abs(now - self.modified) >= SETTLING_NS
