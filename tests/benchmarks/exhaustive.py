"""The least that any order and any eviction can load and move, by search over all states."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count

from sdgraph.memory import Tier
from sdgraph.memory.workload import Workload, members

State = tuple[int, int, int]
"""The sets of steps done, of components on the accelerator, and of components on the host."""


class Optimum:
    """An A* search; its bound is what is still used and not in memory (Hart et al. 1968)."""

    def __init__(self, workload: Workload, limit: int = 200_000) -> None:
        self.workload = workload
        self.limit = limit
        self.before = [sum({1 << n for n in step.after}) for step in workload.steps]
        self.all = (1 << len(workload.steps)) - 1

    def cost(self) -> tuple[int, int] | None:
        """Bytes loaded and bytes moved at the least; None when more states than the limit."""
        load = self.workload
        first = self.closed((0, load.starts_on(Tier.ACCELERATOR), load.starts_on(Tier.HOST)))
        order = count()
        queue = [((self.bound(first), 0), next(order), 0, first)]
        settled: dict[State, tuple[int, int]] = {}
        while queue:
            (estimate, moved), _, loaded, state = heapq.heappop(queue)
            if state[0] == self.all:
                return estimate, moved
            if state in settled and settled[state] <= (loaded, moved):
                continue
            settled[state] = loaded, moved
            if len(settled) > self.limit:
                return None
            for read, shifted, following in self.following(state):
                cost = loaded + read, moved + shifted
                if following not in settled or settled[following] > cost:
                    entry = (cost[0] + self.bound(following), cost[1]), next(order), cost[0]
                    heapq.heappush(queue, (*entry, following))
        raise AssertionError("no order fits the budgets")

    def bound(self, state: State) -> int:
        done, accelerator, host = state
        return self.workload.file_size(self.used(done) & ~(accelerator | host))

    def used(self, done: int) -> int:
        """The components that are used again."""
        found = 0
        for index, lease in enumerate(self.workload.leases):
            if not done >> index & 1:
                found |= lease
        return found

    def ready(self, done: int) -> Iterator[int]:
        for index, before in enumerate(self.before):
            if not done >> index & 1 and not before & ~done:
                yield index

    def closed(self, state: State) -> State:
        """The state after every step that needs nothing loaded, moved or evicted."""
        done, accelerator, host = state
        changed = True
        while changed:
            changed = False
            for index in self.ready(done):
                if next(iter(self.arrangements(index, accelerator, host, True)), None) is not None:
                    done, changed = done | 1 << index, True
        # What is dead costs nothing to drop, so states that differ only there are one.
        kept = self.used(done) | self.workload.pinned
        return done, accelerator & kept, host & kept

    def following(self, state: State) -> Iterator[tuple[int, int, State]]:
        done, accelerator, host = state
        seen = set()
        for index in self.ready(done):
            kind = self.workload.leases[index], self.workload.working[index]
            for read, moved, upper, lower in self.arrangements(index, accelerator, host, False):
                following = self.closed((done | 1 << index, upper, lower))
                if (kind, following) not in seen:
                    seen.add((kind, following))
                    yield read, moved, following

    def arrangements(
        self, index: int, accelerator: int, host: int, free: bool
    ) -> Iterator[tuple[int, int, int, int]]:
        """Every way to bring a step's components; only the one that does nothing where `free`."""
        load = self.workload
        size, homes, lease = load.size, load.on_accelerator, load.leases[index]
        working, working_host = load.working[index]
        missing = lease & ~(accelerator | host & ~homes)
        if free and missing:
            return
        up, read = missing & host, missing & ~host
        budget = load.budgets.of(Tier.ACCELERATOR) - working
        budget_host = load.budgets.of(Tier.HOST)
        stays = lease | load.pinned
        downs = (0,) if free else subsets(accelerator & ~stays)
        for down in downs:
            sufficient: list[int] = []
            movable = (accelerator & ~down | host) & ~stays
            for drop in (0,) if free else subsets(movable):
                if any(smaller & ~drop == 0 for smaller in sufficient):
                    continue
                upper = accelerator & ~(down | drop) | missing & homes
                between = host & ~drop | down
                lower = between & ~up | read & ~homes
                if (
                    size(upper) <= budget
                    and (not down or size(between) <= budget_host)
                    and size(lower) + working_host <= budget_host
                ):
                    sufficient.append(drop)
                    yield load.file_size(read), size(up | down), upper, lower


def subsets(chosen: int) -> list[int]:
    """Every subset of a set, each after its own subsets."""
    found = [0]
    for each in members(chosen):
        found += [subset | 1 << each for subset in found]
    return sorted(found, key=int.bit_count)
