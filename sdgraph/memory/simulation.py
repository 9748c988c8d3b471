"""What happens to memory when the steps of a workload run in a given order.

The simulation, step by step:

1. `simulate` checks that each step alone is within the budgets.
2. For each step of the order, `find_deficit` says what the step lacks: components to upload from
   the host, components to load from disk, and the excess bytes on each tier.
3. If unused components are not kept (`Workload.keep_unused`) and the step lacks a component,
   everything in memory that no later step uses is evicted first, and the deficit is found again.
4. If a tier would be above its budget, the eviction policy chooses the victims: components that
   are evicted, or offloaded to the host. A policy cannot choose what the step requires or what is
   pinned, and its choice is checked.
5. The victims leave, then the missing components arrive at their homes. What is offloaded is on the
   host at the same time as what will be uploaded, which counts for the peak.
6. Bytes loaded, bytes moved and the peaks of both tiers are added up. The result is a `MemoryPlan`.

Between two changes of memory, a kind of step that had no deficit once has none again, so that a
long run of equal steps costs little.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import accumulate
from math import inf
from operator import or_
from typing import NamedTuple

from sdgraph.errors import InvalidValueError, Problem

from .bitsets import members
from .memory_plan import MemoryPlan, Transition
from .shortfall import check_budgets
from .vocabulary import Tier
from .workload import StepKind, Workload


class Victims(NamedTuple):
    """The sets of components that leave their tier."""

    evict: int
    """Dropped from either tier."""
    offload: int
    """Moved from the accelerator to the host."""


NO_VICTIMS = Victims(0, 0)


class Deficit(NamedTuple):
    """What a step lacks in memory as it is."""

    upload: int
    """The set of components that are offloaded to the host."""
    load: int
    """The set of components that are on disk."""
    accelerator_excess: int
    """The bytes that must leave the accelerator; none if not above 0."""
    host_excess: int
    """The bytes that must leave the host before anything is offloaded; none if not above 0."""
    offload_capacity: int
    """The bytes that may be offloaded, in addition to those that leave the host; may be below 0."""

    @property
    def over_budget(self) -> bool:
        """Whether something must leave memory."""
        return self.accelerator_excess > 0 or self.host_excess > 0

    @property
    def is_empty(self) -> bool:
        """Whether the step can run with memory as it is."""
        return not (self.upload or self.load or self.over_budget)


def find_deficit(workload: Workload, accelerator: int, host: int, kind: StepKind) -> Deficit:
    """What a step of this kind lacks while the tiers hold these sets of components."""
    required, working = kind
    homes, size = workload.on_accelerator, workload.size
    missing = required & ~(accelerator | host & ~homes)
    upload, load = missing & host, missing & ~host
    accelerator_excess = host_excess = 0
    host_growth = size(load & ~homes) + working[1] - size(upload)
    budget, host_budget = workload.limits
    host_free = host_budget - size(host)
    if required & homes or working[0]:
        accelerator_excess = size(accelerator | missing & homes) + working[0] - budget
    if required & ~homes or working[1]:
        host_excess = host_growth - host_free
    return Deficit(upload, load, accelerator_excess, host_excess, host_free - max(host_growth, 0))


def memory_after(
    workload: Workload, accelerator: int, host: int, deficit: Deficit, victims: Victims
) -> tuple[int, int]:
    """What the accelerator and the host hold once a step's components are at their homes."""
    homes, (evict, offload) = workload.on_accelerator, victims
    accelerator = accelerator & ~(evict | offload) | (deficit.upload | deficit.load) & homes
    return accelerator, (host & ~(evict | deficit.upload)) | offload | deficit.load & ~homes


@dataclass(slots=True)
class EvictionRequest:
    """The argument of an eviction policy, which chooses victims for a step over a budget."""

    workload: Workload
    position: int
    """The step's position in the order."""
    deficit: Deficit
    accelerator: int
    """The components that may leave the accelerator."""
    host: int
    """The components that may leave the host."""
    next_use: Callable[[int], float]
    """In how many steps a component is used again; infinite where no later step uses it."""
    last_use: Callable[[int], float]
    """When a component was last used: larger is later."""

    def is_met_by(self, victims: Victims) -> bool:
        """Whether enough bytes leave, and nothing leaves that must stay."""
        evict, offload = victims
        size, deficit = self.workload.size, self.deficit
        host_growth = size(offload) - size(evict & self.host)
        return (
            not evict & offload
            and not evict & ~(self.accelerator | self.host)
            and not offload & ~self.accelerator
            and size((evict | offload) & self.accelerator) >= deficit.accelerator_excess
            and host_growth <= (deficit.offload_capacity if offload else -deficit.host_excess)
        )


EvictionPolicy = Callable[[EvictionRequest], Victims]


def simulate(workload: Workload, order: Sequence[int], policy: EvictionPolicy) -> MemoryPlan:
    """What happens when the steps run in this order under this policy.

    Raises InvalidValueError if a step alone is above a budget, or if the policy chooses a component
    that must stay, or too few bytes.
    """
    check_budgets(workload)
    memory_plan = simulate_below(workload, order, policy, None)
    assert memory_plan is not None
    return memory_plan


def simulate_below(
    workload: Workload, order: Sequence[int], policy: EvictionPolicy, limit: tuple[int, int] | None
) -> MemoryPlan | None:
    """Like `simulate` without the check; None once bytes loaded and moved are above the limit."""
    return _Simulation(workload, order, policy).run(limit)


class _Simulation:
    """The state of memory along an order."""

    def __init__(self, workload: Workload, order: Sequence[int], policy: EvictionPolicy) -> None:
        self.workload = workload
        self.order = tuple(order)
        self.policy = policy
        self.position = 0
        self.accelerator = workload.starts_on(Tier.ACCELERATOR)
        self.host = workload.starts_on(Tier.HOST)
        self.peak_accelerator = workload.size(self.accelerator)
        self.peak_host = workload.size(self.host)
        self.bytes_loaded = self.bytes_moved = self.bytes_reloaded = 0
        self.were_in_memory = self.accelerator | self.host
        self.transitions: list[Transition] = []
        self.policy_was_needed = False

    def run(self, limit: tuple[int, int] | None) -> MemoryPlan | None:
        workload, kind_of, kinds = self.workload, self.workload.kind_of, self.workload.kinds
        without_deficit: set[int] = set()
        for position, step in enumerate(self.order):
            if kind_of[step] in without_deficit:
                continue
            kind = kinds[kind_of[step]]
            if kind.required or kind.working != (0, 0):
                self.position = position
                if self.prepare(kind):
                    without_deficit.clear()
                    # All that the steps require is loaded once, and some of it was loaded again.
                    least = workload.min_bytes_loaded + self.bytes_reloaded
                    if limit and (least, self.bytes_moved) > limit:
                        return None
                self.count_peaks(*kind.working)
            without_deficit.add(kind_of[step])
        return self.result()

    def prepare(self, kind: StepKind) -> bool:
        """Puts the components of a step at their homes; returns whether memory had to change."""
        workload = self.workload
        deficit = find_deficit(workload, self.accelerator, self.host, kind)
        unused = 0
        if not workload.keep_unused and (deficit.upload or deficit.load):
            unused = self.unused()
            self.accelerator, self.host = self.accelerator & ~unused, self.host & ~unused
            deficit = find_deficit(workload, self.accelerator, self.host, kind)
        victims = NO_VICTIMS
        if deficit.over_budget:
            victims = self.choose_victims(deficit, ~(kind.required | workload.pinned))
        if not (deficit.upload or deficit.load or victims.evict or victims.offload):
            return False
        self.change(deficit, victims, unused)
        return True

    def change(self, deficit: Deficit, victims: Victims, unused: int) -> None:
        """Changes memory, and counts what that costs."""
        workload, (evict, offload) = self.workload, victims
        # What is offloaded is on the host for a while together with what will be uploaded.
        self.peak_host = max(self.peak_host, workload.size(self.host & ~evict | offload))
        self.accelerator, self.host = memory_after(
            workload, self.accelerator, self.host, deficit, victims
        )
        self.bytes_loaded += workload.file_size(deficit.load)
        self.bytes_reloaded += workload.file_size(deficit.load & self.were_in_memory)
        self.were_in_memory |= deficit.load
        self.bytes_moved += workload.size(deficit.upload | offload)
        self.transitions.append(
            Transition(self.position, evict | unused, offload, deficit.upload, deficit.load)
        )

    def count_peaks(self, working_accelerator: int, working_host: int) -> None:
        size = self.workload.size
        self.peak_accelerator = max(
            self.peak_accelerator, size(self.accelerator) + working_accelerator
        )
        self.peak_host = max(self.peak_host, size(self.host) + working_host)

    def result(self) -> MemoryPlan:
        steps, order = self.workload.steps, self.order
        return MemoryPlan(
            self.workload,
            order,
            tuple(self.transitions),
            self.bytes_loaded,
            self.bytes_moved,
            sum(transition.load.bit_count() for transition in self.transitions),
            self.peak_accelerator,
            self.peak_host,
            next((n for n, step in enumerate(order) if steps[step].saves), len(order)),
            self.policy_was_needed,
        )

    def unused(self) -> int:
        """What is in memory, may leave it, and is not used from here on."""
        in_memory = self.accelerator | self.host
        return in_memory & ~(self.workload.pinned | self.used_from[self.position])

    def choose_victims(self, deficit: Deficit, may_leave: int) -> Victims:
        """The policy's victims, checked."""
        self.policy_was_needed = True
        request = EvictionRequest(
            self.workload,
            self.position,
            deficit,
            self.accelerator & may_leave,
            self.host & may_leave,
            self.next_use,
            self.last_use,
        )
        victims = self.policy(request)
        if not request.is_met_by(victims):
            raise InvalidValueError(
                Problem(
                    "the eviction policy",
                    f"evicts {list(members(victims.evict))}, offloads "
                    f"{list(members(victims.offload))}",
                    f"{deficit.accelerator_excess} bytes off the accelerator and "
                    f"{deficit.host_excess} off the host, of what may leave",
                )
            )
        return victims

    @cached_property
    def used_from(self) -> list[int]:
        """For each position the components that are required there or later."""
        required = [self.workload.required[step] for step in reversed(self.order)]
        return list(accumulate(required, or_))[::-1]

    @cached_property
    def use_positions(self) -> list[list[int]]:
        return self.workload.use_positions(self.order)

    def next_use(self, component: int) -> float:
        positions = self.use_positions[component]
        following = bisect_left(positions, self.position)
        return positions[following] - self.position if following < len(positions) else inf

    def last_use(self, component: int) -> float:
        positions = self.use_positions[component]
        following = bisect_left(positions, self.position)
        if following:
            return positions[following - 1]
        start_order = self.workload.start_order
        return start_order.index(component) - len(start_order)
