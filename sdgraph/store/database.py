"""A SQLite database that several processes share and that may be damaged, locked or removed.

1. It is opened when it is needed first, in the mode of a write-ahead log: a commit is complete or
   not there, also if the process is killed, and readers never wait for a writer.
2. Before each transaction the file is compared with the one that was opened: if it was removed or
   replaced, it is opened again.
3. A damaged database is renamed (`….damaged`), and a new one takes its place.
4. A database of a newer version is neither read nor changed.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_OPEN_TRIES = 50
"""How often a database is opened that other processes are making at the same time."""
_WAIT_S = 0.02
_LOCK_TIMEOUT_S = 10.0
_FILES = ("", "-wal", "-shm", "-journal")


class NewerDatabaseError(Exception):
    """A database of a newer version of sdgraph."""


class Database:
    """A database with a schema, used by one thread at a time.

    Args:
        path: Its file.
        schema: The statements that make its tables.
        version: The version of the schema.
        warn: Called with a text when a damaged database was set aside.
    """

    def __init__(self, path: Path, schema: str, version: int, warn: Callable[[str], None]) -> None:
        self.path = path
        self._schema = schema
        self._version = version
        self._warn = warn
        self._connection: sqlite3.Connection | None = None
        self._opened: tuple[int, int, int] | None = None
        """The process and the file of the connection."""

    @property
    def exists(self) -> bool:
        """Whether it is open or there is a file to open."""
        return self._connection is not None or self.path.exists()

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, without a transaction.

        Raises sqlite3.Error, OSError or NewerDatabaseError.
        """
        return self._repeat(work)

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """What `work` returns, in a transaction that is committed on return.

        Raises sqlite3.Error, OSError or NewerDatabaseError; then nothing of it is done.
        """

        def transaction(connection: sqlite3.Connection) -> T:
            connection.execute("BEGIN IMMEDIATE")
            try:
                result = work(connection)
                connection.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    connection.execute("ROLLBACK")
                raise
            return result

        if self._opened != self._identity():
            self.close()
        return self._repeat(transaction)

    def close(self) -> None:
        """Closes the connection."""
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(sqlite3.Error):
                connection.close()

    def _repeat(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Repeats `work` once with a new connection if it fails."""
        try:
            return work(self._connection or self._open())
        except sqlite3.DatabaseError as error:
            if _is_busy(error):
                raise
            if _is_damage(error):
                self._set_aside(error)
        return work(self._open())

    def _open(self) -> sqlite3.Connection:
        self.close()
        self.path.parent.mkdir(parents=True, exist_ok=True)
        tries = _OPEN_TRIES
        while True:
            try:
                connection = self._connect()
                break
            except sqlite3.DatabaseError as error:
                tries -= 1
                if not tries or not (_is_busy(error) or _is_damage(error)):
                    raise
                if _is_damage(error):
                    self._set_aside(error)
                time.sleep(_WAIT_S)
        self._connection, self._opened = connection, self._identity()
        return connection

    def _connect(self) -> sqlite3.Connection:
        connection = sqlite3.connect(
            self.path, timeout=_LOCK_TIMEOUT_S, isolation_level=None, check_same_thread=False
        )
        try:
            (version,) = connection.execute("PRAGMA user_version").fetchone()
            if version > self._version:
                raise NewerDatabaseError(f"version {version}, and this is {self._version}")
            if version < self._version:
                connection.execute("PRAGMA auto_vacuum = INCREMENTAL")
                connection.execute("PRAGMA journal_mode = WAL")
                schema = f"BEGIN IMMEDIATE; {self._schema}; PRAGMA user_version = {self._version};"
                connection.executescript(f"{schema} COMMIT;")
            connection.execute("PRAGMA synchronous = NORMAL")
        except BaseException:
            connection.close()
            raise
        return connection

    def _identity(self) -> tuple[int, int, int] | None:
        """This process and the file, which differ from those of a connection of no use."""
        try:
            status = os.stat(self.path)  # noqa: PTH116  before every commit
        except OSError:
            return None
        return os.getpid(), status.st_dev, status.st_ino

    def _set_aside(self, error: Exception) -> None:
        """Renames a damaged database, unless another process has replaced it already."""
        is_replaced = self._connection is not None and self._opened != self._identity()
        self.close()
        if is_replaced:
            return
        aside = self.path.with_name(f"{self.path.name}.damaged")
        for suffix in _FILES:
            with suppress(OSError):
                if suffix:
                    Path(f"{self.path}{suffix}").unlink()
                else:
                    self.path.replace(aside)
        self._warn(f"{self.path} is damaged ({error}); it is now {aside.name}, and a new one made")


def _is_busy(error: sqlite3.DatabaseError) -> bool:
    return _code(error) in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    """Whether the file is no database, is damaged, or lacks a table or column of the schema."""
    return _code(error) in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_ERROR)


def _code(error: sqlite3.DatabaseError) -> int:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_IOERR) & 0xFF
