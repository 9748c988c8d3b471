"""Results remembered by content: their keys, and the memory that holds them."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

from .content import content_of, size_of
from .digests import content as file_content
from .graph import source_files
from .node import Node

DEFAULT_BYTES = 512 * 2**20


def result_key(node: Node[Any], inputs: Iterable[str], surroundings: str = "") -> bytes:
    """The key of a node's result: what it is, and the content of all it reads.

    `inputs` are the content hashes of its wires in order; `surroundings` names what else can
    change the result (identities of components, device, dtype).
    """
    digest = blake2b(node.own, digest_size=16)
    for content in inputs:
        digest.update(f"{content},".encode())
    if surroundings:
        digest.update(f"|{surroundings}".encode())
    for _, path in source_files(node):
        digest.update(f"|{file_content(path)}".encode())
    return digest.digest()


@dataclass(frozen=True, slots=True)
class Remembered:
    """A result and its content hash."""

    value: Any
    content: str


class Store:
    """Results in memory within a byte budget; the least recently used go first.

    Safe to share between threads. Values are frozen, so what is handed out is what was put in.
    """

    def __init__(self, limit: int = DEFAULT_BYTES) -> None:
        self.limit = limit
        self.bytes = 0
        self._results: OrderedDict[bytes, Remembered] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: bytes) -> Remembered | None:
        """What is remembered under a key, or None."""
        found = self._results.get(key)
        if found is not None:
            with self._lock:
                if key in self._results:
                    self._results.move_to_end(key)
        return found

    def put(self, key: bytes, value: Any) -> Remembered:
        """Remembers a result, unless it is larger than the whole budget."""
        made = Remembered(value, content_of(value))
        size = size_of(value)
        if size > self.limit:
            return made
        with self._lock:
            old = self._results.pop(key, None)
            self.bytes += size - (size_of(old.value) if old else 0)
            self._results[key] = made
            while self.bytes > self.limit:
                _, gone = self._results.popitem(last=False)
                self.bytes -= size_of(gone.value)
        return made

    def clear(self) -> None:
        """Forgets everything."""
        with self._lock:
            self._results.clear()
            self.bytes = 0

    def __len__(self) -> int:
        return len(self._results)
