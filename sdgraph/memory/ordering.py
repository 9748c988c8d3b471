"""The order in which steps run: several are simulated, with several policies, the best taken.

The plain orders do not look at components. The model-affine one always takes the step that loads
the fewest bytes next. A search that looks further ahead is tried where those load or move more than
they must.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sdgraph.errors import InvalidValueError, Problem

from .beam_search import Search
from .eviction import (
    farthest_next_use,
    largest_kept,
    least_recently_used,
    smallest_first,
    soonest_kept,
)
from .simulation import Policy, Simulation, simulate_within
from .workload import Need, Order, Workload, check


def authored(workload: Workload) -> Order:
    """As given: of the steps that can run, always the one given first."""
    return _by_rank(workload, range(len(workload.steps)))


def lexicographic(workload: Workload) -> Order:
    """By name: of the steps that can run, always the one whose name comes first."""
    return _by_rank(workload, [step.name for step in workload.steps])


def breadth_first(workload: Workload) -> Order:
    """Of the steps that can run, the one that has waited longest: networkx.topological_sort's."""
    ready: deque[int] = deque()
    return _topological(workload, ready.extend, ready.popleft)


def depth_first(workload: Workload) -> Order:
    """Of the steps that can run, the first of those that came free last."""
    ready: list[int] = []
    return _topological(workload, lambda steps: ready.extend(reversed(steps)), ready.pop)


def _by_rank(workload: Workload, ranks: Sequence[Any]) -> Order:
    ready: list[tuple[Any, int]] = []

    def add(steps: list[int]) -> None:
        for step in steps:
            heapq.heappush(ready, (ranks[step], step))

    return _topological(workload, add, lambda: heapq.heappop(ready)[1])


def _topological(
    workload: Workload, add: Callable[[list[int]], object], take: Callable[[], int]
) -> Order:
    """Steps as they are taken from those that can run; raises InvalidValueError for a cycle."""
    waits = [len(set(step.after)) for step in workload.steps]
    add([index for index, waiting in enumerate(waits) if not waiting])
    order: list[int] = []
    try:
        for _ in waits:
            order.append(take())
            freed = []
            for reader in workload.readers[order[-1]]:
                waits[reader] -= 1
                if not waits[reader]:
                    freed.append(reader)
            if freed:
                add(freed)
    except IndexError:
        caught = sorted(set(range(len(waits))) - set(order))
        names = ", ".join(workload.steps[step].name for step in caught[:5])
        problem = Problem(names, "steps that wait for one another", "no cycle")
        raise InvalidValueError(problem) from None
    return tuple(order)


def model_affine(workload: Workload) -> Order:
    """Of the steps that can run, the one that loads the fewest bytes given what is in memory."""
    return Search(*condensed(workload)).nearest()[0]


def best_plan(workload: Workload) -> Simulation:
    """The cheapest of several orders and evictions: never above any plain order with any policy.

    Raises InvalidValueError for steps in a circle, and where some step alone is above a budget.
    """
    check(workload)
    search = Search(*condensed(workload))
    affine, choices = search.nearest()
    plain = (affine, *(order(workload) for order in PLAIN))
    trial = _Trial(workload)
    # Where room is never short all policies are one.
    unsettled = [order for order in dict.fromkeys(plain) if trial.of(order, soonest_kept)]
    if unsettled and trial.best.cost[:2] > search.least:
        share = max(1, (EFFORT + len(workload.steps) // 4) // choices)
        found = search.best(share, trial.best.cost[:2])
        if found is not None:
            order, script = search.replay(found)
            for policy in (script, soonest_kept, largest_kept):
                trial.of(order, policy)
    for policy in (largest_kept, *RIVALS):
        for order in unsettled:
            trial.of(order, policy)
    return trial.best


PLAIN = (authored, breadth_first, depth_first, lexicographic)
RIVALS = (farthest_next_use, least_recently_used, smallest_first)

EFFORT = 80
"""How many ways to go on a search may weigh in all, beside one for every fourth step."""


def condensed(workload: Workload) -> tuple[Workload, list[list[int]]]:
    """The workload with each step joined to the one it waits for where that makes it cost nothing.

    With it, for each of its steps, the steps of the original that it stands for, in order.
    """
    leases, working = workload.leases, workload.working
    groups: list[list[int]] = []
    steps: list[Need] = []
    group_of = [0] * len(leases)
    for index in authored(workload):
        before = {group_of[each] for each in workload.steps[index].after}
        if len(before) == 1:
            (group,) = before
            head = groups[group][0]
            less = all(mine <= its for mine, its in zip(working[index], working[head], strict=True))
            if less and not leases[index] & ~leases[head]:
                groups[group].append(index)
                group_of[index] = group
                continue
        group_of[index] = len(groups)
        groups.append([index])
        steps.append(replace(workload.steps[index], after=tuple(sorted(before))))
    return replace(workload, steps=steps), groups


class _Trial:
    """The best simulation so far."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.found: Simulation | None = None

    @property
    def best(self) -> Simulation:
        assert self.found is not None
        return self.found

    def of(self, order: Order, policy: Policy) -> bool:
        """Tries an order with a policy; whether another policy could do otherwise."""
        limit = self.found.cost[:2] if self.found else None
        tried = simulate_within(self.workload, order, policy, limit)
        if tried is not None and (self.found is None or tried.cost < self.found.cost):
            self.found = tried
        return tried is None or tried.short
