"""Frames of long videos are made chunk by chunk, remembered, and fail as their nodes.

1. A node that runs once for each frame of a stream makes a stream: its frames are made when a later
   step reads them. Its errors name the node, not the step that reads.
2. The key of a chunk is made of the node and of the keys of the chunks that it reads; those of a
   video are hashes of its frames. So what was made of a minute that did not change is found again.
   A chunk also has an alias, made of the files that the video comes from: while these do not
   change, its frames are not decoded to find it.
3. Whether chunks are worth keeping is decided by the first one: a chunk of a node without models is
   kept if it takes longer to make than to keep and fetch (see `store.admission`). If not, no chunk
   of the node is looked up or hashed.
4. Frames that cannot be made again later are made at once, and lie in a temporary file
   (`store.spool`): those of nodes with models, of nodes that give other results each time, and
   those that the run returns.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from hashlib import blake2b
from typing import Any

from sdgraph.graph import Node
from sdgraph.store import LostRecordError, Store, StoredResult, is_worth_keeping, result_key
from sdgraph.values import Series, Stream, Video, content_of, size_of

MakeChunk = Callable[[int], Sequence[Any]]

_BYTES_PER_SECOND_GUESS = 2e-9
"""Seconds to write a byte and to read it again, where the store is not on a disk."""


_WITH_STREAM = (Video, Series)  # a tuple, which `isinstance` compares faster than a union


def stream_of(value: object) -> Stream | None:
    """The stream that a value reads its frames from; None for a value in memory."""
    return value.stream if isinstance(value, _WITH_STREAM) else None


class ChunkFailedError(Exception):
    """A chunk could not be made; raised in the step that reads it."""

    def __init__(self, node: Node[Any], error: Exception) -> None:
        super().__init__(str(error))
        self.node = node
        self.error = error


class ChunkResults:
    """Looks up and remembers the chunks of one node; see `sdgraph.values.frames.WrapChunks`.

    Args:
        node: The node.
        values: The values that the node reads, by the nodes that made them.
        context: The node's execution context (see `store.keys`).
        store: Where chunks are remembered.
        always: Whether they are remembered however little time they take.
        may_keep: Whether what is made now is what its key says.
    """

    def __init__(
        self,
        node: Node[Any],
        values: Mapping[Node[Any], Any],
        context: str,
        store: Store,
        *,
        always: bool,
        may_keep: Callable[[], bool],
    ) -> None:
        self._node = node
        self._inputs = [values[child] for _, child in node.wires]
        self._context = context
        self._store = store
        self._always = always
        self._may_keep = may_keep
        self._lineage = self._find_lineage()
        self._is_worth: bool | None = True if always else None
        self._lock = threading.Lock()

    def __call__(self, make: MakeChunk, first: Stream) -> tuple[MakeChunk, Callable[[int], str]]:
        """The function that makes a chunk or finds it, and the one that gives its key."""

        def key_of(number: int) -> str:
            return f"of {self._key(number, first).hex()}"

        def make_or_find(number: int) -> Sequence[Any]:
            if self._is_worth is None:
                with self._lock:  # the others wait until it is decided by one
                    if self._is_worth is None:
                        return self._make_or_find(make, number, first)
            if not self._is_worth:
                return make(number)
            return self._make_or_find(make, number, first)

        return make_or_find, key_of

    @property
    def lineage(self) -> str | None:
        """The lineage of the stream of all chunks (see `Stream`)."""
        return self._lineage

    def _make_or_find(self, make: MakeChunk, number: int, first: Stream) -> Sequence[Any]:
        alias = self._alias(number, first)
        items = None if alias is None else self._read(self._store.by_alias(alias))
        if items is not None:
            return items
        key = self._key(number, first)
        items = self._read(self._store.get(key))
        if items is None:
            items = self._make(make, number, key)
        if alias is not None and self._is_worth and self._may_keep():
            self._store.add_alias(alias, key)
        return items

    def _read(self, found: StoredResult | None) -> Sequence[Any] | None:
        """The items of a chunk that is remembered; None if there is none."""
        if found is None:
            return None
        try:
            items: Sequence[Any] = found.value  # not by `Store.read`, which holds it in memory
        except LostRecordError:
            return None  # it is made again
        self._is_worth = True
        return items

    def _make(self, make: MakeChunk, number: int, key: bytes) -> Sequence[Any]:
        began = time.perf_counter()
        items = tuple(make(number))
        seconds = time.perf_counter() - began
        if self._is_worth is None:
            disk = self._store.on_disk
            speed = _BYTES_PER_SECOND_GUESS if disk is None else disk.speed.seconds_per_byte
            size = max(size_of(items), 1)
            self._is_worth = is_worth_keeping(seconds, size, speed)
        if self._is_worth and self._may_keep():
            name = type(self._node).__name__
            self._store.put(
                key,
                items,
                node=name,
                seconds=seconds,
                remake_seconds=seconds,
                in_memory=self._store.on_disk is None,
            )
        return items

    def _find_lineage(self) -> str | None:
        inputs: list[str] = []
        for value in self._inputs:
            stream = stream_of(value)
            lineage = content_of(value) if stream is None else stream.lineage
            if lineage is None:
                return None
            inputs.append(lineage)
        return result_key(self._node, [*inputs, "film"], self._context).hex()

    def _alias(self, number: int, first: Stream) -> bytes | None:
        if self._lineage is None:
            return None
        text = f"{self._lineage}:{number}:{first.chunk_length}"
        return blake2b(text.encode(), digest_size=16).digest()

    def _key(self, number: int, first: Stream) -> bytes:
        inputs = [self._input_key(value, number, first) for value in self._inputs]
        return result_key(self._node, [*inputs, "frames"], self._context)

    def _input_key(self, value: Any, number: int, first: Stream) -> str:
        if not isinstance(value, Series):
            return content_of(value)
        stream = value.stream
        if stream is not None and stream.chunk_length == first.chunk_length:
            return stream.key_of(number)
        return content_of(tuple(value.items[each] for each in first.numbers_in(number)))
