"""Weight files read ahead of time, while a node computes, so that the next load waits for no disk.

Into the system's cache of files and no further: to build a module in a second thread is not safe,
for the libraries change torch's default dtype, for all threads, while they load.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from queue import SimpleQueue
from typing import NamedTuple

_CHUNK = 8 * 2**20


class Reading(NamedTuple):
    """A component's files that are to be read, and what is called once they are, with seconds."""

    paths: tuple[Path, ...]
    done: Callable[[float], object]


class Reader:
    """One thread that reads files, started with the first; `close` ends it at the next chunk."""

    def __init__(self) -> None:
        self._queue: SimpleQueue[Reading | None] = SimpleQueue()
        self._thread: threading.Thread | None = None
        self._stop = threading.Event()

    def read(self, readings: Iterable[Reading]) -> None:
        """Reads some components' files, one after another, in the background."""
        for each in readings:
            self._queue.put(each)
            if self._thread is None:
                self._thread = threading.Thread(
                    target=self._work, name="sdgraph-reading", daemon=True
                )
                self._thread.start()

    def close(self) -> None:
        """Stops; what is not read yet stays so."""
        self._stop.set()
        self._queue.put(None)
        if self._thread is not None:
            self._thread.join()

    def _work(self) -> None:
        buffer = bytearray(_CHUNK)
        while (reading := self._queue.get()) is not None:
            began = time.perf_counter()
            if all(self._read(path, buffer) for path in reading.paths):
                reading.done(time.perf_counter() - began)

    def _read(self, path: Path, buffer: bytearray) -> bool:
        """Reads a file to its end; whether it came there."""
        try:
            with path.open("rb", buffering=0) as file:
                while not self._stop.is_set():
                    if not file.readinto(buffer):
                        return True
        except OSError:
            pass  # the load itself will tell, if the file is still in the way then
        return False
