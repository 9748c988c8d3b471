"""The states of a search over orders: what has run, what can run, what is in memory."""

from __future__ import annotations

from dataclasses import dataclass, field

from .simulation import NO_VICTIMS, Deficit, Victims, find_deficit, memory_after
from .vocabulary import Tier
from .workload import Workload


@dataclass(slots=True)
class SearchState:
    """A state of the search: what is in memory, what can run, and the state before it."""

    bytes_loaded: int
    bytes_moved: int
    accelerator: int
    host: int
    waits_for: list[int]
    """For each step how many steps it waits for; below 0 once it has run."""
    ready: dict[int, list[int]]
    """The steps that can run, by kind; the lists are never changed."""
    remaining: list[int]
    """For each kind how many of its steps have not run."""
    heads: list[int]
    """For each kind where to look for its first step that has not run (see `BeamSearch`)."""
    previous: SearchState | None = None
    victims: Victims = NO_VICTIMS
    """What left memory after the previous state."""
    ran: list[int] = field(default_factory=list)
    """The steps that ran since the previous state, after the victims left."""

    def path(self) -> list[SearchState]:
        """The states that led to this one, and this one."""
        states = [self]
        while states[-1].previous is not None:
            states.append(states[-1].previous)
        return states[::-1]


class StateSpace:
    """The states of a workload and the transitions between them.

    From one state to the next, memory changes once, for the steps of one kind. Then every step runs
    that needs no other change: that costs nothing, so no order needs to delay it.
    """

    def __init__(self, workload: Workload) -> None:
        self.workload = workload
        self.kinds, self.kind_of = workload.kinds, workload.kind_of

    def initial_state(self) -> SearchState:
        """The state before the first change of memory."""
        workload = self.workload
        remaining = [0] * len(self.kinds)
        for kind in self.kind_of:
            remaining[kind] += 1
        waits_for = [len(step.after) for step in workload.steps]
        ready: dict[int, list[int]] = {}
        for step, count in enumerate(waits_for):
            if not count:
                ready.setdefault(self.kind_of[step], []).append(step)
        accelerator, host = workload.starts_on(Tier.ACCELERATOR), workload.starts_on(Tier.HOST)
        heads = [0] * len(remaining)
        state = SearchState(0, 0, accelerator, host, waits_for, ready, remaining, heads)
        self._run(state, None)
        return state

    def next_state(
        self, state: SearchState, kind: int, deficit: Deficit, victims: Victims
    ) -> SearchState:
        """The state after the victims have left and what one kind of step lacks has arrived."""
        workload = self.workload
        following = SearchState(
            state.bytes_loaded + workload.file_size(deficit.load),
            state.bytes_moved + workload.size(deficit.upload | victims.offload),
            *memory_after(workload, state.accelerator, state.host, deficit, victims),
            state.waits_for.copy(),
            state.ready.copy(),
            state.remaining.copy(),
            state.heads.copy(),
            state,
            victims,
        )
        self._run(following, kind)
        return following

    def _run(self, state: SearchState, first: int | None) -> None:
        """Runs the steps of one kind, and every step that needs no change of memory."""
        needs_no_change = self._kinds_without_deficit(state)
        waits_for, kind_of, ready = state.waits_for, self.kind_of, state.ready
        free = [kind for kind in ready if needs_no_change[kind] and kind != first]
        stack = sorted([step for kind in free for step in ready.pop(kind)], reverse=True)
        if first is not None:
            stack += sorted(ready.pop(first), reverse=True)
        became_ready: dict[int, list[int]] = {}
        while stack:
            step = stack.pop()
            state.ran.append(step)
            waits_for[step] = -1
            state.remaining[kind_of[step]] -= 1
            for dependent in self.workload.dependents[step]:
                waits_for[dependent] -= 1
                if not waits_for[dependent]:
                    kind = kind_of[dependent]
                    if needs_no_change[kind]:
                        stack.append(dependent)
                    else:
                        became_ready.setdefault(kind, []).append(dependent)
        for kind, steps in became_ready.items():
            ready[kind] = [*ready.get(kind, ()), *steps]

    def _kinds_without_deficit(self, state: SearchState) -> list[bool]:
        """For each kind whether its steps can run with memory as it is."""
        workload, accelerator, host = self.workload, state.accelerator, state.host
        at_home = accelerator | host & ~workload.on_accelerator
        return [
            not kind.required & ~at_home
            and find_deficit(workload, accelerator, host, kind).is_empty
            for kind in self.kinds
        ]

    def used_later(self, state: SearchState) -> int:
        """The components that the steps which have not run require."""
        used = 0
        for kind, count in zip(self.kinds, state.remaining, strict=True):
            if count:
                used |= kind.required
        return used

    def lower_bound(self, state: SearchState, used: int) -> tuple[int, int]:
        """The least bytes that are loaded and moved in any end that this state leads to."""
        workload, in_memory = self.workload, state.accelerator | state.host
        return (
            state.bytes_loaded + workload.file_size(used & ~in_memory),
            state.bytes_moved + workload.size(used & state.host & workload.on_accelerator),
        )
