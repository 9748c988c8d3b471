"""The fewest bytes that any order and eviction can load and move, by exhaustive search."""

from __future__ import annotations

import heapq
from collections.abc import Iterator
from itertools import count

from sdgraph.memory import Tier
from sdgraph.memory.bitsets import members
from sdgraph.memory.workload import Workload

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
        workload = self.workload
        first = self.closed(
            (0, workload.starts_on(Tier.ACCELERATOR), workload.starts_on(Tier.HOST))
        )
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
        used = 0
        for index, required in enumerate(self.workload.required):
            if not done >> index & 1:
                used |= required
        return used

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
        # What no later step uses costs nothing to evict, so states that differ only there are one.
        kept = self.used(done) | self.workload.pinned
        return done, accelerator & kept, host & kept

    def following(self, state: State) -> Iterator[tuple[int, int, State]]:
        done, accelerator, host = state
        tried = set()
        for index in self.ready(done):
            kind = self.workload.required[index], self.workload.working[index]
            for read, moved, upper, lower in self.arrangements(index, accelerator, host, False):
                following = self.closed((done | 1 << index, upper, lower))
                if (kind, following) not in tried:
                    tried.add((kind, following))
                    yield read, moved, following

    def arrangements(
        self, index: int, accelerator: int, host: int, free: bool
    ) -> Iterator[tuple[int, int, int, int]]:
        """Every way to bring a step's components; only the one that does nothing where `free`."""
        workload = self.workload
        size, homes, required = workload.size, workload.on_accelerator, workload.required[index]
        working, working_host = workload.working[index]
        missing = required & ~(accelerator | host & ~homes)
        if free and missing:
            return
        upload, read = missing & host, missing & ~host
        budget, budget_host = workload.limits
        budget -= working
        stays = required | workload.pinned
        offloads = (0,) if free else subsets(accelerator & ~stays)
        for offload in offloads:
            sufficient: list[int] = []
            movable = (accelerator & ~offload | host) & ~stays
            for evict in (0,) if free else subsets(movable):
                if any(smaller & ~evict == 0 for smaller in sufficient):
                    continue
                upper = accelerator & ~(offload | evict) | missing & homes
                between = host & ~evict | offload
                lower = between & ~upload | read & ~homes
                if (
                    size(upper) <= budget
                    and (not offload or size(between) <= budget_host)
                    and size(lower) + working_host <= budget_host
                ):
                    sufficient.append(evict)
                    yield workload.file_size(read), size(upload | offload), upper, lower


def subsets(bits: int) -> list[int]:
    """Every subset of a set, each after its own subsets."""
    every = [0]
    for member in members(bits):
        every += [subset | 1 << member for subset in every]
    return sorted(every, key=int.bit_count)
