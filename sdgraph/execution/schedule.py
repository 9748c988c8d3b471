"""Which steps of a plan can run, while others finish or are given up. Knows no threads.

1. A step can run when the results that it reads are there.
2. Model steps and exclusive ones run in the order of the plan. Of light steps the first in the
   plan comes first. A step with an effect that no file shows waits for the one before it.
3. In a plan without such steps one that is not the first unfinished one runs ahead. Only so many
   do, or have results that wait for their readers. The first one can always run.
4. There a step with an effect begins only as the first unfinished one. One that only writes files
   may begin before, if its files are put in their places later (see `StepRunner.wait_for_turn`);
   so effects come in the order of the plan, and none after a failure before it.
5. A result is dropped when the last step that reads it has finished.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Mapping, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sdgraph.graph import Node
from sdgraph.values import Checkpoint

from .plan_data import Plan, Step

if TYPE_CHECKING:
    import networkx as nx

MAX_MODEL_STEPS_AHEAD = 4
"""How many model steps ahead light steps may run; their results stay in memory until then."""

RESULTS_AHEAD = 4
"""How many steps for each thread may run ahead, or have results that wait to be read."""


def may_run_ahead(ahead: int, threads: int, files_ahead: int | None = None) -> bool:
    """Whether a step that can run may begin before the first unfinished one has finished.

    Args:
        ahead: The number of steps that run ahead, or whose results wait to be read.
        threads: The number of threads that run steps.
        files_ahead: For a step that writes files, the number of those that run ahead. Each may
            wait for its turn, so that one thread is left to the steps before them.

    Example:
        >>> may_run_ahead(3, threads=2)
        True
        >>> may_run_ahead(3, threads=2, files_ahead=1)
        False
    """
    if files_ahead is not None and files_ahead >= threads - 1:
        return False
    return ahead < RESULTS_AHEAD * threads


class Schedule:
    """The state of the steps of a plan, by their positions in it.

    Args:
        plan: The plan.
        threads: The number of threads that run steps.
    """

    def __init__(self, plan: Plan, threads: int = 1) -> None:
        self.unfinished = len(plan.steps)
        self.first_unfinished = 0
        """The position of the first step that has neither finished nor been given up."""
        self._in_order = [step.runs_in_order for step in plan.steps]
        self.model_steps = [n for n, in_order in enumerate(self._in_order) if in_order][::-1]
        """The model steps and exclusive ones that have not begun, in reverse order of the plan."""
        self._plan = plan
        self._makers = _makers(plan.steps, self._indexes)
        """For each step the steps that make the results it reads."""
        self._readers = _readers(self._makers)
        self._unread = [len(readers) for readers in self._readers]
        """For each step the number of steps that have yet to read its result."""
        self._waits_for = [len(makers) for makers in self._makers]
        """For each step how many results, and steps with effects, it still waits for."""
        self.threads = threads
        self.end = len(plan.steps)
        """The position of a step that has failed and ends the run: no step from it on begins."""
        self._has_order = not self.model_steps
        self._next_effect = {} if self._has_order else self._order_of_effects()
        for index in self._next_effect.values():
            self._waits_for[index] += 1
        self._light_steps: list[int] = []
        """A heap of the light steps that can run."""
        self._effects: list[int] = []
        """A heap of those that have an effect, in a plan without models."""
        self._ahead: set[int] = set()
        """The steps that were begun ahead and run, or whose results wait to be read."""
        self._files_ahead: set[int] = set()
        """Those that write files and run."""
        self._has_ended = bytearray(len(plan.steps))
        self._given_up: set[int] = set()
        kinds = {type(step.node) for step in plan.steps}
        self._kinds_with_effect = {kind for kind in kinds if _has_effect(kind)}
        self._releasable = {self._indexes[node] for step in plan.steps for node in step.releases}
        """The steps whose results are dropped when their readers have finished."""
        for index, waiting in enumerate(self._waits_for):
            if not waiting:
                self._make_ready(index)

    def _order_of_effects(self) -> dict[int, int]:
        """For each step with an effect that no file shows, the next such step."""
        effects = [
            index
            for index, step in enumerate(self._plan.steps)
            if step.node.effect and not type(step.node).definition.target_files
        ]
        return dict(pairwise(effects))

    def take_model_step(self) -> int | None:
        """The next model step, if it can run; it then counts as begun."""
        if self.model_steps and not self._waits_for[self.model_steps[-1]]:
            return self.model_steps.pop()
        return None

    def next_light_step(self) -> int | None:
        """The first light step that can run now, not too far ahead of the models."""
        if self._has_order:
            return self._next_in_order()
        if not self._light_steps:
            return None
        index = self._light_steps[0]
        if len(self.model_steps) < MAX_MODEL_STEPS_AHEAD:
            return index
        return index if index < self.model_steps[-MAX_MODEL_STEPS_AHEAD] else None

    def _next_in_order(self) -> int | None:
        """The first step that can run now, in a plan without models."""
        ready, effects, first = self._light_steps, self._effects, self.first_unfinished
        index = ready[0] if ready else self.end
        effect = effects[0] if effects else self.end
        if first in (index, effect):
            return first if first < self.end else None
        if effect < index and self._may_write_ahead(effect):
            return effect
        return index if index < self.end and may_run_ahead(len(self._ahead), self.threads) else None

    def _may_write_ahead(self, index: int) -> bool:
        """Whether a step has no effect but files, and may write them now."""
        files_ahead = len(self._files_ahead)
        return _only_writes_files(self._plan.steps[index].node) and may_run_ahead(
            len(self._ahead), self.threads, files_ahead
        )

    def take_light_step(self, index: int) -> None:
        """Takes the step that `next_light_step` has returned, which then counts as begun."""
        if self._effects and self._effects[0] == index:
            heapq.heappop(self._effects)
            if index != self.first_unfinished:
                self._files_ahead.add(index)
        else:
            heapq.heappop(self._light_steps)
        if self._has_order and index != self.first_unfinished:
            self._ahead.add(index)

    def last_reader(self, node: Node[Any]) -> int:
        """The position of the last step in the plan that reads the result of a node."""
        return self._readers[self._indexes[node]][-1]

    def finish(self, index: int) -> list[Node[Any]]:
        """Counts a step as finished.

        Returns:
            The nodes whose results no step will read. With threads this may be another step than
            `Step.releases` says.
        """
        self._end(index)
        for reader in self._readers[index]:
            self._count_down(reader)
        unread = []
        for maker in self._makers[index]:
            self._unread[maker] -= 1
            if not self._unread[maker] and maker in self._releasable:
                self._ahead.discard(maker)
                unread.append(self._plan.steps[maker].node)
        return unread

    def _end(self, index: int) -> None:
        self.unfinished -= 1
        self._has_ended[index] = 1
        if index == self.first_unfinished:
            rest = self._has_ended.find(0, index)
            self.first_unfinished = len(self._has_ended) if rest < 0 else rest
        if index in self._next_effect:
            self._count_down(self._next_effect[index])
        if self._files_ahead:
            self._files_ahead.discard(index)
        if self._ahead:
            if not self._readers[index] or index not in self._releasable:
                self._ahead.discard(index)  # it waits for no reader, or is kept to the end
            self._ahead = {step for step in self._ahead if step > self.first_unfinished}

    def _count_down(self, index: int) -> None:
        self._waits_for[index] -= 1
        if not self._waits_for[index]:
            self._make_ready(index)

    def _make_ready(self, index: int) -> None:
        if not self._in_order[index] and index not in self._given_up:
            kind = type(self._plan.steps[index].node)
            waits = self._has_order and kind in self._kinds_with_effect
            heapq.heappush(self._effects if waits else self._light_steps, index)

    def give_up(self, index: int) -> list[int]:
        """Gives up a failed step and all steps that need it; returns the latter in order."""
        given_up = {index, *self._steps_that_need(index)} - self._given_up
        self._given_up |= given_up
        skipped = sorted(given_up - {index})
        useless = self._useless_stage_steps()
        self._given_up |= useless
        self.model_steps = [step for step in self.model_steps if step not in self._given_up]
        for each in sorted(given_up | useless):
            self._end(each)
            self._wait_no_more(each)
        return skipped

    def _wait_no_more(self, given_up: int) -> None:
        """Lets batches begin without those of their nodes whose inputs were given up."""
        for reader in self._readers[given_up]:
            if reader not in self._given_up:
                self._count_down(reader)

    def _useless_stage_steps(self) -> set[int]:
        """The steps for stages that have not begun, and that only given up steps need."""
        steps = self._plan.steps
        waiting = {steps[n].result: n for n in self.model_steps if steps[n].stage is not None}
        if not waiting:
            return set()
        needed = {
            stage.key
            for n, step in enumerate(steps)
            if n not in self._given_up
            for stage in step.stages
        }
        return {n for key, n in waiting.items() if key not in needed}

    def _steps_that_need(self, index: int) -> Iterable[int]:
        """The steps that read a step's result, directly or through others."""
        import networkx as nx

        for node in nx.descendants(self._dependencies, self._plan.steps[index].node):
            yield self._indexes[node]

    def position_of(self, node: Node[Any]) -> int:
        """The position of the step that makes the result of a node."""
        return self._indexes[node]

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


def _has_effect(kind: type[Node[Any]]) -> bool:
    """Whether running a node of a class changes something outside of the run, such as a file."""
    return kind.effect or bool(kind.definition.targets)


def _only_writes_files(node: Node[Any]) -> bool:
    """Whether a node has no effect but files, which it writes to temporary paths."""
    definition = type(node).definition
    return (
        set(definition.targets) == set(definition.target_files) != set()
        and not issubclass(definition.output, Checkpoint)  # see `TargetFiles`
    )


def _makers(steps: Sequence[Step], positions: Mapping[Node[Any], int]) -> list[list[int]]:
    """For each step the positions of the steps that make the results it reads, in order."""
    read = [[positions[node] for node in step.inputs] for step in steps]
    return [sorted(set(each)) if len(each) > 1 else each for each in read]


def _readers(makers: Sequence[Collection[int]]) -> list[list[int]]:
    """For each step the positions of the steps that read its result, in their order."""
    readers: list[list[int]] = [[] for _ in makers]
    for index, positions in enumerate(makers):
        for maker in positions:
            readers[maker].append(index)
    return readers
