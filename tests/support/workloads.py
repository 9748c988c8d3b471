"""Workloads for tests: any that Hypothesis may think of, and an interpreter of what is planned."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace

from hypothesis import strategies as st

from sdgraph.memory import Budgets, Placement, Tier
from sdgraph.memory.eviction import (
    farthest_next_use,
    largest_kept,
    least_recently_used,
    smallest_first,
    soonest_kept,
)
from sdgraph.memory.simulation import Simulation
from sdgraph.memory.workload import IndexAction, Item, Need, Workload

NAMED = {
    "soonest_kept": soonest_kept,
    "largest_kept": largest_kept,
    "farthest_next_use": farthest_next_use,
    "least_recently_used": least_recently_used,
    "smallest_first": smallest_first,
}
POLICIES = tuple(NAMED.values())
ACCELERATOR, HOST = Tier.ACCELERATOR, Tier.HOST


def workloads(max_steps: int = 8, *, limited: bool = True) -> st.SearchStrategy[Workload]:
    """Any workload that can be done; with budgets, some barely large enough.

    Made from a seed, for Hypothesis's own draws take far longer than what is tested.
    """
    numbers = st.integers(0, 2**32), st.integers(0, max_steps), st.integers(1, 6)
    plain = st.builds(made, *numbers, st.just(limited))
    return st.builds(lambda each, keeps: replace(each, keeps=keeps), plain, st.booleans())


def made(seed: int, count: int, parts: int, limited: bool) -> Workload:
    chance = random.Random(seed)
    tiers = chance.choice([list(Tier), list(Tier), [HOST], [ACCELERATOR]])
    components = [
        Item(f"c{n}", chance.randint(0, 9), chance.randint(0, 9), chance.choice(tiers))
        for n in range(parts)
    ]
    turns = chance.sample(range(count), count)
    steps: dict[int, Need] = {}
    for turn, index in enumerate(turns):
        steps[index] = Need(
            chance.choice("abc") + str(index),
            tuple(chance.sample(range(parts), chance.randint(0, min(4, parts)))),
            chance.choice((0, 0, 1, 4)),
            chance.choice(tiers),
            tuple(chance.choices(turns[:turn], k=chance.randint(0, 3)) if turn else ()),
            chance.random() < 0.3,
        )
    start = {}
    for index in chance.sample(range(parts), chance.randint(0, parts // 2)):
        home = components[index].home
        pinned = chance.random() < 0.3
        start[index] = Placement(home if pinned else chance.choice((home, HOST)), pinned)
    free = Workload(components, [steps[n] for n in range(count)], start=start)
    if not limited:
        return free
    accelerator, host = (
        None if chance.random() < 0.2 else least_for(free, tier) + chance.choice((0, 0, 2, 5, 9))
        for tier in Tier
    )
    return replace(free, budgets=Budgets(accelerator, host))


def least_for(workload: Workload, tier: Tier) -> int:
    """The smallest budget that holds the start and each step by itself, worked out plainly."""
    parts = workload.components
    pinned = {n for n, held in workload.start.items() if held.pinned}
    wanted = [sum(parts[n].bytes for n, held in workload.start.items() if held.tier is tier)]
    for step in workload.steps:
        there = {n for n in pinned | set(step.leases) if parts[n].home is tier}
        wanted.append(
            sum(parts[n].bytes for n in there) + (step.working if step.working_on is tier else 0)
        )
    return max(wanted)


class Memory:
    """Does actions one by one, and knows nothing of how they were chosen."""

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.at = {index: held.tier for index, held in workload.start.items()}
        self.pinned = {index for index, held in workload.start.items() if held.pinned}
        self.loaded = self.moved = self.loads = 0
        self.peaks = {tier: self.used(tier) for tier in Tier}

    def used(self, tier: Tier) -> int:
        return sum(self.workload.components[n].bytes for n, at in self.at.items() if at is tier)

    def within_budgets(self, step: Need | None = None) -> None:
        for tier in Tier:
            working = step.working if step and step.working_on is tier else 0
            self.peaks[tier] = max(self.peaks[tier], self.used(tier) + working)
            assert self.used(tier) + working <= self.workload.budgets.of(tier)

    def do(self, action: IndexAction, step: Need) -> None:
        index = action.component
        component = self.workload.components[index]
        if action.kind in ("evict", "offload"):
            assert index not in self.pinned
            assert index not in step.leases
        match action.kind:
            case "evict":
                del self.at[index]
            case "offload":
                assert self.at[index] is ACCELERATOR
                self.at[index] = HOST
                self.moved += component.bytes
            case "upload":
                assert self.at[index] is HOST
                assert component.home is ACCELERATOR
                self.at[index] = ACCELERATOR
                self.moved += component.bytes
            case "load":
                assert index not in self.at
                self.at[index] = component.home
                self.loaded += component.file_bytes
                self.loads += 1

    def run(self, plan: Simulation) -> None:
        steps = self.workload.steps
        for index, actions in zip(plan.order, plan.actions, strict=True):
            for action in actions:
                self.do(action, steps[index])
                self.within_budgets()
            for leased in steps[index].leases:
                assert self.at[leased] is self.workload.components[leased].home
            self.within_budgets(steps[index])


def assert_true_to_its_word(workload: Workload, plan: Simulation) -> None:
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


def one_after_another(
    sizes: Sequence[int], uses: Sequence[Sequence[int]], budgets: Budgets, home: Tier = ACCELERATOR
) -> Workload:
    components = [Item(f"c{n}", size, size, home) for n, size in enumerate(sizes)]
    steps = [
        Need(f"s{n}", tuple(leases), after=(n - 1,) if n else ()) for n, leases in enumerate(uses)
    ]
    return Workload(components, steps, budgets)
