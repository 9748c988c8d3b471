"""Reads weight files while a node computes, so that the next load does not wait for the disk.

They are only read into the system's file cache: building a module in a second thread is not safe,
because the libraries change torch's default dtype for all threads while they load.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

from sdgraph.files import open_regular_file

_CHUNK = 8 * 2**20


class PrefetchRequest(NamedTuple):
    """A request to read the files of a component."""

    paths: tuple[Path, ...]
    done: Callable[[float], object]
    """Called when all of them are read, with the seconds that this took."""


class Prefetcher:
    """Reads files in one thread, which starts with the first request."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[PrefetchRequest | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def read(self, requests: Iterable[PrefetchRequest]) -> None:
        """Reads the files of some components, one after another, in the background."""
        for request in requests:
            self._queue.put(request)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="sdgraph-prefetch", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """Stops at the next chunk of 8 MiB; the rest is not read."""
        self._stop.set()
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        buffer = bytearray(_CHUNK)
        while (request := self._queue.get()) is not None:
            began = time.perf_counter()
            if all(self._read(path, buffer) for path in request.paths):
                request.done(time.perf_counter() - began)

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
