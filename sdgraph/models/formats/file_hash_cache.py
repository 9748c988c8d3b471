"""Hashes of large files, stored on disk between runs.

They are in one small SQLite database that all processes of a user share. Nothing depends on it: if
it is locked, damaged, read-only or of a newer version, files are hashed again. No function here
raises an error of the database.
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdgraph.files import sdgraph_home

if TYPE_CHECKING:
    import sqlite3

    from sdgraph.files import FileStamp

LEAST_BYTES = 2**20
"""The smallest size of a file whose hash is stored.

The first query of a process takes as long as hashing three times as many bytes, because it imports
sqlite3; each further query takes a tenth of that.
"""

LIMIT = 4096
"""How many hashes are stored; the oldest are removed first."""

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


def recall(stamp: FileStamp) -> str | None:
    """The stored sha256 of the file in hexadecimal, if the file still has this stamp."""
    return recall_each([stamp]).get(stamp)


def recall_each(stamps: Iterable[FileStamp]) -> dict[FileStamp, str]:
    """The stored sha256 of those files that still have these stamps."""
    digests: dict[FileStamp, str] = {}
    with _log_errors("read"):
        path = sdgraph_home() / _NAME
        if path.is_file():
            with _open_database(path) as database:
                query = "SELECT digest FROM files WHERE path = ? AND stamp = ?"
                for stamp in stamps:
                    row = database.execute(query, _key(stamp)).fetchone()
                    if row and _is_digest(row[0]):
                        digests[stamp] = row[0]
    return digests


def keep(stamp: FileStamp, digest: str) -> None:
    """Stores the sha256 of the file for later runs, in place of an older one."""
    with _log_errors("written"):
        path = sdgraph_home() / _NAME
        path.parent.mkdir(parents=True, exist_ok=True)
        with _open_database(path) as database:
            # If this process is killed here, the next one that opens the database rolls it back.
            database.execute("BEGIN IMMEDIATE")
            database.execute(_TABLE)
            database.execute(f"PRAGMA user_version = {_VERSION}")
            row = (*_key(stamp), digest, time.time_ns())
            database.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?)", row)
            database.execute(_TRIM, (LIMIT,))
            database.execute("COMMIT")


def _key(stamp: FileStamp) -> tuple[bytes, str]:
    # The stamp is text, as an inode may have 64 bits and SQLite's integers are signed.
    return os.fsencode(stamp.path), "-".join(map(str, stamp[1:]))


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and set(value) <= set("0123456789abcdef")


@contextmanager
def _open_database(path: Path) -> Iterator[sqlite3.Connection]:
    """Opens the database; raises sqlite3.DatabaseError for one of a newer version."""
    import sqlite3

    database = sqlite3.connect(path, timeout=_TIMEOUT_S, isolation_level=None)
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
            _discard(path)
        raise
    finally:
        database.close()


def _discard(path: Path) -> None:
    """Removes a damaged database, so that the next hash creates a new one."""
    path.unlink(missing_ok=True)
    # SQLite would apply an old journal to the new database.
    path.with_name(f"{path.name}-journal").unlink(missing_ok=True)


@contextmanager
def _log_errors(action: str) -> Iterator[None]:
    """Turns any failure of the database into a line in the debug log."""
    try:
        yield
    except Exception as error:  # a damaged database can raise every kind
        _log.debug("remembered hashes cannot be %s: %s", action, error)
