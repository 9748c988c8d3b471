"""Workloads for tests: random ones by Hypothesis, and an interpreter of plans."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from sdgraph.memory import (
    Action,
    Budgets,
    Component,
    ComponentKey,
    MemoryPlan,
    Placement,
    Requirement,
    Tier,
)
from sdgraph.memory.eviction import (
    farthest_next_use,
    keep_largest,
    keep_soonest_used,
    least_recently_used,
    smallest_first,
)
from sdgraph.memory.workload import Workload

POLICIES_BY_NAME = {
    "keep_soonest_used": keep_soonest_used,
    "keep_largest": keep_largest,
    "farthest_next_use": farthest_next_use,
    "least_recently_used": least_recently_used,
    "smallest_first": smallest_first,
}
POLICIES = tuple(POLICIES_BY_NAME.values())
ACCELERATOR, HOST = Tier.ACCELERATOR, Tier.HOST


def component(
    name: str, size: int, file_size: int | None = None, home: Tier = ACCELERATOR
) -> Component:
    """A component of that many bytes, its files as large unless said otherwise."""
    key = ComponentKey(name, "float16", "cpu" if home is HOST else "cuda")
    return Component(key, name, size, size if file_size is None else file_size)


def workloads(max_steps: int = 8, *, limited: bool = True) -> st.SearchStrategy[Workload]:
    """Any workload that can be done; with budgets, some barely large enough.

    Made from a seed: Hypothesis would take far longer to draw one than the test takes.
    """
    numbers = st.integers(0, 2**32), st.integers(0, max_steps), st.integers(1, 6)
    plain = st.builds(random_workload, *numbers, st.just(limited))
    return st.builds(
        lambda workload, keep: replace(workload, keep_unused=keep), plain, st.booleans()
    )


def random_workload(seed: int, count: int, parts: int, limited: bool) -> Workload:
    """A workload of that many steps and components, the same for the same seed."""
    chance = random.Random(seed)
    tiers = chance.choice([list(Tier), list(Tier), [HOST], [ACCELERATOR]])
    components = [
        component(f"c{n}", chance.randint(0, 9), chance.randint(0, 9), chance.choice(tiers))
        for n in range(parts)
    ]
    turns = chance.sample(range(count), count)
    steps: dict[int, Requirement] = {}
    for turn, index in enumerate(turns):
        name = chance.choice("abc") + str(index)
        required = chance.sample(range(parts), chance.randint(0, min(4, parts)))
        working_bytes, tier = chance.choice((0, 0, 1, 4)), chance.choice(tiers)
        after = tuple(chance.choices(turns[:turn], k=chance.randint(0, 3)) if turn else ())
        steps[index] = Requirement(
            name,
            tuple(components[n] for n in required),
            working_bytes,
            after,
            chance.random() < 0.3,
            tier,
        )
    start = {}
    for index in chance.sample(range(parts), chance.randint(0, parts // 2)):
        home = components[index].home
        pinned = chance.random() < 0.3
        start[components[index]] = Placement(
            home if pinned else chance.choice((home, HOST)), pinned
        )
    free = Workload(components, [steps[n] for n in range(count)], start=start)
    if not limited:
        return free
    accelerator, host = (
        None if chance.random() < 0.2 else least_for(free, tier) + chance.choice((0, 0, 2, 5, 9))
        for tier in Tier
    )
    return replace(free, budgets=Budgets(accelerator, host))


def least_for(workload: Workload, tier: Tier) -> int:
    """The smallest budget that holds the start and each step by itself, simply computed."""
    start = workload.start.items()
    pinned = {component for component, placement in start if placement.pinned}
    needed = [sum(component.bytes for component, placement in start if placement.tier is tier)]
    for step in workload.steps:
        on_tier = {
            component for component in pinned | set(step.components) if component.home is tier
        }
        working = step.working_bytes if step.working_tier is tier else 0
        needed.append(sum(component.bytes for component in on_tier) + working)
    return max(needed)


class Memory:
    """Executes a plan's actions one by one, independently of the planner."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.tiers = {component: placement.tier for component, placement in workload.start.items()}
        self.pinned = {
            component for component, placement in workload.start.items() if placement.pinned
        }
        self.loaded = self.moved = self.loads = 0
        self.peaks = {tier: self.used(tier) for tier in Tier}

    def used(self, tier: Tier) -> int:
        return sum(component.bytes for component, where in self.tiers.items() if where is tier)

    def within_budgets(self, step: Requirement | None = None) -> None:
        for tier in Tier:
            working = step.working_bytes if step and step.working_tier is tier else 0
            self.peaks[tier] = max(self.peaks[tier], self.used(tier) + working)
            assert self.used(tier) + working <= self.workload.budgets.limit(tier)

    def do(self, action: Action, step: Requirement) -> None:
        part = action.component
        if action.kind in ("evict", "offload"):
            assert part not in self.pinned
            assert part not in step.components
        match action.kind:
            case "evict":
                del self.tiers[part]
            case "offload":
                assert self.tiers[part] is ACCELERATOR
                self.tiers[part] = HOST
                self.moved += part.bytes
            case "upload":
                assert self.tiers[part] is HOST
                assert part.home is ACCELERATOR
                self.tiers[part] = ACCELERATOR
                self.moved += part.bytes
            case "load":
                assert part not in self.tiers
                self.tiers[part] = part.home
                self.loaded += part.file_bytes
                self.loads += 1

    def run(self, plan: MemoryPlan) -> None:
        steps = self.workload.steps
        for index, actions in zip(plan.order, plan.actions, strict=True):
            for action in actions:
                self.do(action, steps[index])
                self.within_budgets()
            for required in steps[index].components:
                assert self.tiers[required] is required.home
            self.within_budgets(steps[index])


def assert_plan_is_true(workload: Workload, plan: MemoryPlan) -> None:
    """Carries the plan out, and compares what happened with what it says."""
    memory = Memory(workload)
    memory.run(plan)
    assert (memory.loaded, memory.moved, memory.loads) == (
        plan.bytes_loaded,
        plan.bytes_moved,
        plan.loads,
    )
    assert memory.peaks == {ACCELERATOR: plan.peak_accelerator, HOST: plan.peak_host}
    saved = [n for n, index in enumerate(plan.order) if workload.steps[index].saves]
    assert plan.first_saved == (saved[0] if saved else len(plan.order))


def chain_workload(
    sizes: Sequence[int], uses: Sequence[Sequence[int]], budgets: Budgets, home: Tier = ACCELERATOR
) -> Workload:
    """Components of these sizes, and a chain of steps that use them by their indices."""
    components = [component(f"c{n}", size, home=home) for n, size in enumerate(sizes)]
    steps = [
        Requirement(
            f"s{n}", tuple(components[component] for component in used), after=(n - 1,) if n else ()
        )
        for n, used in enumerate(uses)
    ]
    return Workload(components, steps, budgets)
