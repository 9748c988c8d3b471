"""Reports what several threads do as one thread would: step after step, in the order of the plan.

1. A step that begins before the first unfinished one has its events kept.
2. When it has become the first unfinished one itself, they are passed on, and its next ones too.
3. When it has finished before, they are passed on as soon as all steps before it have finished.
4. After the events of a step come the results that it is the last to read, as dropped.

The times in the events are those at which they happened.
"""

from __future__ import annotations

import heapq
import threading
from typing import Any

from sdgraph.events import Event
from sdgraph.graph import Node

from .event_emitter import EventEmitter
from .schedule import Schedule
from .step_runner import StepRunner


class EventOrder:
    """Keeps the events of steps that run ahead; used by one thread at a time.

    Args:
        schedule: Knows the first unfinished step.
        runner: Drops results, and reports that they were.
        emitter: Makes the events.
    """

    def __init__(self, schedule: Schedule, runner: StepRunner, emitter: EventEmitter) -> None:
        self._schedule = schedule
        self._runner = runner
        self._emitter = emitter
        self._threads: dict[int, int] = {}
        """The steps that run and whose events are kept, with their threads' identifiers."""
        self._kept: dict[int, list[Event]] = {}
        """The kept events of ended steps."""
        self._dropped: dict[int, list[Node[Any]]] = {}
        """The dropped results, by the steps that read them last in the order of the plan."""
        self._ended: list[int] = []
        """A heap of the ended steps that are not reported."""

    def begin(self, index: int) -> None:
        """Keeps the events of this thread, if the step that it begins runs ahead."""
        if index != self._schedule.first_unfinished:
            self._emitter.hold()
            self._threads[index] = threading.get_ident()

    @property
    def is_ahead(self) -> bool:
        """Whether the step of this thread still runs ahead."""
        return threading.get_ident() in self._threads.values()

    @property
    def is_empty(self) -> bool:
        """Whether no step runs ahead, and nothing waits to be reported."""
        return not (self._threads or self._ended or self._dropped)

    def drop(self, node: Node[Any]) -> None:
        """Drops a result at once; it is reported when one thread would have dropped it."""
        if self._runner.drop(node):
            self._dropped.setdefault(self._schedule.last_reader(node), []).append(node)

    def end(self, index: int) -> None:
        """Notes that the step of this thread has finished or failed."""
        if self._threads.pop(index, None) is not None:
            self._kept[index] = self._emitter.take_held()
        heapq.heappush(self._ended, index)

    def report(self) -> None:
        """Passes on what need not wait any longer."""
        first, end = self._schedule.first_unfinished, self._schedule.end
        while self._ended and (self._ended[0] < first or self._ended[0] == first == end):
            index = heapq.heappop(self._ended)
            if index in self._kept:
                self._emitter.pass_on(self._kept.pop(index))
            for node in sorted(self._dropped.pop(index, ()), key=self._schedule.position_of):
                self._runner.report_released(node)
        if first in self._threads:
            self._emitter.end_hold(self._threads.pop(first))
