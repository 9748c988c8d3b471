"""Which steps of a plan can run, while others finish or are given up. Knows no threads.

1. A step can run when the results that it reads are there.
2. Model steps and exclusive ones run in the order of the plan. Of light steps the first in the
   plan comes first.
3. A step with an effect that no file shows, such as printing, waits for the one before it.
4. A result is dropped when the last step that reads it has finished.
"""

from __future__ import annotations

import heapq
from collections.abc import Collection, Iterable, Sequence
from functools import cached_property
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from sdgraph.graph import Node

from .plan_data import Plan, Step

if TYPE_CHECKING:
    import networkx as nx

MAX_MODEL_STEPS_AHEAD = 4
"""How many model steps ahead light steps may run; their results stay in memory until then."""


class Schedule:
    """The state of the steps of a plan, by their positions in it.

    Args:
        plan: The plan.
    """

    def __init__(self, plan: Plan) -> None:
        self.unfinished = len(plan.steps)
        self.first_unfinished = 0
        """The position of the first step that has neither finished nor been given up."""
        self._in_order = [step.runs_in_order for step in plan.steps]
        self.model_steps = [n for n, in_order in enumerate(self._in_order) if in_order][::-1]
        """The model steps and exclusive ones that have not begun, in reverse order of the plan."""
        self._plan = plan
        self._makers = _makers(plan.steps)
        """For each step the steps that make the results it reads."""
        self._readers = _readers(self._makers)
        self._unread = [len(readers) for readers in self._readers]
        """For each step the number of steps that have yet to read its result."""
        self._next_effect = self._order_of_effects()
        self._waits_for = [len(makers) for makers in self._makers]
        """For each step how many results, and steps with effects, it still waits for."""
        for index in self._next_effect.values():
            self._waits_for[index] += 1
        self._light_steps: list[int] = []
        """A heap of the light steps that can run."""
        self._has_ended = bytearray(len(plan.steps))
        self._given_up: set[int] = set()
        self._releasable = {node for step in plan.steps for node in step.releases}
        for index, waiting in enumerate(self._waits_for):
            if not waiting:
                self._make_ready(index)

    def _order_of_effects(self) -> dict[int, int]:
        """For each step with an effect that no file shows, the next such step."""
        steps = self._plan.steps
        effects = [
            index
            for index, step in enumerate(steps)
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
        if not self._light_steps:
            return None
        index = self._light_steps[0]
        if len(self.model_steps) < MAX_MODEL_STEPS_AHEAD:
            return index
        return index if index < self.model_steps[-MAX_MODEL_STEPS_AHEAD] else None

    def take_light_step(self) -> int:
        """Takes `next_light_step`, which then counts as begun."""
        return heapq.heappop(self._light_steps)

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
            if not self._unread[maker]:
                node = self._plan.steps[maker].node
                if node in self._releasable:
                    unread.append(node)
        return unread

    def _end(self, index: int) -> None:
        self.unfinished -= 1
        self._has_ended[index] = 1
        if index == self.first_unfinished:
            rest = self._has_ended.find(0, index)
            self.first_unfinished = len(self._has_ended) if rest < 0 else rest
        if index in self._next_effect:
            self._count_down(self._next_effect[index])

    def _count_down(self, index: int) -> None:
        self._waits_for[index] -= 1
        if not self._waits_for[index]:
            self._make_ready(index)

    def _make_ready(self, index: int) -> None:
        if not self._in_order[index] and index not in self._given_up:
            heapq.heappush(self._light_steps, index)

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


def _makers(steps: Sequence[Step]) -> list[set[int]]:
    """For each step the positions of the steps that make the results it reads."""
    positions = {step.node: index for index, step in enumerate(steps) if step.stage is None}
    return [{positions[node] for node in step.inputs} for step in steps]


def _readers(makers: Sequence[Collection[int]]) -> list[list[int]]:
    """For each step the positions of the steps that read its result, in their order."""
    readers: list[list[int]] = [[] for _ in makers]
    for index, positions in enumerate(makers):
        for maker in positions:
            readers[maker].append(index)
    return readers
