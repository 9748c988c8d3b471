"""Hashes of large files, kept on disk between runs.

It is one small SQLite database that all processes of a user share. Nothing depends on it: where it
is locked, damaged, written by a newer version or cannot be written, files are hashed again. No
function here raises for the sake of the database.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from sdgraph.files import sdgraph_home

if TYPE_CHECKING:
    import sqlite3

LEAST_BYTES = 2**20
"""Smaller files are hashed anew.

The first question of a process takes as long as it takes to hash three times as much, as sqlite3
is imported for it; each further one a tenth.
"""

SETTLING_NS = 2 * 10**9
"""The coarsest step of a file system's clock (FAT): two writes within it can look the same."""

LIMIT = 4096
"""Most files that are remembered; those that were hashed longest ago go first."""

_NAME = "digests.sqlite"
_VERSION = 1
_TIMEOUT_S = 0.1

_TABLE = (
    "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, stamp TEXT NOT NULL,"
    " digest TEXT NOT NULL, hashed INTEGER NOT NULL) WITHOUT ROWID"
)
_TRIM = (
    "DELETE FROM files WHERE path IN"
    " (SELECT path FROM files ORDER BY hashed DESC, path LIMIT -1 OFFSET ?)"
)

_log = logging.getLogger(__name__)


class Stamp(NamedTuple):
    """By what a file is known again without reading it; times in nanoseconds since 1970."""

    path: str
    size: int
    modified: int
    changed: int
    inode: int

    @classmethod
    def of(cls, path: Path) -> Stamp:
        """The stamp of a file as it is now; `path` without links. Raises OSError."""
        found = path.stat()
        times = (found.st_mtime_ns, found.st_ctime_ns)
        return cls(str(path), found.st_size, *times, found.st_ino)

    def is_settled(self) -> bool:
        """Whether any write from now on will show in the stamp."""
        now = time.time_ns()
        # mtime can be set, to the far future too; ctime (where it is not the birth) cannot.
        return now - self.changed >= SETTLING_NS and abs(now - self.modified) >= SETTLING_NS


def recall(stamp: Stamp) -> str | None:
    """The sha256 that was kept of the file, in hexadecimal, if it still has this stamp."""
    found = None
    with _forgiving("read"):
        place = sdgraph_home() / _NAME
        if place.is_file():
            with _opened(place) as database:
                query = "SELECT digest FROM files WHERE path = ? AND stamp = ?"
                found = database.execute(query, _key(stamp)).fetchone()
    return found[0] if found and _is_digest(found[0]) else None


def keep(stamp: Stamp, digest: str) -> None:
    """Keeps the sha256 of the file for later runs, in place of what was known before."""
    with _forgiving("written"):
        place = sdgraph_home() / _NAME
        place.parent.mkdir(parents=True, exist_ok=True)
        with _opened(place) as database:
            # Killed in the middle, it is rolled back by whoever opens it next.
            database.execute("BEGIN IMMEDIATE")
            database.execute(_TABLE)
            database.execute(f"PRAGMA user_version = {_VERSION}")
            row = (*_key(stamp), digest, time.time_ns())
            database.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", row)
            database.execute(_TRIM, (LIMIT,))
            database.execute("COMMIT")


def _key(stamp: Stamp) -> tuple[bytes, str]:
    # Text, as an inode may take all 64 bits and SQLite's integers have a sign.
    return os.fsencode(stamp.path), "-".join(map(str, stamp[1:]))


def _is_digest(found: object) -> bool:
    return isinstance(found, str) and len(found) == 64 and set(found) <= set("0123456789abcdef")


@contextmanager
def _opened(place: Path) -> Iterator[sqlite3.Connection]:
    """The database; raises sqlite3.DatabaseError for one of a newer version."""
    import sqlite3

    database = sqlite3.connect(place, timeout=_TIMEOUT_S, isolation_level=None)
    try:
        database.execute("PRAGMA synchronous = NORMAL")
        (version,) = database.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            raise sqlite3.NotSupportedError(f"of version {version}, not {_VERSION}")
        yield database
    except sqlite3.DatabaseError as error:
        # The low byte is the kind; errors raised above have no code.
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF
        if code in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT):
            _discard(place)
        raise
    finally:
        database.close()


def _discard(place: Path) -> None:
    """Removes a damaged database, so that the next hash begins a new one."""
    place.unlink(missing_ok=True)
    # A journal left beside would be played back into the new database.
    place.with_name(f"{place.name}-journal").unlink(missing_ok=True)


@contextmanager
def _forgiving(what: str) -> Iterator[None]:
    """Lets any failure of the database pass, with a line in the debug log."""
    try:
        yield
    except Exception as error:  # a damaged database can raise every kind
        _log.debug("remembered hashes cannot be %s: %s", what, error)
