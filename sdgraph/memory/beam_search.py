"""The order of steps and what leaves memory when, searched together, with an eye to what follows.

A beam search (Lowerre 1976): it keeps the best few of the states that memory can be in, each with
the order and the evictions that lead there.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, NamedTuple

from .eviction import largest_kept, soonest_kept
from .simulation import NONE, Arrival, Eviction, Policy, Shortage, arranged, arrival
from .workload import Order, Tier, Workload, as_set, members


class _Option(NamedTuple):
    """One way to go on from a state: bring what one kind of step needs."""

    rank: tuple[int, ...]
    state: _State
    kind: int
    lacks: Arrival
    gone: Eviction


@dataclass(slots=True)
class _State:
    """How far a search has come: what is in memory, what can run, and how it came there."""

    loaded: int
    moved: int
    accelerator: int
    host: int
    waits: list[int]
    """For each step how many it waits for; below 0 when it has run."""
    ready: dict[int, list[int]]
    """The steps that can run, by kind; the lists are never changed."""
    left: list[int]
    """For each kind how many of its steps have not run."""
    heads: list[int]
    """For each kind where to look for its first step that has not run, by rank."""
    came: _State | None = None
    gone: Eviction = NONE
    ran: list[int] = field(default_factory=list)
    """The steps that ran since the state it came from, after what went."""


class Search:
    """Orders and evictions, searched together.

    Each step of the workload stands for a group of steps in orders that are given back.
    """

    def __init__(self, workload: Workload, groups: Sequence[Sequence[int]]) -> None:
        self.workload = workload
        self.groups = groups
        self.kinds, self.needs = workload.kinds, workload.needs
        self._rank(range(len(self.kinds)))
        self.start = self._start()
        self.least = self._bound(self.start, self._used(self.start))

    def nearest(self) -> tuple[Order, int]:
        """The order that always takes the fewest bytes next, and how many times it chose."""
        state, choices = self.start, 0
        while state.ready:
            state = self._after(min(self._options(state), key=lambda each: each.rank[2:]))
            choices += 1
        self._rank([step for each in _trail(state) for step in each.ran])
        return self.replay(state)[0], choices

    def best(self, share: int, limit: tuple[int, int]) -> _State | None:
        """The cheapest end that is found below a limit on loaded and moved.

        For each choice about `share` ways to go on are weighed, and about as many are gone.
        """
        beam, found = [self.start], None
        while beam:
            options: list[_Option] = []
            for state in beam:
                if len(options) < share:
                    options += self._options(state)
            reached: dict[Any, tuple[tuple[int, ...], _State]] = {}
            for option in self._widened(sorted(options, key=lambda each: each.rank), share):
                if option.rank[:2] >= limit:
                    continue
                state = self._after(option)
                used = self._used(state)
                bound = self._bound(state, used)
                if bound >= limit:
                    continue
                if not state.ready:
                    limit, found = bound, state
                    continue
                # Steps of one kind are alike, so the same number left is the same state.
                key = state.accelerator & used, state.host & used, tuple(state.left)
                rank = (*bound, sum(state.left))
                if key not in reached or rank < reached[key][0]:
                    reached[key] = rank, state
            ranked = sorted(reached.values(), key=lambda each: each[0])
            beam = [state for rank, state in ranked if rank[:2] < limit]
        return found

    def replay(self, end: _State) -> tuple[Order, Policy]:
        """The order that led to a state, and the policy that evicts as it did."""
        trail = _trail(end)
        script = {self.groups[state.ran[0]][0]: state.gone for state in trail if state.ran}
        order = tuple(step for state in trail for group in state.ran for step in self.groups[group])

        def policy(shortage: Shortage) -> Eviction:
            # The search keeps what is dead while there is room; the workload need not.
            drop, down = script[order[shortage.place]]
            there = shortage.accelerator | shortage.host
            return Eviction(drop & there, down & there)

        return order, policy

    def _rank(self, order: Iterable[int]) -> None:
        """Takes an order by which to guess when each component is needed again."""
        self.ranks = [0] * len(self.kinds)
        self.by_rank: list[list[int]] = [[] for _ in self.needs]
        for rank, step in enumerate(order):
            self.ranks[step] = rank
            self.by_rank[self.kinds[step]].append(step)

    def _start(self) -> _State:
        load = self.workload
        left = [0] * len(self.needs)
        for kind in self.kinds:
            left[kind] += 1
        waits = [len(step.after) for step in load.steps]
        ready: dict[int, list[int]] = {}
        for step, waiting in enumerate(waits):
            if not waiting:
                ready.setdefault(self.kinds[step], []).append(step)
        upper, lower = load.starts_on(Tier.ACCELERATOR), load.starts_on(Tier.HOST)
        state = _State(0, 0, upper, lower, waits, ready, left, [0] * len(left))
        self._run(state, None)
        return state

    def _after(self, option: _Option) -> _State:
        state = option.state
        load, (up, read) = self.workload, option.lacks[:2]
        after = _State(
            state.loaded + load.file_size(read),
            state.moved + load.size(up | option.gone.down),
            *arranged(load, state.accelerator, state.host, option.lacks, option.gone),
            state.waits.copy(),
            state.ready.copy(),
            state.left.copy(),
            state.heads.copy(),
            state,
            option.gone,
        )
        self._run(after, option.kind)
        return after

    def _run(self, state: _State, first: int | None) -> None:
        """Runs the steps of a kind, and all that memory as it is then has room for: it is free."""
        free = self._free(state)
        waits, kinds, ready, ran = state.waits, self.kinds, state.ready, state.ran
        now = [kind for kind in ready if free[kind] and kind != first]
        stack = sorted([step for kind in now for step in ready.pop(kind)], reverse=True)
        if first is not None:
            stack += sorted(ready.pop(first), reverse=True)
        waiting: dict[int, list[int]] = {}
        while stack:
            step = stack.pop()
            ran.append(step)
            waits[step] = -1
            state.left[kinds[step]] -= 1
            for reader in self.workload.readers[step]:
                waits[reader] -= 1
                if not waits[reader]:
                    kind = kinds[reader]
                    (stack if free[kind] else waiting.setdefault(kind, [])).append(reader)
        for kind, steps in waiting.items():
            ready[kind] = [*ready.get(kind, ()), *steps]

    def _free(self, state: _State) -> list[bool]:
        """For each kind whether nothing must be brought or evicted for its steps."""
        load, upper, lower = self.workload, state.accelerator, state.host
        here = upper | lower & ~load.on_accelerator
        return [
            not lease & ~here and arrival(load, upper, lower, lease, working).nothing
            for lease, working in self.needs
        ]

    def _used(self, state: _State) -> int:
        """The components that are used again."""
        found = 0
        for (lease, _), left in zip(self.needs, state.left, strict=True):
            if left:
                found |= lease
        return found

    def _bound(self, state: _State, used: int) -> tuple[int, int]:
        """The bytes loaded and moved that this state's end has at the least."""
        load, memory = self.workload, state.accelerator | state.host
        return (
            state.loaded + load.file_size(used & ~memory),
            state.moved + load.size(used & state.host & load.on_accelerator),
        )

    def _options(self, state: _State) -> list[_Option]:
        """For each kind of step that can run the way to go on that evicts by what is known."""
        found, ranks = [], self._next_ranks(state)
        for kind in state.ready:
            lacks = arrival(self.workload, state.accelerator, state.host, *self.needs[kind])
            gone = NONE
            if lacks.short > 0 or lacks.short_host > 0:
                gone = soonest_kept(self._shortage(state, kind, lacks, ranks))
            found.append(self._option(state, kind, lacks, gone, as_set(ranks)))
        return found

    def _widened(self, options: list[_Option], share: int) -> Iterator[_Option]:
        """About that many: the options, each with other evictions after it."""
        count = 0
        for option in options:
            if count >= share:
                return
            for gone in self._evictions(option):
                count += 1
                yield (
                    option
                    if gone == option.gone
                    else self._option(
                        option.state,
                        option.kind,
                        option.lacks,
                        gone,
                        as_set(self._next_ranks(option.state)),
                    )
                )

    def _option(
        self, state: _State, kind: int, lacks: Arrival, gone: Eviction, used: int
    ) -> _Option:
        load = self.workload
        read, moved = load.file_size(lacks.read), load.size(lacks.up | gone.down)
        upper, lower = arranged(load, state.accelerator, state.host, lacks, gone)
        bound = (
            state.loaded + read + load.file_size(used & ~(upper | lower)),
            state.moved + moved + load.size(used & lower & load.on_accelerator),
        )
        return _Option((*bound, read, moved, min(state.ready[kind])), state, kind, lacks, gone)

    def _shortage(
        self, state: _State, kind: int, lacks: Arrival, ranks: Mapping[int, int]
    ) -> Shortage:
        stays = ~(self.needs[kind][0] | self.workload.pinned)
        now = min(ranks.values(), default=0) - 1

        def next_use(component: int) -> float:
            return ranks[component] - now if component in ranks else inf

        return Shortage(
            self.workload,
            0,
            lacks,
            state.accelerator & stays,
            state.host & stays,
            next_use,
            next_use,
        )

    def _evictions(self, option: _Option) -> Iterable[Eviction]:
        """Its own; by what else can run; the cheapest; and without each that its own has."""
        state, gone = option.state, option.gone
        if gone == NONE:
            return (NONE,)
        ranks = self._next_ranks(state)
        near = 0
        for other in state.ready:
            if other != option.kind:
                near |= self.needs[other][0]

        def by_readiness(component: int) -> float:
            return inf if component not in ranks else 1 if near >> component & 1 else 2

        base = self._shortage(state, option.kind, option.lacks, ranks)
        found = [gone, soonest_kept(replace(base, next_use=by_readiness)), largest_kept(base)]
        for each in members((gone.drop | gone.down) & as_set(ranks)):
            rest = ~(1 << each)
            kept = replace(base, accelerator=base.accelerator & rest, host=base.host & rest)
            without = soonest_kept(kept)
            if kept.permits(without):
                found.append(without)
        return dict.fromkeys(found)

    def _next_ranks(self, state: _State) -> dict[int, int]:
        """For each component that is used again the rank of the first step that uses it."""
        found: dict[int, int] = {}
        for kind, left in enumerate(state.left):
            if left:
                steps, head = self.by_rank[kind], state.heads[kind]
                while state.waits[steps[head]] < 0:
                    head += 1
                state.heads[kind] = head
                rank = self.ranks[steps[head]]
                for component in members(self.needs[kind][0]):
                    if found.get(component, inf) > rank:
                        found[component] = rank
        return found


def _trail(end: _State) -> list[_State]:
    """The states that led to one, and itself."""
    trail = [end]
    while trail[-1].came is not None:
        trail.append(trail[-1].came)
    return trail[::-1]
