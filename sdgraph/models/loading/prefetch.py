"""Reads weights while a node computes, so that the next load does not wait for the disk.

All files of a component are read into the system's file cache. Where its module is built from
tensors (see `prefetched_weights`), they are then cast and held in memory too, or in pinned memory
for a CUDA device. An error is never told from here: the load meets it again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from sdgraph.errors import SdgraphError
from sdgraph.files import open_regular_file
from sdgraph.models.checkpoint.resolved_part import ResolvedPart

from . import devices
from .pinned_copies import pin_for
from .prefetched_weights import State, WeightsKey, can_prefetch, prefetched_weights, read_weights

_CHUNK = 8 * 2**20


class Weights(NamedTuple):
    """The weights of a component that is loaded soon."""

    part: ResolvedPart
    dtype: str
    device: str
    bytes: int
    """What they take in memory."""


class PrefetchRequest(NamedTuple):
    """A request to read the files of a component."""

    paths: tuple[Path, ...]
    done: Callable[[float], object]
    """Called when all of them are read, with the seconds that this took."""
    weights: Weights | None = None
    """The component if its weights may be held in memory; None if files are only read."""


class Prefetcher:
    """Reads files in one thread, which starts with the first request.

    Args:
        has_room: Asked before weights are held in memory whether as many bytes may be taken.
    """

    def __init__(self, has_room: Callable[[int], bool] = lambda size: True) -> None:
        self._has_room = has_room
        self._queue: SimpleQueue[tuple[PrefetchRequest, WeightsKey | None] | None] = SimpleQueue()
        self._announced: set[WeightsKey] = set()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def read(self, requests: Iterable[PrefetchRequest]) -> None:
        """Reads the files of some components, one after another, in the background."""
        for request in requests:
            self._queue.put((request, self._announce(request.weights)))
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="sdgraph-prefetch", daemon=True
                )
                self._thread.start()

    def drop(self) -> None:
        """Frees the weights that are in memory and were not taken, and those still to be read."""
        prefetched_weights.drop(self._announced)

    def close(self) -> None:
        """Stops at the next chunk of 8 MiB or the next tensor; the rest is not read."""
        self._stop.set()
        self._queue.put(None)
        self.drop()  # a load that waits for them reads them itself
        if self._thread is not None:
            self._thread.join()

    def _announce(self, weights: Weights | None) -> WeightsKey | None:
        """Announces weights that can be held in memory; None for those that cannot."""
        try:
            if weights is None or not can_prefetch(weights.part):
                return None
        except (SdgraphError, OSError):
            return None
        key = WeightsKey.of(weights.part.files, weights.dtype)
        if key is None or not prefetched_weights.announce(key):
            return None
        self._announced.add(key)
        return key

    def _work(self) -> None:
        buffer = bytearray(_CHUNK)
        while (item := self._queue.get()) is not None:
            request, key = item
            began = time.perf_counter()
            is_read = all(self._read(path, buffer) for path in request.paths)
            if key is not None and request.weights is not None:
                self._hold(key, request.weights, is_read)
            if is_read and not self._stop.is_set():
                request.done(time.perf_counter() - began)

    def _hold(self, key: WeightsKey, weights: Weights, is_read: bool) -> None:
        """Holds weights in memory if their files could be read and there is room."""

        def read() -> State | None:
            if not is_read or not self._has_room(weights.bytes):
                return None
            return read_weights(
                weights.part.files,
                devices.torch_dtype(weights.dtype),
                pin=pin_for(weights.device),
                stopped=self._stop.is_set,
            )

        prefetched_weights.make(key, read)

    def _read(self, path: Path, buffer: bytearray) -> bool:
        """Reads a file; returns whether the end was reached."""
        try:
            with open_regular_file(path) as file:
                while not self._stop.is_set():
                    if not file.readinto(buffer):
                        return True
        except OSError:
            pass  # if the file stays unreadable, the load reports it
        return False
