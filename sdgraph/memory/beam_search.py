"""Searches the order of steps and the evictions together, looking ahead.

A beam search (Lowerre 1976). It keeps the best few states of memory, each with the order and the
evictions that lead there:

1. The beam starts with the state before the first change of memory (`StateSpace.initial_state`).
2. Each state of the beam has one candidate for each kind of step that can run: load or upload what
   the kind lacks, with the victims that `keep_soonest_used` chooses. Candidates are ranked by the
   lower bound of the bytes loaded and moved at the end, then by the bytes of this change alone.
3. The best candidates are tried with other victims too (`_other_victims`).
4. Each of these is carried out. A state whose lower bound is not below the best end is dropped. An
   end, where nothing is left to run, becomes the best end and lowers that limit.
5. Two states are equal if memory (as far as it is used later) and the number of steps left of each
   kind are equal; only the cheapest of them stays. These states are the next beam, ranked by lower
   bound.
6. When the beam is empty, the best end gives the order and, by `replay`, a policy that evicts as
   the search did.

When a component is used next depends on the order, which is not known during the search. It is
guessed from an earlier order: at first the order of the workload, then the greedy order.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from math import inf
from typing import Any, NamedTuple

from .bitsets import bitset, members
from .eviction import keep_largest, keep_soonest_used
from .search_state import SearchState, StateSpace
from .simulation import (
    NO_VICTIMS,
    Deficit,
    EvictionPolicy,
    EvictionRequest,
    Victims,
    find_deficit,
    memory_after,
)
from .workload import Order, Workload


class _Candidate(NamedTuple):
    """One way to go on from a state: bring what one kind of step lacks."""

    rank: tuple[int, ...]
    """Lower bounds of bytes loaded and moved, bytes loaded and moved now, the first step."""
    state: SearchState
    kind: int
    deficit: Deficit
    victims: Victims


class BeamSearch:
    """Finds orders and evictions together.

    Each step of the workload stands for a group of steps in the orders that are returned.
    """

    def __init__(self, workload: Workload, groups: Sequence[Sequence[int]]) -> None:
        self.workload = workload
        self.groups = groups
        self.space = StateSpace(workload)
        self.kinds, self.kind_of = workload.kinds, workload.kind_of
        self._set_expected_order(range(len(self.kind_of)))
        self.start = self.space.initial_state()
        self.lower_bound = self.space.lower_bound(self.start, self.space.used_later(self.start))

    def greedy_order(self) -> tuple[Order, int]:
        """The order that always loads the fewest bytes next, and how many choices it made."""
        state, choices = self.start, 0
        while state.ready:
            state = self._follow(
                min(self._candidates(state), key=lambda candidate: candidate.rank[2:])
            )
            choices += 1
        self._set_expected_order([step for candidate in state.path() for step in candidate.ran])
        return self.replay(state)[0], choices

    def search(self, width: int, limit: tuple[int, int]) -> SearchState | None:
        """The cheapest end that is found below a limit on bytes loaded and moved.

        For each choice about `width` candidates are tried with other victims, and about as many
        are followed.
        """
        beam, best_end = [self.start], None
        while beam:
            reached: dict[Any, tuple[tuple[int, ...], SearchState]] = {}
            for candidate in self._vary_victims(self._ranked_candidates(beam, width), width):
                if candidate.rank[:2] >= limit:
                    continue
                state = self._follow(candidate)
                used = self.space.used_later(state)
                bound = self.space.lower_bound(state, used)
                if bound >= limit:
                    continue
                if not state.ready:
                    limit, best_end = bound, state
                    continue
                key = state.accelerator & used, state.host & used, tuple(state.remaining)
                rank = (*bound, sum(state.remaining))
                if key not in reached or rank < reached[key][0]:
                    reached[key] = rank, state
            ranked = sorted(reached.values(), key=lambda entry: entry[0])
            beam = [state for rank, state in ranked if rank[:2] < limit]
        return best_end

    def replay(self, end: SearchState) -> tuple[Order, EvictionPolicy]:
        """The order that led to an end, and the policy that evicts as the search did."""
        path = end.path()
        victims_before = {
            self.groups[state.ran[0]][0]: state.victims for state in path if state.ran
        }
        order = tuple(step for state in path for group in state.ran for step in self.groups[group])

        def policy(request: EvictionRequest) -> Victims:
            # The search keeps unused components while they fit; the workload may not.
            evict, offload = victims_before[order[request.position]]
            in_memory = request.accelerator | request.host
            return Victims(evict & in_memory, offload & in_memory)

        return order, policy

    def _set_expected_order(self, order: Iterable[int]) -> None:
        """Sets the order from which the next use of each component is guessed."""
        self.positions = [0] * len(self.kind_of)
        self.steps_by_position: list[list[int]] = [[] for _ in self.kinds]
        for position, step in enumerate(order):
            self.positions[step] = position
            self.steps_by_position[self.kind_of[step]].append(step)

    def _follow(self, candidate: _Candidate) -> SearchState:
        _, state, kind, deficit, victims = candidate
        return self.space.next_state(state, kind, deficit, victims)

    def _ranked_candidates(self, beam: Sequence[SearchState], width: int) -> list[_Candidate]:
        """The candidates of the best states of a beam, about `width` of them, best first."""
        candidates: list[_Candidate] = []
        for state in beam:
            if len(candidates) < width:
                candidates += self._candidates(state)
        return sorted(candidates, key=lambda candidate: candidate.rank)

    def _candidates(self, state: SearchState) -> list[_Candidate]:
        """For each kind of step that can run, the way to go on that keeps what is used soonest."""
        workload, next_uses = self.workload, self._next_uses(state)
        used = bitset(next_uses)
        candidates = []
        for kind in state.ready:
            deficit = find_deficit(workload, state.accelerator, state.host, self.kinds[kind])
            victims = NO_VICTIMS
            if deficit.over_budget:
                victims = keep_soonest_used(self._request(state, kind, deficit, next_uses))
            candidates.append(self._candidate(state, kind, deficit, victims, used))
        return candidates

    def _vary_victims(self, candidates: list[_Candidate], width: int) -> Iterator[_Candidate]:
        """The candidates, each followed by the same step with other victims; about `width`."""
        count = 0
        for candidate in candidates:
            if count >= width:
                return
            _, state, kind, deficit, own_victims = candidate
            for victims in self._other_victims(candidate):
                count += 1
                if victims == own_victims:
                    yield candidate
                else:
                    used = bitset(self._next_uses(state))
                    yield self._candidate(state, kind, deficit, victims, used)

    def _candidate(
        self, state: SearchState, kind: int, deficit: Deficit, victims: Victims, used: int
    ) -> _Candidate:
        workload = self.workload
        loaded = workload.file_size(deficit.load)
        moved = workload.size(deficit.upload | victims.offload)
        accelerator, host = memory_after(workload, state.accelerator, state.host, deficit, victims)
        bytes_loaded = (
            state.bytes_loaded + loaded + workload.file_size(used & ~(accelerator | host))
        )
        bytes_moved = (
            state.bytes_moved + moved + workload.size(used & host & workload.on_accelerator)
        )
        rank = bytes_loaded, bytes_moved, loaded, moved, min(state.ready[kind])
        return _Candidate(rank, state, kind, deficit, victims)

    def _request(
        self, state: SearchState, kind: int, deficit: Deficit, next_uses: Mapping[int, int]
    ) -> EvictionRequest:
        may_leave = ~(self.kinds[kind].required | self.workload.pinned)
        now = min(next_uses.values(), default=0) - 1

        def next_use(component: int) -> float:
            return next_uses[component] - now if component in next_uses else inf

        return EvictionRequest(
            self.workload,
            0,
            deficit,
            state.accelerator & may_leave,
            state.host & may_leave,
            next_use,
            next_use,
        )

    def _other_victims(self, candidate: _Candidate) -> Iterable[Victims]:
        """The victims that are tried for a candidate's step, each once.

        1. The candidate's own.
        2. Those of a policy that keeps what the other steps that can run now require.
        3. Those of `keep_largest`.
        4. For each of the candidate's own victims that is used later: those without it.
        """
        _, state, kind, deficit, own_victims = candidate
        if own_victims == NO_VICTIMS:
            return (NO_VICTIMS,)
        next_uses = self._next_uses(state)
        used_now = 0
        for other in state.ready:
            if other != kind:
                used_now |= self.kinds[other].required

        def next_use_by_readiness(component: int) -> float:
            return inf if component not in next_uses else 1 if used_now >> component & 1 else 2

        request = self._request(state, kind, deficit, next_uses)
        by_readiness = replace(request, next_use=next_use_by_readiness)
        choices = [own_victims, keep_soonest_used(by_readiness), keep_largest(request)]
        for component in members((own_victims.evict | own_victims.offload) & bitset(next_uses)):
            others = ~(1 << component)
            without = replace(
                request, accelerator=request.accelerator & others, host=request.host & others
            )
            victims = keep_soonest_used(without)
            if without.is_met_by(victims):
                choices.append(victims)
        return dict.fromkeys(choices)

    def _next_uses(self, state: SearchState) -> dict[int, int]:
        """For each component that is used later, the expected position of its first use."""
        next_uses: dict[int, int] = {}
        for kind, count in enumerate(state.remaining):
            if count:
                steps, head = self.steps_by_position[kind], state.heads[kind]
                while state.waits_for[steps[head]] < 0:
                    head += 1
                state.heads[kind] = head
                position = self.positions[steps[head]]
                for component in members(self.kinds[kind].required):
                    if next_uses.get(component, inf) > position:
                        next_uses[component] = position
        return next_uses
