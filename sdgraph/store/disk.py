"""Results on disk, one record a file, below a folder that many processes may share.

No locks: a record is written under another name and renamed, so that whoever reads it finds all
of it or none. Whatever the disk does, a run goes on; what is wrong is kept as a line of text for
the run to tell.
"""

from __future__ import annotations

import os
import re
import time
from collections import deque
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any, NamedTuple

from sdgraph.errors import MediaError
from sdgraph.files import atomic_write, sdgraph_home

from . import serialization
from .aliases import Aliases
from .serialization import (
    DamagedRecordError,
    Header,
    NewerRecordError,
    NotSerializableError,
    UnknownKindError,
)

DEFAULT_BYTES = 4 * 2**30

_SUFFIX = ".safetensors"
_ABANDONED_S = 3600
"""A file that is being written longer than this was left by a process that was killed."""
_LOOKED = ".looked"
_LOOK_AGAIN_S = 60
"""A process that begins looks through the folder only if none did so just before."""
_SLACK = 20
"""The folder is looked through again when this part of the budget was written since.

As much is left free then, lest every further record look through it.
"""
_OURS = re.compile(r"([0-9a-f]{32}|\.sdgraph-[0-9a-f]{16})\.safetensors")


class LostRecordError(Exception):
    """A record that was there when the run was planned, and is no longer of use."""


class Entry(NamedTuple):
    """One file of the shelf, as its folder tells of it."""

    path: str
    bytes: int
    used: float
    """When it was last used, in seconds since 1970."""


class Shelved(NamedTuple):
    """A result on disk, its value not read yet."""

    shelf: Shelf
    key: bytes
    header: Header

    @property
    def content(self) -> str:
        """The content hash of the value."""
        return self.header.content

    @property
    def files(self) -> Mapping[str, str]:
        """The files that the value names, each with the sha256 that it had."""
        return self.header.files

    @property
    def seconds(self) -> float:
        """How long it took to make."""
        return self.header.seconds

    @property
    def value(self) -> Any:
        """The value, read and compared with its hash.

        Raises LostRecordError where it no longer is.
        """
        return self.shelf.read(self.key, self.header)


class Shelf:
    """The records below a folder, within a budget of bytes; the least recently used go first."""

    def __init__(self, folder: Path | None = None, limit: int = DEFAULT_BYTES) -> None:
        self.folder = sdgraph_home() / "results" if folder is None else Path(folder)
        self.limit = limit
        self._root = f"{self.folder}{os.sep}"  # a thousand paths are joined faster as texts
        self.aliases = Aliases(self.folder)
        self.troubles: deque[str] = deque()
        """What went wrong and has not been told yet."""
        self._told: set[str] = set()
        self._lost: set[bytes] = set()
        """Keys whose records were of no use, and may still lie there if nothing can be removed."""
        self._unwritable = False
        self._written: int | None = None
        """The bytes written since the folder was last looked through, None before the first."""
        self._held = 0

    def place(self, key: bytes) -> str:
        """The file of a key's record."""
        name = key.hex()
        return f"{self._root}{name[:2]}{os.sep}{name}{_SUFFIX}"

    def get(self, key: bytes) -> Shelved | None:
        """What is kept under a key; one that is damaged is removed and counts for nothing."""
        path = self.place(key)
        if key in self._lost:
            return None
        try:
            header = serialization.read_header(path)
        except (FileNotFoundError, NotADirectoryError, NewerRecordError):
            return None
        except (OSError, DamagedRecordError) as error:
            self._discard(path, error)
            return None
        _touch(path)
        return Shelved(self, key, header)

    def read(self, key: bytes, header: Header) -> Any:
        """The value of a record whose header was read before; raises LostRecordError."""
        path = self.place(key)
        try:
            return serialization.read_value(path, header.content)
        except (OSError, DamagedRecordError, NewerRecordError, UnknownKindError) as error:
            self._lost.add(key)
            self._discard(path, error)
            raise LostRecordError(str(error)) from error

    def put(
        self,
        key: bytes,
        value: Any,
        content: str,
        *,
        node: str,
        seconds: float,
        files: Mapping[str, str],
    ) -> None:
        """Keeps a result, if its kind can be kept, there is room, and the disk takes it."""
        if self._unwritable:
            return
        try:
            data = serialization.to_bytes(value, Header(content, node, seconds, files))
        except NotSerializableError:
            return
        path = self.place(key)
        if len(data) > self._goal or _is_newer(path):
            return
        try:
            with atomic_write(path) as beside:
                beside.write_bytes(data)
        except MediaError as error:
            self._unwritable = True
            reason = error.problems[0].found
            self._tell(f"results are not kept in {self.folder}: {reason}; the run goes on")
            return
        self._lost.discard(key)
        self._make_room(len(data))

    def entries(self) -> Iterator[Entry]:
        """Every record there is, in no order."""
        return (each for each in _files(self.folder) if _is_record(each))

    def header(self, entry: Entry) -> Header | None:
        """What a record says of its value, None where it cannot be read or is newer."""
        try:
            return serialization.read_header(entry.path)
        except (OSError, DamagedRecordError, NewerRecordError):
            return None

    def prune(self, limit: int | None = None, older: float | None = None) -> tuple[int, int]:
        """Removes records last used more than `older` seconds ago, then the oldest above `limit`.

        Returns how many were removed, and their bytes. What a killed process left goes too.
        """
        now, count, freed = time.time(), 0, 0
        kept: list[Entry] = []
        for each in _files(self.folder):
            if not _is_record(each):
                if abs(now - each.used) > _ABANDONED_S:
                    _remove(each.path)
            elif older is not None and now - each.used > older and _remove(each.path):
                count, freed = count + 1, freed + each.bytes
            else:
                kept.append(each)
                if each.used > now:
                    # The clock was wrong: it must not seem newer than all that is used from now.
                    _touch(each.path)
        held = sum(each.bytes for each in kept)
        if limit is not None and held > limit:
            kept.sort(key=lambda entry: (entry.used, entry.path))
            for each in kept:
                if held > limit and _remove(each.path):
                    held, count, freed = held - each.bytes, count + 1, freed + each.bytes
        self._held, self._written = held, 0
        if count:
            self.aliases.prune()
        with suppress(OSError):
            (self.folder / _LOOKED).touch()
        return count, freed

    def clear(self) -> tuple[int, int]:
        """Removes every record; returns how many, and their bytes."""
        return self.prune(limit=-1)

    @property
    def _goal(self) -> int:
        return self.limit - self.limit // _SLACK

    def _make_room(self, written: int) -> None:
        """Keeps to the budget; others write too, so the folder is looked through now and then."""
        if self._written is None and self._was_looked_through():
            self._written = 0
        if self._written is not None:
            self._written += written
            if self._written <= min(self.limit - self._held, self.limit // _SLACK):
                return
        self.prune(self._goal)

    def _was_looked_through(self) -> bool:
        try:
            looked = (self.folder / _LOOKED).stat().st_mtime
        except OSError:
            return False
        return abs(time.time() - looked) < _LOOK_AGAIN_S

    def _discard(self, path: str, error: Exception) -> None:
        name = Path(path).name
        if isinstance(error, FileNotFoundError):
            self._tell(f"a remembered result is gone ({name}); it is made again")
        elif isinstance(error, OSError):
            reason = error.strerror or str(error)
            self._tell(f"remembered results in {self.folder} cannot be read: {reason}")
        else:
            if isinstance(error, DamagedRecordError):
                _remove(path)
            state = "is of no use" if isinstance(error, UnknownKindError) else "is damaged"
            self._tell(f"a remembered result {state} ({name}): {error}; it is made again")

    def _tell(self, text: str) -> None:
        """Keeps a text to be told, once."""
        if text not in self._told:
            self._told.add(text)
            self.troubles.append(text)


def _files(folder: Path) -> Iterator[Entry]:
    """Every file two floors down that is the shelf's own, by its name; others are left alone."""
    for below in _listed(folder):
        if len(below.name) != 2:
            continue
        for file in _listed(below.path):
            if _OURS.fullmatch(file.name):
                try:
                    found = file.stat(follow_symlinks=False)
                except OSError:
                    continue  # somebody else removed it
                yield Entry(file.path, found.st_size, found.st_mtime)


def _listed(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as found:
            return list(found)
    except OSError:
        return []


def _is_record(entry: Entry) -> bool:
    return not os.path.basename(entry.path).startswith(".")  # noqa: PTH119  of a thousand texts


def _is_newer(path: str) -> bool:
    try:
        serialization.read_header(path)
    except NewerRecordError:
        return True
    except (OSError, DamagedRecordError):
        pass
    return False


def _touch(path: str) -> None:
    """Notes that a record was used now; where it may not be written to, nothing is noted."""
    with suppress(OSError):
        os.utime(path)


def _remove(path: str) -> bool:
    try:
        Path(path).unlink()
    except OSError:
        return False
    return True
