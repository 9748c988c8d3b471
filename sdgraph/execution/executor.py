"""Decides which step runs when, and in which thread.

Model steps run one after another in the calling thread, in the order of the plan. Meanwhile light
steps (load, resize, save) run in threads of their own. A plan without models runs in the calling
thread only, because passing a small step to a thread takes longer than running it.
"""

from __future__ import annotations

import heapq
import threading
import traceback
from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sdgraph.errors import NodeFailedError, NodesFailedError, problems_in
from sdgraph.graph import Graph, Node
from sdgraph.store import LostRecordError

from .error_locations import error_location
from .plan_data import Plan, Step
from .step_runner import RunStoppedError, StepRunner

if TYPE_CHECKING:
    import networkx as nx

LIGHT_THREADS = 2

MAX_MODEL_STEPS_AHEAD = 4
"""How many model steps ahead light steps may run; their results stay in memory until then."""


class Executor:
    """Runs the steps of a plan to the end, or to the first failure.

    With `keep_going` it continues after failures with all steps that need no failed step.
    """

    def __init__(self, plan: Plan, runner: StepRunner, *, keep_going: bool = False) -> None:
        self._plan = plan
        self._runner = runner
        self._keep_going = keep_going
        self._changed = threading.Condition()
        self._unfinished = len(plan.steps)
        self._stopped = False
        self._failures: list[NodeFailedError] = []
        self._lost_record: LostRecordError | None = None
        self._thread_error: BaseException | None = None
        self._makers = _makers(plan.steps)
        """For each step the indices of those that make the results it reads."""
        self._waits_for = [len(makers) for makers in self._makers]
        """For each step the number of nodes whose results it still waits for."""
        self._readers = _readers(self._makers)
        self._unread = [len(readers) for readers in self._readers]
        """For each step the number of steps that have yet to read its result."""
        self._runs_models = [step.runs_models for step in plan.steps]
        self._model_steps = [n for n, runs in enumerate(self._runs_models) if runs][::-1]
        """The model steps that have not begun, in the reverse order of the plan."""
        self._given_up: set[int] = set()
        self._light_steps: list[int] = []
        """A heap of the light steps that can run."""
        self._releasable = {node for step in plan.steps for node in step.releases}
        for index, waiting in enumerate(self._waits_for):
            if not waiting:
                self._make_ready(index)
        has_both_kinds = 0 < len(self._model_steps) < len(plan.steps)
        self._thread_count = LIGHT_THREADS if has_both_kinds else 0

    def run(self) -> None:
        """Runs every step.

        Raises:
            NodeFailedError: A node failed.
            NodesFailedError: Several nodes failed, with `keep_going`.
            LostRecordError: A remembered result was lost; raised after everything else has run.
        """
        threads = [
            threading.Thread(target=self._run_light_steps, name=f"sdgraph-light-{n}")
            for n in range(self._thread_count)
        ]
        for thread in threads:
            thread.start()
        try:
            self._run_steps(with_models=True)
        finally:
            self._stop()
            for thread in threads:
                thread.join()
        self._raise_failures()

    def _raise_failures(self) -> None:
        if self._thread_error is not None:
            raise self._thread_error
        if self._lost_record is not None and (self._keep_going or not self._failures):
            raise self._lost_record
        if self._failures:
            if not self._keep_going:
                self._runner.report_failed(self._failures[0])
            raise (
                self._failures[0] if len(self._failures) == 1 else NodesFailedError(self._failures)
            )

    def _run_steps(self, *, with_models: bool) -> None:
        while (index := self._next_step(with_models)) is not None:
            step = self._plan.steps[index]
            try:
                self._runner.run(step)
            except (Exception, SystemExit) as error:  # sys.exit(0) in a node is no success
                if self._is_left_to_nodes(step, error):
                    self._finish(index)
                else:
                    self._fail(index, step, error)
            else:
                self._finish(index)

    def _is_left_to_nodes(self, step: Step, error: Exception | SystemExit) -> bool:
        """Whether a stage failed whose nodes are to fail, each by itself, and no others."""
        if step.stage is None or isinstance(error, RunStoppedError):
            return False
        if isinstance(error, LostRecordError):
            return True  # its nodes will not find it either
        if self._keep_going:
            traceback.clear_frames(error.__traceback__)
            self._runner.keep_failure(step.stage, error)
        return self._keep_going

    def _run_light_steps(self) -> None:
        """Runs light steps in a thread; an error of the executor itself ends the run."""
        try:
            self._run_steps(with_models=False)
        except BaseException as error:
            self._thread_error = error
            self._stop()

    def _next_step(self, with_models: bool) -> int | None:
        """The next step for this thread, waiting for one; None when there will be no more."""
        with self._changed:
            while self._unfinished and not self._stopped:
                if with_models and self._model_steps and not self._waits_for[self._model_steps[-1]]:
                    self._changed.notify_all()  # light steps may be further ahead now
                    return self._model_steps.pop()
                if self._light_steps and self._light_steps[0] < self._light_limit():
                    return heapq.heappop(self._light_steps)
                self._changed.wait()
        return None

    def _light_limit(self) -> int:
        """The index below which light steps may begin: that of a model step some steps ahead."""
        if len(self._model_steps) < MAX_MODEL_STEPS_AHEAD:
            return len(self._waits_for)
        return self._model_steps[-MAX_MODEL_STEPS_AHEAD]

    def _finish(self, index: int) -> None:
        with self._changed:
            self._unfinished -= 1
            for reader in self._readers[index]:
                self._waits_for[reader] -= 1
                if not self._waits_for[reader]:
                    self._make_ready(reader)
            self._release(index)
            if self._thread_count:
                self._changed.notify_all()

    def _make_ready(self, index: int) -> None:
        if not self._runs_models[index]:
            heapq.heappush(self._light_steps, index)

    def _release(self, index: int) -> None:
        """Drops the results that this step was the last to read.

        With threads this may be another step than `Step.releases` says.
        """
        for maker in self._makers[index]:
            self._unread[maker] -= 1
            if not self._unread[maker]:
                node = self._plan.steps[maker].node
                if node in self._releasable:
                    self._runner.release(node)

    def _fail(self, index: int, step: Step, error: BaseException) -> None:
        # The frames of a failed node hold its models: clear them, keep the lines of the traceback.
        traceback.clear_frames(error.__traceback__)
        with self._changed:
            if isinstance(error, LostRecordError):
                self._lost_record = error
                self._give_up(index)
                return
            if isinstance(error, RunStoppedError) or (self._failures and not self._keep_going):
                self._stop()
                return
            failure = _failure(step, error, self._plan.graph)
            self._failures.append(failure)
            if not self._keep_going:
                self._stop()
                return
            self._runner.report_failed(failure)
            for reader in self._give_up(index):
                self._runner.report_skipped(self._plan.steps[reader], step)

    def _give_up(self, index: int) -> list[int]:
        """Gives up a failed step and all steps that need it; returns the latter in order."""
        given_up = {index, *self._steps_that_need(index)} - self._given_up
        self._given_up |= given_up
        skipped = sorted(given_up - {index})
        given_up |= self._useless_stage_steps()
        self._given_up |= given_up
        self._unfinished -= len(given_up)
        self._wait_no_more(given_up)
        self._model_steps = [step for step in self._model_steps if step not in given_up]
        self._changed.notify_all()
        return skipped

    def _wait_no_more(self, given_up: set[int]) -> None:
        """Lets batches begin without those of their nodes whose inputs were given up."""
        for index in given_up:
            for reader in self._readers[index]:
                self._waits_for[reader] -= reader not in self._given_up

    def _useless_stage_steps(self) -> set[int]:
        """The steps for stages that have not begun, and that only given up steps need."""
        steps = self._plan.steps
        waiting = {steps[n].result: n for n in self._model_steps if steps[n].stage is not None}
        if not waiting:
            return set()
        needed = {
            stage.key
            for n, step in enumerate(steps)
            if n not in self._given_up
            for stage in step.stages
        }
        return {n for key, n in waiting.items() if key not in needed}

    def _steps_that_need(self, index: int) -> Iterator[int]:
        """The steps that read a step's result, directly or through others."""
        import networkx as nx

        for node in nx.descendants(self._dependencies, self._plan.steps[index].node):
            yield self._indexes[node]

    @cached_property
    def _indexes(self) -> dict[Node[Any], int]:
        steps = enumerate(self._plan.steps)
        return {step.node: index for index, step in steps if step.stage is None}

    @cached_property
    def _dependencies(self) -> nx.DiGraph[Node[Any]]:
        """The graph without the edges to nodes with remembered results, which need no input."""
        graph = self._plan.graph.to_networkx()
        runs = {step.node for step in self._plan.steps if step.action == "run"}
        graph.remove_edges_from([edge for edge in graph.edges if edge[1] not in runs])
        return graph

    def _stop(self) -> None:
        with self._changed:
            self._stopped = True
            self._runner.stop()
            self._changed.notify_all()


def _makers(steps: Sequence[Step]) -> list[set[int]]:
    """For each step the indices of the steps that make the results it reads."""
    indices = {step.node: index for index, step in enumerate(steps) if step.stage is None}
    return [{indices[node] for node in step.inputs} for step in steps]


def _readers(makers: Sequence[Collection[int]]) -> list[list[int]]:
    """For each step the indices of the steps that read its result, in their order."""
    readers: list[list[int]] = [[] for _ in makers]
    for index, indices in enumerate(makers):
        for maker in indices:
            readers[maker].append(index)
    return readers


def _failure(step: Step, error: BaseException, graph: Graph) -> NodeFailedError:
    """The failure of a node; a problem of a field has the place of that field in the file.

    An exception of another kind has the line of the node's own code that it came from.
    """
    place = error_location(error, type(step.node))
    problems = [
        replace(
            problem,
            found=f"{problem.found} ({place})" if place else problem.found,
            at=problem.at or graph.mark(step.node, problem.subject),
        )
        for problem in problems_in(error)
    ]
    failure = NodeFailedError(graph.names[step.node], problems, graph.mark(step.node))
    failure.__cause__ = error
    return failure
