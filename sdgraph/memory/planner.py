"""Plans memory for the steps of a run, and chooses actions for single steps without a plan."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from .eviction import keep_soonest_used, least_recently_used
from .memory_plan import MemoryPlan
from .ordering import best_plan
from .shortfall import lift_measured_budgets
from .simulation import EvictionPolicy, simulate
from .vocabulary import (
    UNLIMITED,
    Action,
    Budgets,
    Component,
    ComponentKey,
    MemoryContents,
    MemoryLimits,
    Requirement,
    Tier,
)
from .workload import Workload, make_workload


def plan_memory(
    requirements: Sequence[Requirement], limits: MemoryLimits, contents: MemoryContents
) -> MemoryPlan:
    """The cheapest order of the steps that was found, with the actions before each step.

    Args:
        requirements: What each step requires, and which steps it comes after.
        limits: The bytes that the plan may use.
        contents: What is in memory now.

    Raises:
        InvalidValueError: A step alone is above an enforced budget, or steps wait for one another
            in a cycle.
    """
    if len(requirements) == 1:
        return plan_in_order(requirements, limits, contents)
    workload, warnings = _workload_within(requirements, limits, contents)
    return replace(best_plan(workload), warnings=warnings)


def plan_in_order(
    requirements: Sequence[Requirement], limits: MemoryLimits, contents: MemoryContents
) -> MemoryPlan:
    """The plan for steps that run in the order of `requirements`.

    The arguments are those of `plan_memory`; `Requirement.after` is ignored.

    Raises:
        InvalidValueError: A step alone is above an enforced budget.
    """
    steps = [replace(requirement, after=()) for requirement in requirements]
    workload, warnings = _workload_within(steps, limits, contents)
    return replace(_simulate_in_order(workload, keep_soonest_used), warnings=warnings)


def plan_without_components(count: int, contents: MemoryContents) -> MemoryPlan:
    """The plan for `count` steps that use no components: their order and memory do not change."""
    accelerator, host = (
        sum(component.bytes for component, at in contents.items() if at.tier is tier)
        for tier in Tier
    )
    workload = make_workload((), MemoryLimits(), contents)
    return MemoryPlan(
        workload, tuple(range(count)), (), peak_accelerator=accelerator, peak_host=host
    )


def actions_for_step(
    requirement: Requirement, limits: MemoryLimits, contents: MemoryContents
) -> tuple[Action, ...]:
    """The actions before one step if the steps after it are not known.

    The least recently used components leave first. If the step is above the budgets even then,
    everything that may leave is evicted.
    """
    step = replace(requirement, after=())
    limits = replace(limits, enforced=UNLIMITED, keep_unused=True)
    workload, warnings = _workload_within([step], limits, contents)
    if not warnings:
        return _simulate_in_order(workload, least_recently_used).actions[0]
    required = {component.key for component in requirement.components}
    evicted = [
        component
        for component, placement in contents.items()
        if not placement.pinned and component.key not in required
    ]
    rest = {
        component: placement
        for component, placement in contents.items()
        if component not in evicted
    }
    workload = make_workload([step], MemoryLimits(), rest)
    return (
        *(Action("evict", component) for component in evicted),
        *_simulate_in_order(workload, least_recently_used).actions[0],
    )


def evictions_over_budget(budgets: Budgets, contents: MemoryContents) -> tuple[Action, ...]:
    """The evictions that bring memory within the budgets between steps.

    The least recently used components go first; pinned ones stay.
    """
    evictions = []
    for tier in Tier:
        on_tier = [item for item in contents.items() if item[1].tier is tier]
        excess = sum(component.bytes for component, _ in on_tier) - budgets.limit(tier)
        for component, placement in on_tier:
            if excess > 0 and not placement.pinned:
                evictions.append(Action("evict", component))
                excess -= component.bytes
    return tuple(evictions)


def plan_prefetch(
    requirements: Sequence[Requirement],
    actions: Sequence[Sequence[Action]],
    limits: MemoryLimits,
    contents: MemoryContents,
) -> tuple[tuple[Component, ...], ...]:
    """For each step the components whose weights are read into host memory while it computes.

    While the step that loaded last computes (or the first step with components), the weights of the
    next step that loads are read, as far as the host's free memory at its peak before that step
    allows. They count as in memory beside everything that is there until then.

    Args:
        requirements: The steps in the order in which they run.
        actions: The actions before each step.
        limits: The bytes that the plan may use.
        contents: What is in memory before the first step.
    """
    prefetched: list[tuple[Component, ...]] = [()] * len(requirements)
    tiers = {component.key: placement.tier for component, placement in contents.items()}
    sizes = {component.key: component.bytes for component in contents}
    start: int | None = None
    peak = 0
    for position, (requirement, before) in enumerate(zip(requirements, actions, strict=True)):
        loads = [action.component for action in before if action.kind == "load"]
        if loads and start is not None:
            prefetched[start] = _first_that_fit(loads, limits.available.limit(Tier.HOST) - peak)
        tiers = apply_actions(tiers, before)
        sizes.update((component.key, component.bytes) for component in requirement.components)
        on_host = sum(sizes[key] for key, tier in tiers.items() if tier is Tier.HOST)
        if requirement.working_tier is Tier.HOST:
            on_host += requirement.working_bytes
        if loads or start is None:
            start, peak = (position if requirement.components else None), on_host
        peak = max(peak, on_host)
    return tuple(prefetched)


def apply_actions(
    tiers: Mapping[ComponentKey, Tier], actions: Sequence[Action]
) -> dict[ComponentKey, Tier]:
    """The tiers that components are on after some actions."""
    after = dict(tiers)
    for kind, component in actions:
        if kind == "evict":
            after.pop(component.key, None)
        else:
            after[component.key] = Tier.HOST if kind == "offload" else component.home
    return after


def _workload_within(
    requirements: Sequence[Requirement], limits: MemoryLimits, contents: MemoryContents
) -> tuple[Workload, tuple[str, ...]]:
    """The workload, without measured budgets that are too small, and a warning for each."""
    return lift_measured_budgets(make_workload(requirements, limits, contents), limits.enforced)


def _simulate_in_order(workload: Workload, policy: EvictionPolicy) -> MemoryPlan:
    return simulate(workload, range(len(workload.steps)), policy)


def _first_that_fit(loads: Sequence[Component], free: int) -> tuple[Component, ...]:
    """The first components that fit into the free bytes, without those without files.

    Weights that are cast are larger in memory than in their files, or smaller; the file is in the
    system's cache, which gives its memory back.
    """
    chosen = []
    for component in loads:
        if component.file_bytes:
            free -= max(component.bytes, component.file_bytes)
            if free < 0:
                break
            chosen.append(component)
    return tuple(chosen)
