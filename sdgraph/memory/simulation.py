"""A run of steps in an order, simulated; what goes when room is short is the policy's choice."""

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

from .workload import IndexAction, Moment, Order, Tier, Workload, check, members


class Eviction(NamedTuple):
    """The sets of components that leave: dropped from either tier, or moved down to the host."""

    drop: int
    down: int


NONE = Eviction(0, 0)
NOTHING = (0, 0)
"""The working memory of a step that has none."""


class Arrival(NamedTuple):
    """What a step needs brought to its home, and how much too little room there is for it."""

    up: int
    """The components that are parked on the host."""
    read: int
    """The components that are on disk."""
    short: int
    """The bytes that must leave the accelerator; none where not above 0."""
    short_host: int
    """The bytes that must leave the host before anything is moved down to it; likewise."""
    room: int
    """The bytes that may be moved down, beyond those that leave the host; may be below 0."""

    @property
    def nothing(self) -> bool:
        """Whether the step can run as memory is."""
        return not (self.up or self.read or self.short > 0 or self.short_host > 0)


def arrival(
    workload: Workload, accelerator: int, host: int, lease: int, working: tuple[int, int]
) -> Arrival:
    """What a step with this lease and working memory lacks, given what each tier holds."""
    homes, size = workload.on_accelerator, workload.size
    missing = lease & ~(accelerator | host & ~homes)
    up, read = missing & host, missing & ~host
    short = short_host = 0
    grows = size(read & ~homes) + working[1] - size(up)
    budget, budget_host = workload.limits
    room = budget_host - size(host)
    if lease & homes or working[0]:
        short = size(accelerator | missing & homes) + working[0] - budget
    if lease & ~homes or working[1]:
        short_host = grows - room
    return Arrival(up, read, short, short_host, room - max(grows, 0))


@dataclass(slots=True)
class Shortage:
    """Too little room for a step: what may leave, how much must, and when each is used again."""

    workload: Workload
    place: int
    """The step's place in the order."""
    arrival: Arrival
    accelerator: int
    """The components that may leave the accelerator."""
    host: int
    """The components that may leave the host."""
    next_use: Callable[[int], float]
    """How many steps later a component is used again; infinite for a dead one."""
    last_use: Callable[[int], float]
    """When a component was last used: the larger, the later."""

    def permits(self, gone: Eviction) -> bool:
        """Whether nothing leaves that must stay, and enough does."""
        drop, down = gone
        size, lacks = self.workload.size, self.arrival
        net = size(down) - size(drop & self.host)
        return (
            not drop & down
            and not drop & ~(self.accelerator | self.host)
            and not down & ~self.accelerator
            and size((drop | down) & self.accelerator) >= lacks.short
            and net <= (lacks.room if down else -lacks.short_host)
        )


Policy = Callable[[Shortage], Eviction]
"""Says what goes when there is too little room for a step."""


@dataclass(frozen=True)
class Simulation:
    """What happens when the steps run in this order: the actions before each, and the totals."""

    order: Order
    moments: tuple[Moment, ...]
    """The places where something is done, ascending."""
    bytes_loaded: int
    bytes_moved: int
    loads: int
    peak_accelerator: int
    """The most bytes of components and working memory at once."""
    peak_host: int
    first_saved: int
    """The place of the first step that saves a file; the number of steps where none does."""
    short: bool
    """Whether there was ever too little room, so that the policy was asked."""

    @property
    def cost(self) -> tuple[int, int, int, int, int]:
        """What is compared, the first that differs deciding: less is better."""
        return (
            self.bytes_loaded,
            self.bytes_moved,
            self.peak_accelerator,
            self.peak_host,
            self.first_saved,
        )

    @cached_property
    def actions(self) -> tuple[tuple[IndexAction, ...], ...]:
        """For each place in the order what is done before its step, in the order of doing."""
        found: list[tuple[IndexAction, ...]] = [()] * len(self.order)
        for moment in self.moments:
            found[moment.place] = moment.actions()
        return tuple(found)


def arranged(
    workload: Workload, accelerator: int, host: int, lacks: Arrival, gone: Eviction
) -> tuple[int, int]:
    """What the accelerator and the host hold when a step's components are at their homes."""
    homes, (drop, down) = workload.on_accelerator, gone
    upper = accelerator & ~(drop | down) | (lacks.up | lacks.read) & homes
    return upper, (host & ~(drop | lacks.up)) | down | lacks.read & ~homes


def simulate(workload: Workload, order: Sequence[int], policy: Policy) -> Simulation:
    """What happens when the steps run in this order under this policy.

    Before a step, what must leave is dropped or moved down, then what it leases is moved up or
    loaded; where the workload keeps nothing, what is dead is dropped before that. Raises
    InvalidValueError where a step cannot be done within the budgets, or where the policy lets go of
    what must stay, or of too little.
    """
    check(workload)
    found = simulate_within(workload, order, policy, None)
    assert found is not None
    return found


def simulate_within(
    workload: Workload, order: Sequence[int], policy: Policy, limit: tuple[int, int] | None
) -> Simulation | None:
    """The same unchecked, or None as soon as bytes loaded and moved are above the limit."""
    return _Walk(workload, order, policy).run(limit)


class _Walk:
    """The state of memory along an order."""

    def __init__(self, workload: Workload, order: Sequence[int], policy: Policy) -> None:
        self.workload = workload
        self.order = tuple(order)
        self.policy = policy
        self.place = 0
        self.accelerator = workload.starts_on(Tier.ACCELERATOR)
        self.host = workload.starts_on(Tier.HOST)
        self.peak = workload.size(self.accelerator)
        self.peak_host = workload.size(self.host)
        self.loaded = self.moved = self.reloaded = 0
        self.had = self.accelerator | self.host
        self.moments: list[Moment] = []
        self.short = False

    def run(self, limit: tuple[int, int] | None) -> Simulation | None:
        load, kinds, needs = self.workload, self.workload.kinds, self.workload.needs
        ready: set[int] = set()
        for place, index in enumerate(self.order):
            # Between two changes of memory a need that was met once is met again.
            if kinds[index] in ready:
                continue
            lease, working = needs[kinds[index]]
            if lease or working != NOTHING:
                self.place = place
                if self.prepare(lease, working):
                    ready.clear()
                    # In the end all is loaded that ever must be, and this beside it.
                    if limit and (load.least_loaded + self.reloaded, self.moved) > limit:
                        return None
                self.peak = max(self.peak, load.size(self.accelerator) + working[0])
                self.peak_host = max(self.peak_host, load.size(self.host) + working[1])
            ready.add(kinds[index])
        first = next((n for n, i in enumerate(self.order) if load.steps[i].saves), len(self.order))
        loads = sum(moment.load.bit_count() for moment in self.moments)
        return Simulation(
            self.order,
            tuple(self.moments),
            self.loaded,
            self.moved,
            loads,
            self.peak,
            self.peak_host,
            first,
            self.short,
        )

    def prepare(self, lease: int, working: tuple[int, int]) -> bool:
        """Makes room and brings what is leased to its home; whether anything had to be done."""
        load = self.workload
        lacks = arrival(load, self.accelerator, self.host, lease, working)
        dead = 0
        if not load.keeps and (lacks.up or lacks.read):
            dead = self.dead()
            self.accelerator, self.host = self.accelerator & ~dead, self.host & ~dead
            lacks = arrival(load, self.accelerator, self.host, lease, working)
        drop, down = NONE
        if lacks.short > 0 or lacks.short_host > 0:
            drop, down = self.evict(lacks, ~(lease | load.pinned))
        if not (lacks.up or lacks.read or drop or down):
            return False
        # What is moved down is on the host for a while together with what will be moved up.
        self.peak_host = max(self.peak_host, load.size(self.host & ~drop | down))
        self.accelerator, self.host = arranged(
            load, self.accelerator, self.host, lacks, Eviction(drop, down)
        )
        self.loaded += load.file_size(lacks.read)
        self.reloaded += load.file_size(lacks.read & self.had)
        self.had |= lacks.read
        self.moved += load.size(lacks.up | down)
        self.moments.append(Moment(self.place, drop | dead, down, lacks.up, lacks.read))
        return True

    def dead(self) -> int:
        """What is in memory, may leave it, and is not used from here on."""
        return (self.accelerator | self.host) & ~(self.workload.pinned | self.used[self.place])

    def evict(self, lacks: Arrival, free: int) -> Eviction:
        """What the policy lets go, if it may."""
        self.short = True
        shortage = Shortage(
            self.workload,
            self.place,
            lacks,
            self.accelerator & free,
            self.host & free,
            self.next_use,
            self.last_use,
        )
        drop, down = found = self.policy(shortage)
        if not shortage.permits(found):
            raise InvalidValueError(
                Problem(
                    "the eviction policy",
                    f"drops {list(members(drop))}, moves down {list(members(down))}",
                    f"{lacks.short} bytes off the accelerator and {lacks.short_host} off the "
                    "host, of what may leave",
                )
            )
        return found

    @cached_property
    def used(self) -> list[int]:
        """For each place the components that are leased there or later."""
        leases = [self.workload.leases[index] for index in reversed(self.order)]
        return list(accumulate(leases, or_))[::-1]

    @cached_property
    def places(self) -> list[list[int]]:
        return self.workload.places(self.order)

    def next_use(self, component: int) -> float:
        places = self.places[component]
        found = bisect_left(places, self.place)
        return places[found] - self.place if found < len(places) else inf

    def last_use(self, component: int) -> float:
        places = self.places[component]
        found = bisect_left(places, self.place)
        if found:
            return places[found - 1]
        start = list(self.workload.start)
        return start.index(component) - len(start)
