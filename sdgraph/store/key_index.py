"""Which keys and subfolders a store has, so that not every lookup of what is new asks the disk.

1. Outside of a run or a plan each lookup sees what other processes have written until then. Within
   one, what was seen counts for `SEEN_S`: a result that another process has written since then may
   be made again.
2. Keys of a database are read at once when so many were looked up one by one that reading all takes
   no longer, and again after another process has changed the database. What this process writes is
   added.
3. Names of subfolders are listed again after the time of the folder has changed.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterable

SEEN_S = 0.02
"""For how many seconds what was seen counts within a run."""
_LOOKUPS_PER_PAGE = 3
"""Reading the keys of a page of the database takes about as long as so many lookups."""
_MOST_PAGES = 10_000
"""The keys of a larger database (40 MB, about 200,000 keys) are not held in memory."""
_CLOCK_TICK_NS = 10**9
"""A folder may change twice within this time and keep the time of the first change."""


class Freshness:
    """Says when to look at the disk again: each time, but within runs at most every `SEEN_S`."""

    def __init__(self) -> None:
        self._runs = 0
        self._began = 0.0

    def begin(self) -> None:
        """Counts a run that begins; what was seen before does not count."""
        self._runs += 1
        self._began = time.monotonic()

    def end(self) -> None:
        """Counts a run that ends."""
        self._runs -= 1

    def is_old(self, seen: float) -> bool:
        """Whether what was seen at this time, by the monotonic clock, does not count any more."""
        return not self._runs or seen < self._began or time.monotonic() - seen > SEEN_S


class KeyIndex:
    """The keys and aliases in a database, as far as they were read; for one thread at a time.

    Args:
        freshness: When to look whether another process has changed them.
    """

    def __init__(self, freshness: Freshness) -> None:
        self._freshness = freshness
        self._keys: set[bytes] | None = None
        self._source: tuple[sqlite3.Connection, int] | None = None
        """The connection that they were read from, and the version of the data."""
        self._seen = 0.0
        self._lookups = 0

    def surely_lacks(self, key: bytes) -> bool:
        """Whether it is known, without asking the disk, that there is no such key."""
        keys = self._keys
        return keys is not None and key not in keys and not self._freshness.is_old(self._seen)

    def lacks(self, connection: sqlite3.Connection, key: bytes) -> bool:
        """Whether the database is known to lack a key; False if it may have it.

        Raises sqlite3.Error.
        """
        if self._freshness.is_old(self._seen):
            self._seen = time.monotonic()
            (version,) = connection.execute("PRAGMA data_version").fetchone()
            if self._source is None or (connection, version) != self._source:
                self._keys, self._source, self._lookups = None, (connection, version), 0
        if self._keys is None:
            self._lookups += 1
            self._read_if_cheap(connection)
        return self._keys is not None and key not in self._keys

    def add(self, keys: Iterable[bytes]) -> None:
        """Adds keys that this process writes."""
        if self._keys is not None:
            self._keys.update(keys)

    def forget(self) -> None:
        """Forgets all: they are read again when that is worth it."""
        self._keys = self._source = None

    def _read_if_cheap(self, connection: sqlite3.Connection) -> None:
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        if _LOOKUPS_PER_PAGE * pages <= self._lookups and pages <= _MOST_PAGES:
            every = "SELECT key FROM records UNION ALL SELECT alias FROM aliases"
            self._keys = {key for (key,) in connection.execute(every)}


class SubfolderIndex:
    """The names of the subfolders of a folder, which only ever become more.

    Args:
        folder: The folder.
        freshness: When to look whether another process has made one.
    """

    def __init__(self, folder: str, freshness: Freshness) -> None:
        self._folder = folder
        self._freshness = freshness
        self._names: set[str] = set()
        self._changed: int | None = None
        """The time of the folder when it was listed; None if that may stand for two changes."""
        self._seen = float("-inf")

    def lacks(self, name: str) -> bool:
        """Whether there is no such subfolder, and so nothing in it."""
        if name in self._names:
            return False  # at most its files are looked for in vain
        if self._freshness.is_old(self._seen):
            self._look()
        return name not in self._names

    def add(self, name: str) -> None:
        """Adds a subfolder that this process has made."""
        self._names.add(name)

    def _look(self) -> None:
        self._seen = time.monotonic()
        try:
            changed = os.stat(self._folder).st_mtime_ns  # noqa: PTH116  before every lookup
            if changed != self._changed:
                self._names.update(os.listdir(self._folder))
                is_settled = time.time_ns() - changed > _CLOCK_TICK_NS
                self._changed = changed if is_settled else None
        except OSError:
            self._changed = None
