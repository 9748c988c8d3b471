"""Keeps the records in a folder within a budget of bytes.

After a write, if a twentieth of the budget was written since the last time, the folder is scanned.
Abandoned hidden files are removed, then the records that save the least time per byte
(`admission.retention_score`) until another twentieth is free, then the aliases of removed records.
A new process skips its first scan if another one has scanned within a minute, as the time of
`.looked` shows.
"""

from __future__ import annotations

import threading
import time
from contextlib import suppress
from pathlib import Path

from .admission import retention_score
from .aliases import Aliases
from .packed_records import PackedRecords
from .record_files import RecordFile, is_record, list_files, remove, touch
from .serialization import header_or_none

_ABANDONED_S = 3600
"""A hidden file older than this was left by a process that was killed while it wrote."""
_SCANNED = ".looked"
_SCAN_AGAIN_S = 60
"""A new process scans the folder only if no process has done so for this time."""
_SLACK = 20
"""The folder is scanned again when this part of the budget (a twentieth) has been written.

A scan leaves as much free, so that not every further record leads to a scan.
"""


class DiskBudget:
    """The budget of a store's folder, to which other processes may write too.

    Args:
        folder: The folder of the records.
        limit: The budget in bytes.
        aliases: The aliases in that folder.
        packed: The small records in that folder, if they are packed.
    """

    def __init__(
        self, folder: Path, limit: int, aliases: Aliases, packed: PackedRecords | None = None
    ) -> None:
        self._folder = folder
        self._limit = limit
        self._aliases = aliases
        self._packed = packed
        self._lock = threading.RLock()
        self._written: int | None = None
        """The bytes written since the folder was last scanned; None before the first scan."""
        self._held = 0

    @property
    def goal(self) -> int:
        """The bytes of records that may stay after a scan."""
        return self._limit - self._limit // _SLACK

    def count_write(self, written: int) -> None:
        """Counts a write of so many bytes, after which the folder may be scanned."""
        with self._lock:
            if self._written is None and self._was_scanned():
                self._written = 0
            if self._written is not None:
                self._written += written
                if self._written <= min(self._limit - self._held, self._limit // _SLACK):
                    return
            self.prune(self.goal)

    def prune(self, limit: int | None = None, older: float | None = None) -> tuple[int, int]:
        """Removes old records, then those that save the least time per byte above a budget.

        Files that a killed process has left are removed too.

        Args:
            limit: The bytes of records that may stay; None is no limit.
            older: Records that were not used for so many seconds are removed; None keeps them.

        Returns:
            How many records were removed, and their bytes.
        """
        with self._lock:
            now = time.time()
            kept, removed = self._split_by_age(now, older)
            held = sum(file.bytes for file in kept)
            if limit is not None and held > limit:
                kept.sort(key=lambda file: (_score(file, now), file.used, file.path))
                for file in kept:
                    if held > limit and _remove(file):
                        held -= file.bytes
                        removed.append(file)
            self._held, self._written = held, 0
            if removed:
                if self._packed is not None:
                    self._packed.remove(file.packed_key for file in removed if file.packed_key)
                self._aliases.prune()
            with suppress(OSError):
                (self._folder / _SCANNED).touch()
            return len(removed), sum(file.bytes for file in removed)

    def _split_by_age(
        self, now: float, older: float | None
    ) -> tuple[list[RecordFile], list[RecordFile]]:
        """The records that stay and those that were removed for their age."""
        kept: list[RecordFile] = []
        removed: list[RecordFile] = []
        for file in list_files(self._folder):
            if not is_record(file):
                if abs(now - file.used) > _ABANDONED_S:
                    remove(file.path)
            elif older is not None and now - file.used > older and remove(file.path):
                removed.append(file)
            else:
                kept.append(file)
                if file.used > now:
                    # The clock was wrong: the record must not stay the most recently used forever.
                    touch(file.path)
        for file in self._packed.list() if self._packed is not None else ():
            is_old = older is not None and now - file.used > older
            (removed if is_old else kept).append(file)
        return kept, removed

    def _was_scanned(self) -> bool:
        """Whether a process has scanned the folder within the last minute."""
        try:
            scanned = (self._folder / _SCANNED).stat().st_mtime
        except OSError:
            return False
        return abs(time.time() - scanned) < _SCAN_AGAIN_S


def _score(file: RecordFile, now: float) -> float:
    """What a record is worth; one that cannot be read is worth nothing."""
    remake_seconds = file.remake_seconds
    if remake_seconds is None:
        header = header_or_none(file.path)
        if header is None:
            return 0.0
        remake_seconds = header.remake_seconds
    return retention_score(remake_seconds, file.bytes, now - file.used)


def _remove(file: RecordFile) -> bool:
    """Removes a record's file; a packed record is removed later, with all others."""
    return bool(file.packed_key) or remove(file.path)
