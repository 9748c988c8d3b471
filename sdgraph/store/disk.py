"""Results on disk: large ones in a file each, small ones in a database; processes may share them.

The operations:

1. Write (`DiskStore.put`): a result becomes a record (see `serialization`), which is written to a
   hidden file, `AB/.sdgraph-….safetensors`, and renamed to `AB/KEY.safetensors`. So a reader finds
   a complete record or none, and no locks are needed. Small results without arrays are packed in a
   database (see `packed_records`), unless the folder may be on a network drive. Nothing is written
   if the value cannot be stored or is above the budget, or if the record is of a newer version.
2. Alias (`DiskStore.aliases`): the store adds a second name for the record, a symbolic link that
   leads the next plan to it without reading the results that it was made from.
3. Read (`DiskStore.get`): a plan reads only the header, and sets the file's time to now, which
   marks it as the most recently used one. `DiskResult.value` reads the rest when a step needs it,
   and compares it with the hash in the header.
4. Prune (`disk_budget`): from time to time, the records that save the least time are removed.
5. Damage: a record that cannot be read, names another key than its file, or whose value has another
   hash, is removed and counts as missing. Before a run, the plan makes the result again; during a
   run, `LostRecordError` makes the session plan again. A failing disk never stops a run: each
   problem is added as a line of text to `DiskStore.warnings`, which the run reports.
"""

from __future__ import annotations

import os
import threading
import time
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

from sdgraph.errors import MediaError
from sdgraph.files import atomic_write, sdgraph_home, write_only_in
from sdgraph.formatting import format_count
from sdgraph.values import size_of

from . import serialization
from .admission import is_worth_keeping
from .aliases import Aliases
from .disk_budget import DiskBudget
from .disk_result import DiskResult, LostRecordError
from .disk_speed import DiskSpeed
from .file_systems import is_on_local_disk
from .key_index import Freshness, SubfolderIndex
from .keys_version import KEYS_VERSION, stored_version, write_version
from .not_kept import NotKept, NotKeptNotes
from .packed_records import MAX_BYTES as MAX_PACKED_BYTES
from .packed_records import PackedRecords
from .record_files import RecordFile, is_record, list_files, remove, touch, write_chunks
from .serialization import (
    DamagedRecordError,
    Header,
    NewerRecordError,
    NotSerializableError,
    UnknownKindError,
)

DEFAULT_BYTES = 4 * 2**30

_SUFFIX = ".safetensors"


class DiskStore:
    """Results in a folder, within a budget of bytes; the least useful are removed first.

    Args:
        folder: The folder of the records; None is the user's own, `results` in sdgraph's folder.
        limit: The budget in bytes.
        packs: Whether small results are packed in a database; None if the folder is on a local
            disk, because network drives may not keep the locks of a database.

    Safe to share between threads and processes.
    """

    def __init__(
        self,
        folder: Path | None = None,
        limit: int = DEFAULT_BYTES,
        *,
        packs: bool | None = None,
    ) -> None:
        self.folder = sdgraph_home() / "results" if folder is None else Path(folder)
        self.limit = limit
        self._root = f"{self.folder}{os.sep}"  # joining a thousand paths is faster as text
        self.aliases = Aliases(self.folder)
        self.not_kept = NotKeptNotes(self.folder)
        packs = is_on_local_disk(self.folder) if packs is None else packs
        self._freshness = Freshness()
        self._subfolders = SubfolderIndex(self._root, self._freshness) if packs else None
        """The subfolders; None if the folder may be on a network drive, whose clock may differ."""
        packed = PackedRecords(self.folder, self._warn, self._freshness) if packs else None
        self._packed = packed
        self._budget = DiskBudget(self.folder, limit, self.aliases, self._packed)
        self.speed = DiskSpeed()
        self.warnings: deque[str] = deque()
        """The problems that have not been reported yet."""
        self.not_storable: dict[str, str] = {}
        """The types of nodes whose results cannot be stored, each with the reason."""
        self._reported: set[str] = set()
        self._lost: set[bytes] = set()
        """Keys of useless records, which may still exist if files cannot be removed."""
        self._unwritable = False
        self._lock = threading.RLock()
        self._keys_version: int | None = None
        """The version of the folder's keys; None if it was not read yet or there is none."""

    def path_of(self, key: bytes) -> str:
        """The file of a key's record."""
        name = key.hex()
        return f"{self._root}{name[:2]}{os.sep}{name}{_SUFFIX}"

    def get(self, key: bytes) -> DiskResult | None:
        """The result that is stored under a key, or None; a damaged record is removed."""
        if self._keys_version is None:
            self._drop_older_records()
        if key in self._lost:
            return None
        if self._packed is not None and (text := self._packed.get(key)) is not None:
            header = self._packed_header(key, text)
            return None if header is None else DiskResult(self, key, header, is_packed=True)
        if self._lacks_subfolder(key):
            return None
        path = self.path_of(key)
        if not os.path.exists(path):  # noqa: PTH110  most often it does not: no exception, no Path
            return None
        try:
            header = serialization.read_header(path)
            _refuse_other_key(header, key)
        except (FileNotFoundError, NotADirectoryError, NewerRecordError):
            return None
        except (OSError, DamagedRecordError) as error:
            self._discard(path, error)
            return None
        touch(path)
        return DiskResult(self, key, header)

    def _packed_header(self, key: bytes, text: str) -> Header | None:
        """The header of a small record; a damaged one is removed."""
        try:
            header = serialization.header_from_text(text)
            _refuse_other_key(header, key)
        except NewerRecordError:
            return None
        except DamagedRecordError as error:
            self._discard(self.path_of(key), error, key)
            return None
        return header

    def read(self, key: bytes, header: Header, *, is_packed: bool = False) -> Any:
        """The value of a record whose header was read before.

        Raises LostRecordError if the record is gone or damaged.
        """
        path = self.path_of(key)
        try:
            if is_packed:
                return serialization.value_of_header(header)
            return serialization.read_value(path, header.content)
        except (OSError, DamagedRecordError, NewerRecordError, UnknownKindError) as error:
            self._lost.add(key)
            self._discard(path, error, key if is_packed else None)
            raise LostRecordError(str(error)) from error

    def key_of(self, alias: bytes) -> bytes | None:
        """The key that an alias leads to, or None."""
        key = None if self._packed is None else self._packed.key_of(alias)
        if key is not None or self._lacks_subfolder(alias):
            return key
        return self.aliases.get(alias)

    def add_alias(self, alias: bytes, key: bytes) -> None:
        """Makes an alias lead to a key, if there is a record under the key."""
        if self._packed is not None and self._packed.add_alias(alias, key):
            return
        if not self._lacks_subfolder(key) and Path(self.path_of(key)).exists():
            self.aliases.put(alias, key)
            self._add_subfolder(alias)

    @contextmanager
    def batched(self) -> Iterator[None]:
        """Within it small results are written together, at most a moment later; at its end, all.

        What other processes write is seen a moment later too.
        """
        self._freshness.begin()
        try:
            with nullcontext() if self._packed is None else self._packed.batched():
                yield
        finally:
            self._freshness.end()

    def is_worth_writing(self, key: bytes, size: int, remake_seconds: float) -> bool:
        """Whether a result takes longer to make again than to keep and fetch (see `admission`).

        If not, a note says so.
        """
        is_worth = is_worth_keeping(remake_seconds, size, self.speed.seconds_per_byte)
        if not (is_worth or self._unwritable):
            self.not_kept.put(key, NotKept(remake_seconds, size))
            self._add_subfolder(key)
        return is_worth

    def note(self, key: bytes) -> NotKept | None:
        """The note that a result is not kept on purpose, if there is one."""
        return None if self._lacks_subfolder(key) else self.not_kept.get(key)

    def _lacks_subfolder(self, key: bytes) -> bool:
        """Whether no file that belongs to a key exists, as there is no subfolder for it."""
        return self._subfolders is not None and self._subfolders.lacks(key[:1].hex())

    def _add_subfolder(self, key: bytes) -> None:
        if self._subfolders is not None:
            self._subfolders.add(key[:1].hex())

    def put(
        self,
        key: bytes,
        value: Any,
        content: str,
        *,
        node: str,
        seconds: float,
        files: Mapping[str, str],
        remake_seconds: float | None = None,
    ) -> bool:
        """Writes a result, if it can be stored, fits the budget, and the disk is writable.

        A value that cannot be stored is reported in `warnings`, once for each type of node.

        Args:
            key: The key to find it by.
            value: The result.
            content: The content hash of the value.
            node: The type of the node that made it.
            seconds: How long that took.
            files: The files that the value names, each with its sha256.
            remake_seconds: How long it takes to make it again; None if as long as `seconds`.

        Returns:
            Whether it was written.
        """
        if self._unwritable:
            return False
        if self._keys_version is None:
            self._prepare_to_put()
        remake = seconds if remake_seconds is None else remake_seconds
        header = Header(content, node, seconds, files, key=key.hex(), remake_seconds=remake)
        try:
            text = self._packable_text(value, header)
            if text is not None and self._packed is not None:
                return self._pack(self._packed, key, text, header)
            chunks = serialization.to_chunks(value, header, self.speed.seconds_per_byte)
        except NotSerializableError as error:
            self.not_storable[node] = str(error)
            self._warn(f"results of {node} are not kept on disk: {error}")
            return False
        return self._write_file(key, chunks)

    def _write_file(self, key: bytes, chunks: Sequence[bytes | memoryview]) -> bool:
        """Writes a record into a file of its own; returns whether it was written."""
        path, size = self.path_of(key), sum(map(len, chunks))
        if size > self._budget.goal or _is_newer(path):
            return False
        began = time.perf_counter()
        try:
            # The store's own folder is not one that a workflow names. A record that a power failure
            # cuts short is noticed by its hash, and made again.
            with write_only_in(None), atomic_write(path, durable=False) as temporary:
                write_chunks(temporary, chunks)
        except MediaError as error:
            self._unwritable = True
            reason = error.problems[0].found
            self._warn(f"results are not kept in {self.folder}: {reason}; the run goes on")
            return False
        self._add_subfolder(key)
        self.speed.add(size, time.perf_counter() - began)
        self._lost.discard(key)
        self._budget.count_write(size)
        return True

    def _packable_text(self, value: Any, header: Header) -> str | None:
        """The text of a small record; None if it gets a file of its own."""
        if self._packed is None or size_of(value) > MAX_PACKED_BYTES:
            return None
        text = serialization.to_text(value, header)
        return None if text is None or len(text) > MAX_PACKED_BYTES else text

    def _pack(self, packed: PackedRecords, key: bytes, text: str, header: Header) -> bool:
        """Puts a small record into the database."""
        if len(text) > self._budget.goal:
            return False
        if not packed.put(key, text, header.remake_seconds, header.seconds):
            return False
        self._lost.discard(key)
        self._budget.count_write(len(text))
        return True

    def _drop_older_records(self) -> None:
        """Removes all records, with a warning, if their keys are of an older version."""
        with self._lock:
            if self._keys_version is not None:
                return
            version = stored_version(self.folder)
            if version is not None and version < KEYS_VERSION:
                count, _ = self.clear()
                if count:
                    self._warn(
                        f"{format_count(count, 'result')} of an older version of sdgraph dropped "
                        f"from {self.folder}; what is needed is made again"
                    )
                write_version(self.folder)
            # Only now, so that no other thread puts a result before all are removed.
            self._keys_version = None if version is None else max(version, KEYS_VERSION)

    def _prepare_to_put(self) -> None:
        """Drops older records, and writes the version of the keys, before the first record."""
        self._drop_older_records()
        with self._lock:
            if self._keys_version is None:
                write_version(self.folder)
                self._keys_version = KEYS_VERSION

    def entries(self) -> Iterator[RecordFile]:
        """All records, in no particular order."""
        yield from filter(is_record, list_files(self.folder))
        if self._packed is not None:
            yield from self._packed.list()

    def header(self, file: RecordFile) -> Header | None:
        """The header of a record; None if it cannot be read or is of a newer version."""
        if file.packed_key and self._packed is not None:
            text = self._packed.get(file.packed_key)
            return None if text is None else self._packed_header(file.packed_key, text)
        return serialization.header_or_none(file.path)

    def prune(self, limit: int | None = None, older: float | None = None) -> tuple[int, int]:
        """Removes old records, then those that save the least time per byte above a budget.

        The arguments and the result are those of `DiskBudget.prune`.
        """
        return self._budget.prune(limit, older)

    def clear(self) -> tuple[int, int]:
        """Removes every record; returns how many, and their bytes."""
        return self.prune(limit=-1)

    def _discard(self, path: str, error: Exception, packed_key: bytes | None = None) -> None:
        """Removes a damaged record and adds a warning."""
        name = Path(path).name
        if isinstance(error, FileNotFoundError):
            self._warn(f"a remembered result is gone ({name}); it is made again")
        elif isinstance(error, OSError):
            reason = error.strerror or str(error)
            self._warn(f"remembered results in {self.folder} cannot be read: {reason}")
        else:
            if isinstance(error, DamagedRecordError):
                if packed_key is not None and self._packed is not None:
                    self._packed.remove([packed_key])
                else:
                    remove(path)
            state = "of no use" if isinstance(error, UnknownKindError) else "damaged"
            self._warn(f"a remembered result is {state} ({name}): {error}; it is made again")

    def _warn(self, text: str) -> None:
        """Adds a warning, each text once."""
        if text not in self._reported:
            self._reported.add(text)
            self.warnings.append(text)


def _refuse_other_key(header: Header, key: bytes) -> None:
    if header.key != key.hex():
        raise DamagedRecordError("it is the record of another result")


def _is_newer(path: str) -> bool:
    """Whether a newer version of sdgraph has written this record."""
    try:
        serialization.read_header(path)
    except NewerRecordError:
        return True
    except (OSError, DamagedRecordError):
        pass
    return False
