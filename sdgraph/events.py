"""What happens during a run, as data.

A listener is called with each event. The command line, a server and tests read the same events:

    >>> from sdgraph.events import NodeFinished, combine_listeners
    >>> files = []
    >>> def note_file(event):
    ...     if isinstance(event, NodeFinished) and event.file is not None:
    ...         files.append(event.file)
    >>> listener = combine_listeners(note_file, None)
    >>> listener(NodeFinished(at=1.5, node="result", seconds=0.2, file="out/star.png"))
    >>> files
    ['out/star.png']
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

from sdgraph.errors import Problem


@dataclass(frozen=True, slots=True)
class Event:
    """The base of all events.

    Args:
        at: Seconds since the run began.
    """

    kind: ClassVar[str] = ""
    """The name of the kind of event, in JSON under "event"."""

    at: float

    def as_data(self) -> dict[str, Any]:
        """The event as data for JSON.

        Example:
            >>> Evicted(at=2.0, component="tiny/text/unet", bytes=1000).as_data()
            {'event': 'evicted', 'at': 2.0, 'component': 'tiny/text/unet', 'bytes': 1000}
        """
        return {"event": self.kind, **asdict(self)}


@dataclass(frozen=True, slots=True)
class RunStarted(Event):
    """A run began.

    Args:
        steps: The number of nodes that will run.
        reused: The number of results that are remembered.
        device: Where it runs, such as "cpu" or "cuda:0".
    """

    kind = "run_started"
    steps: int
    reused: int
    device: str


@dataclass(frozen=True, slots=True)
class Fetching(Event):
    """A checkpoint is being downloaded from the hub, or made if it is one with random weights.

    Args:
        checkpoint: Its id on the hub, or a name such as "random/flux".
    """

    kind = "fetching"
    checkpoint: str


@dataclass(frozen=True, slots=True)
class NodeStarted(Event):
    """A node began to run.

    Args:
        node: The name of the node in the graph.
        type: The name of its class.
        not_kept: The reason why its result of an earlier run is not on disk, if it was left out on
            purpose.
        batch: The number of nodes that are computed at once, itself among them.
    """

    kind = "node_started"
    node: str
    type: str
    not_kept: str = ""
    batch: int = 1


@dataclass(frozen=True, slots=True)
class StageStarted(Event):
    """A part of a node's work began to run by itself, before the node, because memory is short.

    Args:
        node: The name of the node in the graph.
        stage: The name of the part: "prompt" for the embedding of its prompts.
    """

    kind = "stage_started"
    node: str
    stage: str


@dataclass(frozen=True, slots=True)
class StageFinished(Event):
    """A part of a node's work has run by itself.

    Args:
        node: The name of the node in the graph.
        stage: The name of the part.
        seconds: How long it took.
    """

    kind = "stage_finished"
    node: str
    stage: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Stepped(Event):
    """A node finished one of its steps.

    Args:
        node: The name of the node in the graph.
        step: The number of finished steps, from 1.
        total: The number of all steps.
        loss: The recent loss, if the node trains.
        note: A line of text for the user.
    """

    kind = "stepped"
    node: str
    step: int
    total: int
    loss: float | None = None
    note: str | None = None


@dataclass(frozen=True, slots=True)
class Loaded(Event):
    """A component was loaded.

    Args:
        component: Its name, such as "tiny/text/unet".
        bytes: Its size in memory.
        file_bytes: The size of the files that were read.
        seconds: How long it took.
        device: Where it is now.
    """

    kind = "loaded"
    component: str
    bytes: int
    file_bytes: int
    seconds: float
    device: str


@dataclass(frozen=True, slots=True)
class Prefetched(Event):
    """The weights of a component were read into host memory while a node computed.

    Args:
        component: Its name.
        file_bytes: The size of the files.
        seconds: How long it took.
    """

    kind = "prefetched"
    component: str
    file_bytes: int
    seconds: float


@dataclass(frozen=True, slots=True)
class Moved(Event):
    """A component was moved: to the host to free device memory, or back to the device.

    Args:
        component: Its name.
        bytes: Its size in memory.
        seconds: How long it took.
        device: Where it is now: "cpu" or the device that uses it.
    """

    kind = "moved"
    component: str
    bytes: int
    seconds: float
    device: str


@dataclass(frozen=True, slots=True)
class Evicted(Event):
    """A component was removed from memory.

    Args:
        component: Its name.
        bytes: The memory that is free again.
    """

    kind = "evicted"
    component: str
    bytes: int


@dataclass(frozen=True, slots=True)
class Reused(Event):
    """A node did not run, because its result is remembered.

    Args:
        node: The name of the node in the graph.
        seconds: How long it took to compute the result.
    """

    kind = "reused"
    node: str
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Released(Event):
    """A result was dropped from memory, because every node that reads it has run.

    Args:
        node: The name of the node whose result it was.
    """

    kind = "released"
    node: str


@dataclass(frozen=True, slots=True)
class NodeFinished(Event):
    """A node has run.

    Args:
        node: The name of the node in the graph.
        seconds: How long it took.
        file: The file that it wrote, or None.
    """

    kind = "node_finished"
    node: str
    seconds: float
    file: str | None


@dataclass(frozen=True, slots=True)
class TableOpened(Event):
    """The table of a sweep was begun; it gets a row for each variant.

    Args:
        file: The path of the table.
    """

    kind = "table_opened"
    file: str


@dataclass(frozen=True, slots=True)
class Retried(Event):
    """A node ran out of memory and runs again with other settings.

    Args:
        node: The name of the node in the graph.
        reason: The text of the error.
        change: What is different this time.
    """

    kind = "retried"
    node: str
    reason: str
    change: str


@dataclass(frozen=True, slots=True)
class NodeFailed(Event):
    """A node raised an exception.

    Args:
        node: The name of the node in the graph.
        message: What went wrong, as text; the type and text of an exception from outside sdgraph.
        problems: The same in parts: subject, found, wanted and fix.
    """

    kind = "node_failed"
    node: str
    message: str
    problems: tuple[Problem, ...] = ()

    def as_data(self) -> dict[str, Any]:
        """The event as plain data for JSON."""
        problems = [problem.as_data() for problem in self.problems]
        return {**Event.as_data(self), "problems": problems}


@dataclass(frozen=True, slots=True)
class Skipped(Event):
    """A node was not run, because a node that it needs failed.

    Args:
        node: The name of the node in the graph.
        failed: The name of the node that failed.
    """

    kind = "skipped"
    node: str
    failed: str


@dataclass(frozen=True, slots=True)
class Warned(Event):
    """Something is wrong that does not stop the run.

    Args:
        message: What is wrong.
    """

    kind = "warned"
    message: str


@dataclass(frozen=True, slots=True)
class RunFinished(Event):
    """The run is over.

    Args:
        seconds: How long the run took.
        loads: The number of components that were loaded.
        bytes_loaded: The size of the files that were read for them.
    """

    kind = "run_finished"
    seconds: float
    loads: int
    bytes_loaded: int


Listener = Callable[[Event], None]
"""A function that receives events; never called by two threads at once."""


def combine_listeners(*listeners: Listener | None) -> Listener | None:
    """A listener that passes each event to several listeners in order.

    Args:
        listeners: The listeners; those that are None are skipped.

    Returns:
        The combined listener, the only one, or None if all are None.
    """
    present = [listener for listener in listeners if listener is not None]
    if len(present) < 2:
        return present[0] if present else None

    def listen(event: Event) -> None:
        for listener in present:
            listener(event)

    return listen
