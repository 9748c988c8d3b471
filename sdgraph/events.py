"""What happens during a run, as data; the command line, a server and tests read the same stream."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Protocol


@dataclass(frozen=True, slots=True)
class Event:
    """Something that happened, `at` seconds after the run began."""

    kind: ClassVar[str] = ""

    at: float

    def as_data(self) -> dict[str, Any]:
        """The event as plain data for JSON."""
        return {"event": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run began; `steps` nodes will run and `reused` are remembered."""

    kind = "run_started"
    steps: int
    reused: int
    device: str


@dataclass(frozen=True, slots=True)
class Fetching(Event):
    """A checkpoint is being fetched from the hub."""

    kind = "fetching"
    checkpoint: str


@dataclass(frozen=True, slots=True)
class NodeStarted(Event):
    """A node began to run."""

    kind = "node_started"
    node: str
    type: str


@dataclass(frozen=True, slots=True)
class Stepped(Event):
    """A node has done `step` of `total` steps.

    Training tells its `loss` of late; `note` is what a person should know, in a line of its own.
    """

    kind = "stepped"
    node: str
    step: int
    total: int
    loss: float | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded(Event):
    """A component was loaded: its bytes in memory, those of its files, and the seconds it took."""

    kind = "loaded"
    component: str
    bytes: int
    file_bytes: int
    seconds: float
    device: str


@dataclass(frozen=True, slots=True)
class Prefetched(Event):
    """A component's files were read into the system's cache, while a node computed."""

    kind = "prefetched"
    component: str
    file_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Moved(Event):
    """A component was moved to `device`: to "cpu" to make room, or back to where it is used."""

    kind = "moved"
    component: str
    bytes: int
    seconds: float
    device: str


@dataclass(frozen=True, slots=True)
class Evicted(Event):
    """A component was dropped from memory to make room."""

    kind = "evicted"
    component: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Reused(Event):
    """A node did not run: its result is remembered; making it took `seconds`."""

    kind = "reused"
    node: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Released(Event):
    """A result was dropped after its last reader."""

    kind = "released"
    node: str


@dataclass(frozen=True, slots=True)
class NodeFinished(Event):
    """A node has run; `file` is what it wrote, if it wrote one."""

    kind = "node_finished"
    node: str
    seconds: float
    file: str | None


@dataclass(frozen=True, slots=True)
class Retried(Event):
    """A node ran out of memory (`reason` is the error's text) and runs again with a `change`."""

    kind = "retried"
    node: str
    reason: str
    change: str


@dataclass(frozen=True, slots=True)
class NodeFailed(Event):
    """A node raised."""

    kind = "node_failed"
    node: str
    message: str


@dataclass(frozen=True, slots=True)
class Skipped(Event):
    """A node was not run: `failed`, which it needs, did not give a result."""

    kind = "skipped"
    node: str
    failed: str


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """Something is wrong that does not stop the run."""

    kind = "warned"
    message: str


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """The run is over; `bytes_loaded` are those of the files that were read."""

    kind = "run_finished"
    seconds: float
    loads: int
    bytes_loaded: int


class Progress(Protocol):
    """What a node is given to say how far it is; it may raise, to stop the node."""

    def __call__(
        self, step: int, total: int, /, *, loss: float | None = None, note: str | None = None
    ) -> None:
        """Tells of a step, of the loss, and of what a person should know."""


Listener = Callable[[Event], None]
"""What takes events; called from one thread at a time."""


def combine_listeners(*listeners: Listener | None) -> Listener | None:
    """A listener that hands each event to every one of these that there is, in turn; or None."""
    hearing = [each for each in listeners if each is not None]
    if not hearing:
        return None

    def listen(event: Event) -> None:
        for each in hearing:
            each(event)

    return listen


class EventEmitter:
    """Stamps events and hands them to the listener; builds none when nobody listens."""

    def __init__(self, listener: Listener | None) -> None:
        self._listener = listener
        self._began = time.perf_counter()
        self._lock = threading.Lock()

    def now(self) -> float:
        """Seconds since the run began."""
        return time.perf_counter() - self._began

    def emit(self, kind: Callable[..., Event], *details: Any) -> None:
        """Hands over one event; a listener is never called by two threads at once."""
        if self._listener is not None:
            with self._lock:
                self._listener(kind(self.now(), *details))
