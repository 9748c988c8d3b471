"""Makes the events of a run, and passes them to its listener."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from sdgraph.events import Event, Listener


class EventEmitter:
    """Makes events with the time since the run began, and passes them to a listener.

    Without a listener no event is made.

    Args:
        listener: Receives the events.
    """

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener
        self.has_listener = listener is not None
        self._began = time.perf_counter()
        self._lock = threading.Lock()
        self._held: dict[int, list[Event]] = {}
        """The events that are kept, by the identifiers of the threads in which they happened."""

    def now(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._began

    def emit(self, kind: Callable[..., Event], *details: Any) -> None:
        """Makes an event and passes it to the listener, from one thread at a time.

        Args:
            kind: The class of the event.
            details: Its fields after `at`, in order.
        """
        if self._listener is not None:
            with self._lock:
                held = self._held.get(threading.get_ident()) if self._held else None
                receive = self._listener if held is None else held.append
                receive(kind(self.now(), *details))

    def hold(self) -> None:
        """Keeps the events of the calling thread from now on, instead of passing them on."""
        with self._lock:
            self._held[threading.get_ident()] = []

    def take_held(self) -> list[Event]:
        """Removes and returns the kept events of the calling thread, and ends the hold."""
        with self._lock:
            return self._held.pop(threading.get_ident(), [])

    def pass_on(self, kept: Iterable[Event]) -> None:
        """Passes events that were kept to the listener.

        Args:
            kept: The events, in order.
        """
        with self._lock:
            for event in kept:
                if self._listener is not None:
                    self._listener(event)

    def end_hold(self, thread: int) -> None:
        """Passes on what was kept for a thread, and its next events as they happen.

        Args:
            thread: The identifier of the thread.
        """
        with self._lock:
            for event in self._held.pop(thread, ()):
                if self._listener is not None:
                    self._listener(event)
