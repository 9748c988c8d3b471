"""What memory holds and what steps need of it: components, tiers, budgets. Pure, torch-free.

Two tiers lie above the disk, the accelerator and host memory. A component has
a home, the tier it must be on to be used; one whose home is the accelerator can also be parked on
the host. On a machine without an accelerator every home is the host, and nothing is ever parked.

A set of components is an int here: bit n stands for component n.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from functools import cached_property, lru_cache
from typing import Literal, NamedTuple

from sdgraph.errors import InvalidValueError, Problem

Order = tuple[int, ...]
"""The indices of all steps, each after those it comes after."""

NO_LIMIT = 1 << 62
"""The bytes of a tier without a budget."""


class Tier(StrEnum):
    """Where a component can be in memory; one that is on neither is on disk."""

    ACCELERATOR = "accelerator"
    HOST = "host"


@dataclass(frozen=True, slots=True)
class Item:
    """A component as memory sees it: its bytes there, those of its files, and its home."""

    name: str
    bytes: int
    file_bytes: int
    home: Tier = Tier.ACCELERATOR


@dataclass(frozen=True, slots=True)
class Need:
    """What one step needs: components all at once, working bytes on a tier, steps before it."""

    name: str
    leases: tuple[int, ...] = ()
    working: int = 0
    working_on: Tier = Tier.ACCELERATOR
    after: tuple[int, ...] = ()
    saves: bool = False
    """Whether it writes a file that a person waits for."""


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a component is at the start; a pinned one stays there whatever happens."""

    tier: Tier
    pinned: bool = False


@dataclass(frozen=True, slots=True)
class Budgets:
    """The bytes that components and working memory may take on each tier; None for no limit."""

    accelerator: int | None = None
    host: int | None = None

    def of(self, tier: Tier) -> int:
        """The budget of a tier as a number."""
        budget = self.accelerator if tier is Tier.ACCELERATOR else self.host
        return NO_LIMIT if budget is None else budget


@dataclass(frozen=True, slots=True)
class IndexAction:
    """One thing to do before a step runs."""

    kind: Literal["evict", "offload", "upload", "load"]
    component: int


class Moment(NamedTuple):
    """The sets of components that are dropped, moved down, moved up and loaded before a step."""

    place: int
    drop: int
    down: int
    up: int
    load: int

    def actions(self) -> tuple[IndexAction, ...]:
        """The same as actions, in the order in which they fit: room is made before it is taken."""
        return (
            *(IndexAction("evict", each) for each in members(self.drop)),
            *(IndexAction("offload", each) for each in members(self.down)),
            *(IndexAction("upload", each) for each in members(self.up)),
            *(IndexAction("load", each) for each in members(self.load)),
        )


@dataclass(frozen=True)
class Workload:
    """Components, the steps that need them, budgets, and what is in memory at the start.

    `start` is least recently used first. Raises InvalidValueError for a step that names what is not
    there, and for a component that starts where it cannot be.
    """

    components: Sequence[Item]
    steps: Sequence[Need]
    budgets: Budgets = Budgets()
    start: Mapping[int, Placement] = field(default_factory=dict)
    keeps: bool = True
    """Whether what no step will use stays while there is room, for a plan after this one."""

    def __post_init__(self) -> None:
        for step in self.steps:
            _check_indices(step.name, "components", step.leases, len(self.components))
            _check_indices(step.name, "steps", step.after, len(self.steps))
        _check_indices("the start", "components", tuple(self.start), len(self.components))
        for index, held in self.start.items():
            component = self.components[index]
            parked = held.tier is not component.home
            if parked and (held.pinned or component.home is Tier.HOST):
                wanted = f"its home, the {component.home}, or the host, where it is unpinned"
                raise InvalidValueError(
                    Problem(component.name, f"held on the {held.tier} at the start", wanted)
                )

    @cached_property
    def leases(self) -> list[int]:
        """For each step the set of components it leases."""
        return [as_set(step.leases) for step in self.steps]

    @cached_property
    def working(self) -> list[tuple[int, int]]:
        """For each step its working bytes on the accelerator and on the host."""
        return [
            (step.working, 0) if step.working_on is Tier.ACCELERATOR else (0, step.working)
            for step in self.steps
        ]

    @cached_property
    def needs(self) -> list[tuple[int, tuple[int, int]]]:
        """Each lease with working bytes that occurs, once: the kinds of steps."""
        return list(dict.fromkeys(zip(self.leases, self.working, strict=True)))

    @cached_property
    def kinds(self) -> list[int]:
        """For each step its place in `needs`."""
        known = {need: kind for kind, need in enumerate(self.needs)}
        return [known[need] for need in zip(self.leases, self.working, strict=True)]

    @cached_property
    def on_accelerator(self) -> int:
        """The set of components whose home is the accelerator."""
        home = Tier.ACCELERATOR
        return as_set(n for n, each in enumerate(self.components) if each.home is home)

    @cached_property
    def limits(self) -> tuple[int, int]:
        """The budgets of the accelerator and of the host as numbers."""
        return self.budgets.of(Tier.ACCELERATOR), self.budgets.of(Tier.HOST)

    @cached_property
    def pinned(self) -> int:
        """The set of components that must stay where they start."""
        return as_set(index for index, held in self.start.items() if held.pinned)

    def starts_on(self, tier: Tier) -> int:
        """The set of components that are on a tier at the start."""
        return as_set(index for index, held in self.start.items() if held.tier is tier)

    @cached_property
    def readers(self) -> list[list[int]]:
        """For each step those that come after it, ascending."""
        found: list[list[int]] = [[] for _ in self.steps]
        for index, step in enumerate(self.steps):
            for before in set(step.after):
                found[before].append(index)
        return found

    @cached_property
    def _places(self) -> dict[Order, list[list[int]]]:
        return {}

    def places(self, order: Order) -> list[list[int]]:
        """For each component the places in an order where it is leased, ascending."""
        if order not in self._places:
            found: list[list[int]] = [[] for _ in self.components]
            for place, index in enumerate(order):
                for component in self.steps[index].leases:
                    found[component].append(place)
            self._places[order] = found
        return self._places[order]

    @cached_property
    def size(self) -> Callable[[int], int]:
        """Gives the bytes of a set of components in memory."""
        return _Sums([each.bytes for each in self.components]).__getitem__

    @cached_property
    def file_size(self) -> Callable[[int], int]:
        """Gives the bytes of the files of a set of components."""
        return _Sums([each.file_bytes for each in self.components]).__getitem__

    @cached_property
    def least_loaded(self) -> int:
        """The bytes that any order and any eviction must read: what is used and not in memory."""
        used = 0
        for lease in self.leases:
            used |= lease
        return self.file_size(used & ~as_set(self.start))


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A tier whose budget is too small: what would do for every step, and the step that asks it."""

    tier: Tier
    budget: int
    smallest: int
    step: str

    def problem(self) -> Problem:
        """The same in words."""
        return Problem(
            self.step,
            f"a budget of {self.budget} bytes on the {self.tier}",
            f"at least {self.smallest} bytes: its components, what is pinned and its working "
            "memory, all at once",
            "a larger budget, fewer pinned components, a smaller picture or dtype, or offload",
        )


def shortfalls(workload: Workload) -> tuple[Shortfall, ...]:
    """Each tier whose budget some step cannot do with, even when it has all of it for itself."""
    found = []
    for number, tier in enumerate(Tier):
        budget = workload.budgets.of(tier)
        home = workload.on_accelerator if tier is Tier.ACCELERATOR else ~workload.on_accelerator
        smallest, step = 0, ""
        for need, lease, working in zip(
            workload.steps, workload.leases, workload.working, strict=True
        ):
            if lease & home or working[number]:
                wanted = workload.size((lease | workload.pinned) & home) + working[number]
                if wanted > smallest:
                    smallest, step = wanted, need.name
        if smallest > budget:
            found.append(Shortfall(tier, budget, smallest, step))
    return tuple(found)


def check(workload: Workload) -> None:
    """Raises InvalidValueError where some step cannot be done within the budgets."""
    found = shortfalls(workload)
    if found:
        raise InvalidValueError(each.problem() for each in found)


class _Sums(dict[int, int]):
    """For each set that was asked for the sum of its members' numbers."""

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__()
        self.numbers = numbers

    def __missing__(self, chosen: int) -> int:
        found = self[chosen] = sum([self.numbers[n] for n in members(chosen)])
        return found


def as_set(indices: Iterable[int]) -> int:
    """Indices of components as a set."""
    found = 0
    for index in indices:
        found |= 1 << index
    return found


@lru_cache(maxsize=1 << 12)
def members(chosen: int) -> tuple[int, ...]:
    """The indices in a set, ascending."""
    found = []
    while chosen:
        lowest = chosen & -chosen
        found.append(lowest.bit_length() - 1)
        chosen ^= lowest
    return tuple(found)


def _check_indices(subject: str, kind: str, indices: Sequence[int], count: int) -> None:
    wrong = [index for index in indices if not 0 <= index < count]
    if wrong:
        wanted = f"indices below {count}"
        raise InvalidValueError(Problem(subject, f"{kind} {wrong}", wanted))
