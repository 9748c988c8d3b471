"""The order in which steps run: several orders are simulated with several policies.

`best_plan` works like this:

1. Steps that cost nothing if they run directly after another step are merged into that step
   (`merge_free_steps`).
2. The model-affine order, which always takes the step that loads the fewest bytes next, and four
   plain orders, which do not look at components, are simulated with `keep_soonest_used`.
3. Where the best of them loads or moves more than the lower bound, a beam search looks for an order
   and evictions that are better. What it finds is simulated too.
4. The orders for which a policy had to choose victims are simulated with every other policy, those
   of the baselines included.
5. The plan with the lowest cost is returned. As all plain orders with all policies were candidates,
   no such combination has a lower cost.
"""

from __future__ import annotations

import heapq
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from sdgraph.errors import InvalidValueError, Problem

from .beam_search import BeamSearch
from .eviction import (
    farthest_next_use,
    keep_largest,
    keep_soonest_used,
    least_recently_used,
    smallest_first,
)
from .memory_plan import MemoryPlan
from .shortfall import check_budgets
from .simulation import EvictionPolicy, simulate_below
from .vocabulary import Requirement
from .workload import Order, Workload


def authored_order(workload: Workload) -> Order:
    """The workload's own order: of the steps that can run, always the one that is listed first."""
    return _order_by(workload, range(len(workload.steps)))


def lexicographic_order(workload: Workload) -> Order:
    """The order by name: of the steps that can run, always the one whose name comes first."""
    return _order_by(workload, [step.name for step in workload.steps])


def breadth_first_order(workload: Workload) -> Order:
    """Of the steps that can run, always the one that became ready first.

    This is the order of `networkx.topological_sort`.
    """
    ready: deque[int] = deque()
    return _topological_order(workload, ready.extend, ready.popleft)


def depth_first_order(workload: Workload) -> Order:
    """Of the steps that can run, always the first of those that became ready last."""
    ready: list[int] = []
    return _topological_order(workload, lambda steps: ready.extend(reversed(steps)), ready.pop)


def model_affine_order(workload: Workload) -> Order:
    """Of the steps that can run, always the one that loads the fewest bytes at that time."""
    return BeamSearch(*merge_free_steps(workload)).greedy_order()[0]


def _order_by(workload: Workload, ranks: Sequence[Any]) -> Order:
    ready: list[tuple[Any, int]] = []

    def add(steps: list[int]) -> None:
        for step in steps:
            heapq.heappush(ready, (ranks[step], step))

    return _topological_order(workload, add, lambda: heapq.heappop(ready)[1])


def _topological_order(
    workload: Workload, add: Callable[[list[int]], object], take: Callable[[], int]
) -> Order:
    """The order in which `take` returns the steps that can run.

    Raises InvalidValueError for a cycle.
    """
    waits_for = [len(set(step.after)) for step in workload.steps]
    add([index for index, count in enumerate(waits_for) if not count])
    order: list[int] = []
    try:
        for _ in waits_for:
            order.append(take())
            became_ready = []
            for dependent in workload.dependents[order[-1]]:
                waits_for[dependent] -= 1
                if not waits_for[dependent]:
                    became_ready.append(dependent)
            if became_ready:
                add(became_ready)
    except IndexError:
        in_cycle = sorted(set(range(len(waits_for))) - set(order))
        names = ", ".join(workload.steps[step].name for step in in_cycle[:5])
        problem = Problem(names, "steps that wait for one another", "no cycle")
        raise InvalidValueError(problem) from None
    return tuple(order)


PLAIN_ORDERS = (authored_order, breadth_first_order, depth_first_order, lexicographic_order)
BASELINE_POLICIES = (farthest_next_use, least_recently_used, smallest_first)

SEARCH_EFFORT = 80
"""How many candidates a search may follow in all, in addition to one for every fourth step."""


def best_plan(workload: Workload) -> MemoryPlan:
    """The cheapest plan that was found; no plain order costs less with any of the policies.

    Raises InvalidValueError for steps in a cycle, and for a step that alone is above a budget.
    """
    check_budgets(workload)
    search = BeamSearch(*merge_free_steps(workload))
    greedy_order, choices = search.greedy_order()
    orders = dict.fromkeys((greedy_order, *(order(workload) for order in PLAIN_ORDERS)))
    best = _BestPlan(workload)
    # For an order that keeps every budget without evictions, all policies do the same.
    undecided = [order for order in orders if best.consider(order, keep_soonest_used)]
    if undecided and best.plan.cost[:2] > search.lower_bound:
        width = max(1, (SEARCH_EFFORT + len(workload.steps) // 4) // choices)
        end = search.search(width, best.plan.cost[:2])
        if end is not None:
            order, replayed = search.replay(end)
            for policy in (replayed, keep_soonest_used, keep_largest):
                best.consider(order, policy)
    for policy in (keep_largest, *BASELINE_POLICIES):
        for order in undecided:
            best.consider(order, policy)
    return best.plan


def merge_free_steps(workload: Workload) -> tuple[Workload, list[list[int]]]:
    """The workload with each free step merged into the only step that it waits for.

    A step is free if it requires no component and no working memory beyond those of the step that
    it waits for. Also returns, for each step of the new workload, the original steps that it stands
    for, in order.
    """
    required, working = workload.required, workload.working
    groups: list[list[int]] = []
    steps: list[Requirement] = []
    group_of = [0] * len(required)
    for step in authored_order(workload):
        before = {group_of[earlier] for earlier in workload.steps[step].after}
        if len(before) == 1:
            (group,) = before
            head = groups[group][0]
            fits = all(a <= b for a, b in zip(working[step], working[head], strict=True))
            if fits and not required[step] & ~required[head]:
                groups[group].append(step)
                group_of[step] = group
                continue
        group_of[step] = len(groups)
        groups.append([step])
        steps.append(replace(workload.steps[step], after=tuple(sorted(before))))
    return replace(workload, steps=steps), groups


class _BestPlan:
    """The cheapest plan so far."""

    def __init__(self, workload: Workload) -> None:
        self._workload = workload
        self._plan: MemoryPlan | None = None

    @property
    def plan(self) -> MemoryPlan:
        assert self._plan is not None
        return self._plan

    def consider(self, order: Order, policy: EvictionPolicy) -> bool:
        """Simulates an order with a policy; returns whether another policy may choose otherwise."""
        limit = self._plan.cost[:2] if self._plan else None
        plan = simulate_below(self._workload, order, policy, limit)
        if plan is not None and (self._plan is None or plan.cost < self._plan.cost):
            self._plan = plan
        return plan is None or plan.over_budget
