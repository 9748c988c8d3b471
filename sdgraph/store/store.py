"""Remembers results by content: the keys of results, and the store in memory and on disk."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager, nullcontext
from functools import cache
from hashlib import blake2b
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

from sdgraph.errors import CheckpointError
from sdgraph.files import folder_stamp
from sdgraph.graph import Node, source_files, source_folders
from sdgraph.models import file_sha256, resolve
from sdgraph.models.loading.libraries import PIXEL_LIBRARIES, library_versions
from sdgraph.values import Checkpoint, content_of, size_of

from .admission import has_cheap_content
from .disk import DEFAULT_BYTES as DEFAULT_DISK_BYTES
from .disk import DiskStore
from .disk_result import DiskResult

DEFAULT_BYTES = 512 * 2**20

_SPARE_ALIASES = 1024
"""Above so many, and two per result, the aliases of forgotten results are removed."""


def result_key(node: Node[Any], inputs: Iterable[str], context: str = "") -> bytes:
    """The key of a node's result: a hash of the node and of the content of everything it reads.

    The versions of the libraries that any node may make pixels with are in every key.

    Args:
        node: The node.
        inputs: The content hashes of its inputs, in the order of its wires.
        context: The text of `execution_context` with everything else that the result depends on.
    """
    definition = type(node).definition
    text = ",".join([*inputs, ""])
    if context:
        text += f"|{context}"
    if definition.sources:
        text += "".join([f"|{file_sha256(path)}" for _, path in source_files(node)])
    if definition.folders:
        text += "".join([f"|{folder_stamp(folder)}" for _, folder in source_folders(node)])
    data = node.own_identity + text.encode() + _pixel_libraries()
    return blake2b(data, digest_size=16).digest()


@cache
def _pixel_libraries() -> bytes:
    return f"|{library_versions(PIXEL_LIBRARIES)}".encode()


_NO_FILES: Mapping[str, str] = MappingProxyType({})


class MemoryResult(NamedTuple):
    """A result in memory."""

    value: Any
    files: Mapping[str, str] = _NO_FILES
    """The files that the value names, each with its sha256 at that time."""
    seconds: float = 0.0
    """How many seconds it took to make."""
    remake_seconds: float = 0.0
    """How long it takes to make again what is not on disk: it, and what it is made from."""

    @property
    def content(self) -> str:
        """The content hash of the value, computed when it is asked for."""
        return content_of(self.value)

    @property
    def has_cheap_content(self) -> bool:
        """Whether the content hash is known already, or computed in a moment."""
        return has_cheap_content(self.value)


StoredResult = MemoryResult | DiskResult
"""A result in memory, or one on disk, whose `value` is read when it is used."""


class Store:
    """Remembers results of nodes in memory and, if it has a folder, on disk.

    Memory and disk each have a budget of bytes; the least recently used results are forgotten
    first. Values are frozen, so a result is returned as it was stored. A store can be shared
    between threads, its folder also between processes.

    Args:
        limit: The budget in memory, in bytes; 512 MiB by default.
        folder: The folder for results on disk; None stores none there.
        disk: The budget on disk, in bytes; 4 GiB by default.

    Example:
        >>> from sdgraph import Session, Store
        >>> store = Store(limit=2**30, folder="results")
        >>> session = Session(store=store)
    """

    def __init__(
        self,
        limit: int = DEFAULT_BYTES,
        *,
        folder: str | Path | None = None,
        disk: int = DEFAULT_DISK_BYTES,
    ) -> None:
        self.limit = limit
        self.bytes = 0
        self.on_disk = None if folder is None else DiskStore(Path(folder), disk)
        self._results: OrderedDict[bytes, MemoryResult] = OrderedDict()
        self._aliases: dict[bytes, bytes] = {}
        self._most_aliases = _SPARE_ALIASES
        self._lock = threading.Lock()

    def get(self, key: bytes) -> StoredResult | None:
        """The result under a key, or None.

        A checkpoint or a path counts as forgotten once one of its files has changed.
        """
        result: StoredResult | None = self._results.get(key)
        if result is not None:
            with self._lock:
                if key in self._results:
                    self._results.move_to_end(key)
        elif self.on_disk is not None:
            result = self.on_disk.get(key)
        if result is None or not result.files:
            return result
        unchanged = all(_is_unchanged(path, sha256) for path, sha256 in result.files.items())
        return result if unchanged else None

    def put(
        self,
        key: bytes,
        value: Any,
        *,
        node: str = "",
        seconds: float = 0.0,
        remake_seconds: float = 0.0,
        always: bool = True,
        in_memory: bool = True,
    ) -> MemoryResult:
        """Remembers a result in memory, unless it is above the whole budget, and on disk.

        It is not written to the disk if making it again takes less time (see `admission`).

        Args:
            key: The key to find it by.
            value: The result; a kind that cannot be stored in a file stays in memory only.
            node: The type of the node that made it, for listings.
            seconds: How long that took.
            remake_seconds: How long it would take to make it again: these seconds, and those of
                what it is made from, as far as it is not on disk.
            always: Whether it is written however little time that is.
            in_memory: Whether it is also remembered in memory.

        Returns:
            The result, whose `remake_seconds` are 0 if it is on disk now.
        """
        files, disk = _files_of(value), self.on_disk
        is_kept = (
            disk is not None
            # Without its files, nothing would show that a checkpoint has changed.
            and (bool(files) or not isinstance(value, Checkpoint))
            and (always or disk.is_worth_writing(key, size_of(value), remake_seconds))
            and disk.put(
                key,
                value,
                content_of(value),
                node=node,
                seconds=seconds,
                files=files,
                remake_seconds=max(seconds, remake_seconds),
            )
        )
        result = MemoryResult(value, files, seconds, 0.0 if is_kept else remake_seconds)
        if in_memory:
            self._hold(key, result)
        return result

    def by_alias(self, alias: bytes) -> StoredResult | None:
        """The result under an alias or under the key that it leads to, or None."""
        key = self._aliases.get(alias)
        if key is None and self.on_disk is not None:
            key = self.on_disk.key_of(alias)
        # A result whose inputs are large is stored under its alias.
        return self.get(alias if key is None else key)

    def add_alias(self, alias: bytes, key: bytes) -> None:
        """Makes an alias lead to a key, unless both are the same."""
        if alias == key:
            return
        with self._lock:
            if len(self._aliases) > self._most_aliases:
                every = self._aliases.items()
                self._aliases = {name: key for name, key in every if key in self._results}
                # Any number of aliases may lead to one result: they are not looked through again
                # before there are twice as many.
                most = (_SPARE_ALIASES + 2 * len(self._results), 2 * len(self._aliases))
                self._most_aliases = max(most)
            self._aliases[alias] = key
        if self.on_disk is not None:
            held = self._results.get(key)
            if held is None or held.remake_seconds <= 0:
                self.on_disk.add_alias(alias, key)

    @contextmanager
    def batched(self) -> Iterator[None]:
        """Within it small results are written to the disk together, at most a moment later.

        When it ends, all are written, also after an exception.
        """
        with nullcontext() if self.on_disk is None else self.on_disk.batched():
            yield

    def read(self, result: StoredResult) -> Any:
        """The value of a result, which then stays in memory.

        Raises LostRecordError if its record is gone or damaged.
        """
        value = result.value
        if isinstance(result, DiskResult):
            in_memory = MemoryResult(value, result.files, result.seconds)
            self._hold(result.key, in_memory)
        return value

    def reason_not_kept(self, key: bytes | None) -> str:
        """The reason why the result of a key is not kept on disk on purpose; "" if there is none.

        It is known after the result was made for the first time.
        """
        note = None if self.on_disk is None or key is None else self.on_disk.note(key)
        return "" if note is None else str(note)

    def reason_not_stored(self, node: str) -> str | None:
        """The reason why results of a type of node are not stored on disk; None if there is none.

        It is known after such a node has run.

        Args:
            node: The name of the node's class.
        """
        return None if self.on_disk is None else self.on_disk.not_storable.get(node)

    def take_warnings(self) -> list[str]:
        """The warnings about results on disk since the last call, as text."""
        warnings: list[str] = []
        while self.on_disk is not None and self.on_disk.warnings:
            warnings.append(self.on_disk.warnings.popleft())
        return warnings

    def clear(self) -> None:
        """Forgets everything in memory."""
        with self._lock:
            self._results.clear()
            self._aliases.clear()
            self._most_aliases = _SPARE_ALIASES
            self.bytes = 0

    def _hold(self, key: bytes, result: MemoryResult) -> None:
        """Keeps a result in memory, if it fits, and forgets others until the budget is kept."""
        size = size_of(result.value)
        if size > self.limit:
            return
        with self._lock:
            old = self._results.pop(key, None)
            self.bytes += size - (size_of(old.value) if old else 0)
            self._results[key] = result
            while self.bytes > self.limit:
                _, oldest = self._results.popitem(last=False)
                self.bytes -= size_of(oldest.value)

    def __len__(self) -> int:
        return len(self._results)


def _files_of(value: Any) -> Mapping[str, str]:
    """The files that a value names but does not contain, each with its sha256."""
    if not isinstance(value, (Checkpoint, Path)):
        return _NO_FILES
    try:
        if isinstance(value, Checkpoint):
            return {str(path): digest for path, digest in resolve(value).hashed_files}
        if isinstance(value, Path) and value.is_file():
            return {str(value): file_sha256(value)}
    except (OSError, CheckpointError):
        pass
    return _NO_FILES


def _is_unchanged(path: str, sha256: str) -> bool:
    """Whether a file still has this sha256."""
    try:
        return file_sha256(Path(path)) == sha256
    except OSError:
        return False
