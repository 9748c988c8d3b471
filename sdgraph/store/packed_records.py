"""Small results, packed in one database in place of a file and a link each.

The operations:

1. Write: outside of a run a record is committed at once. During a run (`batched`), records wait and
   are committed together: when those that wait took `COMMIT_WORK_S` to make, when there are
   `COMMIT_COUNT`, after `COMMIT_DELAY_S`, and before the run ends, however it ends. So what took
   `COMMIT_WORK_S` or longer is on disk before its node counts as finished. A process that is killed
   may lose quicker results that it told as finished in the last `COMMIT_DELAY_S`: less work than
   `COMMIT_WORK_S` in all. A commit of its own for each would cost several times as much.
2. Read: from those that wait, else from the database. A record says its key. Its time of use is
   set anew if it is older than a minute.
3. Alias: a second key of a record, in a table of its own.
4. Errors: nothing here stops a run; each problem is told by `warn`, and the database is no longer
   written to. Results that could not be committed are made again.

A damaged byte of a key or an alias leads to no record, because no one asks for a key of that value;
one in a record is noticed when its value is compared with its content hash.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from .database import Database, NewerDatabaseError
from .key_index import Freshness, KeyIndex
from .record_files import RecordFile

MAX_BYTES = 4096
"""The longest record, in bytes; what is larger has a file of its own."""
COMMIT_COUNT = 2000
COMMIT_WORK_S = 0.02
COMMIT_DELAY_S = 0.1

NAME = "small-results.sqlite"
_VERSION = 1
_SCHEMA = """
CREATE TABLE IF NOT EXISTS records
    (key BLOB UNIQUE NOT NULL, used REAL, remake_seconds REAL, record TEXT);
CREATE TABLE IF NOT EXISTS aliases (alias BLOB PRIMARY KEY, key BLOB, made REAL) WITHOUT ROWID
"""
# Records are in the order in which they were written, so that a commit of many changes few pages;
# only their keys are sorted.
_ROW_BYTES = 150
"""About what a record takes besides its text: its keys and its alias."""
_INSERT = "INSERT OR REPLACE INTO records (key, used, remake_seconds, record) VALUES (?, ?, ?, ?)"
_RECENT_S = 60.0
_OLD_ALIAS_S = 90 * 86400
_ERRORS = (sqlite3.Error, OSError)


class _Row(NamedTuple):
    key: bytes
    used: float
    remake_seconds: float
    record: str


def is_commit_due(count: int, work_seconds: float) -> bool:
    """Whether so many records that took so long to make are to be committed now.

    Example:
        >>> is_commit_due(1, 0.001), is_commit_due(1, 3.0), is_commit_due(5000, 0.0)
        (False, True, True)
    """
    return count >= COMMIT_COUNT or work_seconds >= COMMIT_WORK_S


class PackedRecords:
    """The small records in the folder of a store. Safe to share between threads and processes.

    Args:
        folder: The folder of the store, on a local disk.
        warn: Called with the text of each problem.
        freshness: When to look whether another process has added records.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None], freshness: Freshness) -> None:
        self._database = Database(folder / NAME, _SCHEMA, _VERSION, warn)
        self._prefix = f"{folder / NAME}/"
        self._folder = folder
        self._warn = warn
        self._lock = threading.RLock()
        self._known = KeyIndex(freshness)
        self._rows: dict[bytes, _Row] = {}
        self._aliases: dict[bytes, bytes] = {}
        self._touched: set[bytes] = set()
        self._work_seconds = 0.0
        self._runs = 0
        self._timer: threading.Timer | None = None
        self._is_usable = True

    def get(self, key: bytes) -> str | None:
        """The text of a record, or None."""
        with self._lock:
            if (row := self._rows.get(key)) is not None:
                return row.record
            if self._known.surely_lacks(key):
                return None
            found = self._select("SELECT record, used FROM records WHERE key = ?", key)
            if found is None:
                return None
            if abs(time.time() - found[1]) > _RECENT_S:
                self._touched.add(key)
                self._commit_when_due()
            return str(found[0])

    def put(self, key: bytes, record: str, remake_seconds: float, seconds: float) -> bool:
        """Adds a record that took so many seconds to make; returns whether it is or will be kept.

        Args:
            key: The key to find it by.
            record: Its text.
            remake_seconds: How long it takes to make it again.
            seconds: How long it took to make.
        """
        with self._lock:
            if not self._is_usable:
                return False
            self._rows[key] = _Row(key, time.time(), remake_seconds, record)
            self._work_seconds += seconds
            self._commit_when_due()
            return self._is_usable

    def key_of(self, alias: bytes) -> bytes | None:
        """The key that an alias leads to, or None."""
        with self._lock:
            if (key := self._aliases.get(alias)) is not None:
                return key
            if self._known.surely_lacks(alias):
                return None
            found = self._select("SELECT key FROM aliases WHERE alias = ?", alias)
            return None if found is None else bytes(found[0])

    def add_alias(self, alias: bytes, key: bytes) -> bool:
        """Makes an alias lead to a key; returns whether there is a record under the key."""
        with self._lock:
            statement = "SELECT 1 FROM records WHERE key = ?"
            if key not in self._rows and self._select(statement, key) is None:
                return False
            if self._is_usable:
                self._aliases[alias] = key
                self._commit_when_due()
            return True

    def list(self) -> Iterator[RecordFile]:
        """Every record, with the bytes that it takes."""
        self.flush()
        statement = "SELECT key, used, remake_seconds, length(record) FROM records"
        with self._lock:
            rows = self._read(lambda connection: connection.execute(statement).fetchall())
        for key, used, remake_seconds, length in rows or ():
            path = f"{self._prefix}{key.hex()}"
            yield RecordFile(path, length + _ROW_BYTES, used, key, remake_seconds)

    def remove(self, keys: Iterable[bytes]) -> None:
        """Removes records, aliases that lead to none, and old aliases."""
        removed, old = [(key,) for key in keys], time.time() - _OLD_ALIAS_S

        def work(connection: sqlite3.Connection) -> None:
            connection.executemany("DELETE FROM records WHERE key = ?", removed)
            statement = "DELETE FROM aliases WHERE made < ? OR key NOT IN (SELECT key FROM records)"
            connection.execute(statement, (old,))

        with self._lock:
            for (key,) in removed:
                self._rows.pop(key, None)
            if not self._is_usable or not self._database.exists:
                return
            try:
                self._database.write(work)
                self._database.read(_shrink)
            except (*_ERRORS, NewerDatabaseError) as error:
                self._fail(error)

    @contextmanager
    def batched(self) -> Iterator[None]:
        """Within it records are committed together; all are committed when it ends."""
        with self._lock:
            self._runs += 1
        try:
            yield
        finally:
            with self._lock:
                self._runs -= 1
            try:
                self.flush()
            except KeyboardInterrupt:
                self.flush()
                raise

    def flush(self) -> None:
        """Commits what waits."""
        with self._lock:
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            rows, aliases, touched = self._rows, self._aliases, self._touched
            if not (rows or aliases or touched):
                return
            now = time.time()

            def work(connection: sqlite3.Connection) -> None:
                change = connection.executemany
                change(_INSERT, rows.values())
                statement = "INSERT OR REPLACE INTO aliases VALUES (?, ?, ?)"
                change(statement, [(alias, key, now) for alias, key in aliases.items()])
                uses = [(now, key) for key in touched]
                change("UPDATE records SET used = ? WHERE key = ?", uses)

            try:
                self._database.write(work)
            except (*_ERRORS, NewerDatabaseError) as error:
                self._fail(error)
            # After an interrupt all of it still waits, and is committed when the run ends.
            self._known.add(rows)
            self._known.add(aliases)
            self._rows, self._aliases, self._touched = {}, {}, set()
            self._work_seconds = 0.0

    def _commit_when_due(self) -> None:
        count = len(self._rows) + len(self._touched)
        if not self._runs or is_commit_due(count, self._work_seconds):
            self.flush()
        elif self._timer is None:
            self._timer = threading.Timer(COMMIT_DELAY_S, self.flush)
            self._timer.daemon = True
            self._timer.start()

    def _select(self, statement: str, key: bytes) -> Any:
        def work(connection: sqlite3.Connection) -> Any:
            if self._known.lacks(connection, key):
                return None
            return connection.execute(statement, (key,)).fetchone()

        return self._read(work)

    def _read(self, work: Callable[[sqlite3.Connection], Any]) -> Any:
        if not self._is_usable or not self._database.exists:
            return None
        try:
            return self._database.read(work)
        except (*_ERRORS, NewerDatabaseError) as error:
            self._fail(error)
            return None

    def _fail(self, error: Exception) -> None:
        """Tells that the database cannot be used, and does not use it any more."""
        self._is_usable = False
        self._database.close()
        if not isinstance(error, NewerDatabaseError):
            self._warn(f"small results are not kept in {self._folder}: {error}; the run goes on")


def _shrink(connection: sqlite3.Connection) -> None:
    """Gives the bytes of removed records back to the disk, as far as no one reads them."""
    # Not `execute`, which removes the first page alone.
    connection.executescript("PRAGMA incremental_vacuum; PRAGMA wal_checkpoint(PASSIVE);")
