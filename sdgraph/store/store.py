"""Results remembered by content: their keys, the memory and the disk that hold them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sdgraph.errors import CheckpointError
from sdgraph.graph import Node, source_files
from sdgraph.models import file_sha256, libraries, resolve
from sdgraph.values import Checkpoint, content_of, size_of

from .disk import DEFAULT_BYTES as DEFAULT_DISK_BYTES
from .disk import Shelf, Shelved

DEFAULT_BYTES = 512 * 2**20

_SPARE_ALIASES = 1024
"""So many more than two for each result in memory, and those of forgotten results are let go."""


def result_key(node: Node[Any], inputs: Iterable[str], surroundings: str = "") -> bytes:
    """The key of a node's result: what it is, and the content of all it reads.

    `inputs` are the content hashes of its wires in order; `surroundings` names what else can
    change the result (identities of components, device, dtype). The versions of the libraries
    that any node may make pixels with are in every key.
    """
    digest = blake2b(node.own_identity, digest_size=16)
    for content in inputs:
        digest.update(f"{content},".encode())
    if surroundings:
        digest.update(f"|{surroundings}".encode())
    for _, path in source_files(node):
        digest.update(f"|{file_sha256(path)}".encode())
    digest.update(_pixel_libraries())
    return digest.digest()


@cache
def _pixel_libraries() -> bytes:
    return f"|{libraries.versions(libraries.PIXELS)}".encode()


@dataclass(frozen=True, slots=True)
class Remembered:
    """A result and its content hash."""

    value: Any
    content: str
    files: Mapping[str, str] = field(default_factory=dict, repr=False)
    """The files that the value names, each with the sha256 that it had."""
    seconds: float = 0.0
    """How long it took to make."""


Found = Remembered | Shelved
"""A result in memory, or one on disk whose `value` is read when it is asked for."""


class Store:
    """Results in memory within a budget of bytes, and on disk within another.

    The least recently used go first. Safe to share between threads, its folder between processes.
    Values are frozen, so what is handed out is what was put in. `folder` None keeps nothing on
    disk; `disk` is the budget there. Kinds that no file can hold stay in memory alone.
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
        self.shelf = None if folder is None else Shelf(Path(folder), disk)
        self._results: OrderedDict[bytes, Remembered] = OrderedDict()
        self._aliases: dict[bytes, bytes] = {}
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Found | None:
        """What is remembered under a key, or None.

        A checkpoint or a path is no longer remembered when its files changed.
        """
        found: Found | None = self._results.get(key)
        if found is not None:
            with self._lock:
                if key in self._results:
                    self._results.move_to_end(key)
        elif self.shelf is not None:
            found = self.shelf.get(key)
        if found is None or not found.files:
            return found
        return found if all(_still(*each) for each in found.files.items()) else None

    def put(self, key: bytes, value: Any, *, node: str = "", seconds: float = 0.0) -> Remembered:
        """Remembers a result, in memory unless it is larger than the whole budget, and on disk.

        `node` is the type of the node that made it in `seconds`.
        """
        made = Remembered(value, content_of(value), _files_of(value), seconds)
        self._hold(key, made)
        # Without its files, nothing would tell when a checkpoint is no longer what it was.
        if self.shelf is not None and (made.files or not isinstance(value, Checkpoint)):
            self.shelf.put(key, value, made.content, node=node, seconds=seconds, files=made.files)
        return made

    def by_alias(self, alias: bytes) -> Found | None:
        """What is remembered under the key that an alias leads to, or None."""
        key = self._aliases.get(alias)
        if key is None and self.shelf is not None:
            key = self.shelf.aliases.get(alias)
        return None if key is None else self.get(key)

    def add_alias(self, alias: bytes, key: bytes) -> None:
        """Lets a key be found by an alias too."""
        with self._lock:
            if len(self._aliases) > _SPARE_ALIASES + 2 * len(self._results):
                here = self._aliases.items()
                self._aliases = {name: to for name, to in here if to in self._results}
            self._aliases[alias] = key
        if self.shelf is not None:
            self.shelf.aliases.put(alias, key)

    def read(self, found: Found) -> Any:
        """The value of what was found, from now on held in memory; raises Lost."""
        value = found.value
        if isinstance(found, Shelved):
            self._hold(found.key, Remembered(value, found.content, found.files, found.seconds))
        return value

    def troubles(self) -> Iterator[str]:
        """What is wrong with the results on disk, each thing once."""
        while self.shelf is not None and self.shelf.troubles:
            yield self.shelf.troubles.popleft()

    def clear(self) -> None:
        """Forgets everything in memory."""
        with self._lock:
            self._results.clear()
            self._aliases.clear()
            self.bytes = 0

    def _hold(self, key: bytes, made: Remembered) -> None:
        size = size_of(made.value)
        if size > self.limit:
            return
        with self._lock:
            old = self._results.pop(key, None)
            self.bytes += size - (size_of(old.value) if old else 0)
            self._results[key] = made
            while self.bytes > self.limit:
                _, gone = self._results.popitem(last=False)
                self.bytes -= size_of(gone.value)

    def __len__(self) -> int:
        return len(self._results)


def _files_of(value: Any) -> dict[str, str]:
    """The files that a value names and does not hold, each with its sha256."""
    try:
        if isinstance(value, Checkpoint):
            return {str(path): digest for path, digest in resolve(value).hashed_files}
        if isinstance(value, Path) and value.is_file():
            return {str(value): file_sha256(value)}
    except (OSError, CheckpointError):
        pass
    return {}


def _still(path: str, digest: str) -> bool:
    """Whether a file has the content that it had."""
    try:
        return file_sha256(Path(path)) == digest
    except OSError:
        return False
