"""Which step goes when, and in which thread.

Model steps run one after another in the calling thread, in the order of the plan; while they do,
light steps (load, resize, save) run beside them. A plan without models runs in the calling thread
alone: handing a step over costs more than a small step does.
"""

from __future__ import annotations

import heapq
import threading
import traceback
from typing import Any

from sdgraph.errors import NodeFailedError, NodesFailedError, problems_in
from sdgraph.graph import Node
from sdgraph.store import LostRecordError

from .plan_data import Plan, Step
from .step_runner import RunStoppedError, Steps

LIGHT_THREADS = 2

AHEAD = 4
"""How many model steps ahead light steps may be, for what they make is held until it is read."""


class Schedule:
    """Walks a plan to its end, or to the first failure.

    With `keep_going`, past failures: all is done that needs none of the failed.
    """

    def __init__(self, plan: Plan, steps: Steps, *, keep_going: bool = False) -> None:
        self._plan = plan
        self._steps = steps
        self._keep_going = keep_going
        self._changed = threading.Condition()
        self._left = len(plan.steps)
        self._stopped = False
        self._failures: list[NodeFailedError] = []
        self._lost: LostRecordError | None = None
        self._broken: BaseException | None = None
        self._waits: list[int] = []
        self._readers: dict[Node[Any], list[int]] = {}
        self._unread: dict[Node[Any], int] = {}
        self._models = [n for n, step in enumerate(plan.steps) if _uses_models(step)][::-1]
        """The model steps not begun, the next one last: memory is planned in their order."""
        self._given_up: set[int] = set()
        self._light: list[int] = []
        self._reads = [_read(step) for step in plan.steps]
        self._releasable = {node for step in plan.steps for node in step.releases}
        for place, read in enumerate(self._reads):
            self._add(place, read)
        kinds = {_uses_models(step) for step in plan.steps}
        self._threads = LIGHT_THREADS if len(kinds) == 2 else 0

    def _add(self, place: int, read: set[Node[Any]]) -> None:
        for child in read:
            self._readers.setdefault(child, []).append(place)
            self._unread[child] = self._unread.get(child, 0) + 1
        self._waits.append(len(read))
        if not read:
            self._make_ready(place)

    def execute(self) -> None:
        """Does every step.

        Raises NodeFailedError for the first that fails, NodesFailedError for several.

        Raises LostRecordError, once all else is done, where what was remembered turned out to be
        gone.
        """
        threads = [
            threading.Thread(target=self._work_beside, name=f"sdgraph-light-{n}")
            for n in range(self._threads)
        ]
        for thread in threads:
            thread.start()
        try:
            self._work(True)
        finally:
            self._halt()
            for thread in threads:
                thread.join()
        if self._broken is not None:
            raise self._broken
        if self._lost is not None and (self._keep_going or not self._failures):
            raise self._lost
        if self._failures:
            if not self._keep_going:
                self._steps.failed(self._failures[0])
            raise (
                self._failures[0] if len(self._failures) == 1 else NodesFailedError(self._failures)
            )

    def _work(self, models: bool) -> None:
        while (place := self._take(models)) is not None:
            step = self._plan.steps[place]
            try:
                self._steps.do(step)
            except Exception as error:
                self._fail(place, step, error)
            else:
                self._finish(place, step)

    def _work_beside(self) -> None:
        """A light thread's work; whatever ends it early ends the run, for nobody else hears it."""
        try:
            self._work(False)
        except BaseException as error:
            self._broken = error
            self._halt()

    def _take(self, models: bool) -> int | None:
        """The next step for this thread, waiting for one; None when there will be no more."""
        with self._changed:
            while self._left and not self._stopped:
                if models and self._models and not self._waits[self._models[-1]]:
                    self._changed.notify_all()  # the light steps may go further now
                    return self._models.pop()
                if self._light and self._light[0] < self._reach():
                    return heapq.heappop(self._light)
                self._changed.wait()
        return None

    def _reach(self) -> int:
        """The place before which light steps may begin now; all that the next models need is."""
        return self._models[-AHEAD] if len(self._models) >= AHEAD else len(self._waits)

    def _finish(self, place: int, step: Step) -> None:
        with self._changed:
            self._left -= 1
            for reader in self._readers.get(step.node, ()):
                self._waits[reader] -= 1
                if not self._waits[reader]:
                    self._make_ready(reader)
            self._release(place)
            if self._threads:
                self._changed.notify_all()

    def _make_ready(self, place: int) -> None:
        if not _uses_models(self._plan.steps[place]):
            heapq.heappush(self._light, place)

    def _release(self, place: int) -> None:
        """Drops what this step was the last to read; with threads that need not be the plan's."""
        for child in self._reads[place]:
            self._unread[child] -= 1
            if not self._unread[child] and child in self._releasable:
                self._steps.release(child)

    def _fail(self, place: int, step: Step, error: Exception) -> None:
        # The frames of a failed node hold its models; let go of them, keep the lines.
        traceback.clear_frames(error.__traceback__)
        with self._changed:
            if isinstance(error, LostRecordError):
                self._lost = error
                self._pass_over(place)
                return
            if isinstance(error, RunStoppedError) or (self._failures and not self._keep_going):
                self._halt()
                return
            mark = self._plan.graph.mark(step.node)
            failure = NodeFailedError(step.name, problems_in(error), mark)
            failure.__cause__ = error
            self._failures.append(failure)
            if not self._keep_going:
                self._halt()
                return
            self._steps.failed(failure)
            for reader in self._pass_over(place):
                self._steps.skipped(self._plan.steps[reader], step)

    def _pass_over(self, place: int) -> list[int]:
        """Gives up a step that failed and all that needs it; returns those, in order."""
        given_up = {place}
        ahead = [place]
        while ahead:
            node = self._plan.steps[ahead.pop()].node
            for reader in self._readers.get(node, ()):
                if reader not in given_up and reader not in self._given_up:
                    given_up.add(reader)
                    ahead.append(reader)
        self._given_up |= given_up
        self._left -= len(given_up)
        self._models = [each for each in self._models if each not in given_up]
        self._changed.notify_all()
        return sorted(given_up - {place})

    def _halt(self) -> None:
        with self._changed:
            self._stopped = True
            self._steps.stop()
            self._changed.notify_all()


def _read(step: Step) -> set[Node[Any]]:
    """The nodes whose results this step needs; what is remembered needs none."""
    return {child for _, child in step.node.wires} if step.action == "run" else set()


def _uses_models(step: Step) -> bool:
    return step.action == "run" and "models" in type(step.node).definition.services
