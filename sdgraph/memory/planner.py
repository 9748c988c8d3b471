"""What a run will do to memory: which components are loaded, moved and let go before each step.

The pure planner below knows numbers; here are the components that a graph names, by their keys.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from sdgraph.errors import InvalidValueError

from .eviction import least_recently_used, soonest_kept
from .ordering import best_plan
from .simulation import Simulation, simulate
from .workload import Budgets, Item, Need, Order, Placement, Tier, Workload, shortfalls


class ComponentKey(NamedTuple):
    """Identity, dtype and device: what makes two components one."""

    identity: str
    dtype: str
    device: str


class Component(NamedTuple):
    """A component that is in memory or will be: its bytes there, and those of its files."""

    key: ComponentKey
    name: str
    bytes: int
    file_bytes: int

    @property
    def home(self) -> Tier:
        """Where it must be to be used."""
        return Tier.HOST if self.key.device == "cpu" else Tier.ACCELERATOR


MemoryContents = Mapping[Component, Placement]
"""What is in memory, least recently used first."""


class Action(NamedTuple):
    """One thing done to a component before a step: dropped, moved down or up a tier, or loaded."""

    kind: Literal["evict", "offload", "upload", "load"]
    component: Component


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one step asks of memory, and which steps it comes after."""

    name: str
    components: tuple[Component, ...] = ()
    working: int = 0
    """The bytes it works with beside its components, on the device; an estimate."""
    after: tuple[int, ...] = ()
    saves: bool = False


UNLIMITED = Budgets()


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """The bytes there are on each tier, and those that a person has set and that must do."""

    available: Budgets = UNLIMITED
    enforced: Budgets = UNLIMITED
    keep_unused: bool = True
    """Whether what a run will not use again stays while there is room, for the next run."""


@dataclass(frozen=True)
class MemoryPlan:
    """The order in which steps run, the moves before each, and how much memory they take."""

    order: Order
    actions: tuple[tuple[Action, ...], ...]
    """For each place in the order."""
    peak_accelerator: int = 0
    peak_host: int = 0
    warnings: tuple[str, ...] = ()
    """Where the memory that was found free is less than a step alone needs: in words."""


def plan_memory(
    demands: Sequence[Requirement], device: str, limits: MemoryLimits, held: MemoryContents
) -> MemoryPlan:
    """The cheapest order that was found, and what happens in it.

    Raises InvalidValueError where a step alone is above a budget that was set.
    """
    scene = _Scene(demands, device, limits, held)
    return scene.told(best_plan(scene.workload))


def plan_in_order(
    demands: Sequence[Requirement], device: str, limits: MemoryLimits, held: MemoryContents
) -> MemoryPlan:
    """What happens when the steps run in the order given; raises InvalidValueError likewise."""
    scene = _Scene([replace(each, after=()) for each in demands], device, limits, held)
    return scene.told(simulate(scene.workload, range(len(demands)), soonest_kept))


def actions_for_step(
    demand: Requirement, device: str, limits: MemoryLimits, held: MemoryContents
) -> tuple[Action, ...]:
    """The moves before one step of which no more is known: the least recently used go first.

    Where even that is too little, all goes that can.
    """
    limits = replace(limits, enforced=UNLIMITED, keep_unused=True)
    scene = _Scene([replace(demand, after=())], device, limits, held)
    if not scene.warnings:
        return scene.told(simulate(scene.workload, (0,), least_recently_used)).actions[0]
    leased = {each.key for each in demand.components}
    gone = [each for each, at in held.items() if not at.pinned and each.key not in leased]
    rest = {each: at for each, at in held.items() if each not in gone}
    after = _Scene([replace(demand, after=())], device, MemoryLimits(), rest)
    return (
        *(Action("evict", each) for each in gone),
        *after.told(simulate(after.workload, (0,), least_recently_used)).actions[0],
    )


def evictions_over_budget(limits: MemoryLimits, held: MemoryContents) -> tuple[Action, ...]:
    """What must go for the limits to hold between steps: the least recently used, if it may."""
    gone = []
    for tier in Tier:
        here = [(each, at) for each, at in held.items() if at.tier is tier]
        above = sum(each.bytes for each, _ in here) - limits.available.of(tier)
        for each, at in here:
            if above > 0 and not at.pinned:
                gone.append(Action("evict", each))
                above -= each.bytes
    return tuple(gone)


def plan_prefetch(
    demands: Sequence[Requirement],
    moves: Sequence[tuple[Action, ...]],
    device: str,
    limits: MemoryLimits,
    held: MemoryContents,
) -> tuple[tuple[Component, ...], ...]:
    """For each place in the order the components whose files are read while its step computes.

    They are the next that are loaded, as far as host memory has room for them beside all else.
    """
    found: list[tuple[Component, ...]] = [()] * len(demands)
    tiers = {each.key: at.tier for each, at in held.items()}
    sizes = {each.key: each.bytes for each in held}
    start: int | None = None
    most = 0
    for place, (demand, here) in enumerate(zip(demands, moves, strict=True)):
        loads = [action.component for action in here if action.kind == "load"]
        if loads and start is not None:
            spare = limits.available.of(Tier.HOST) - most
            found[start] = _that_fit(loads, spare)
        tiers = apply_actions(tiers, here)
        sizes.update((each.key, each.bytes) for each in demand.components)
        working = demand.working if device == "cpu" else 0
        on_host = sum(sizes[key] for key, tier in tiers.items() if tier is Tier.HOST) + working
        if loads or start is None:
            start, most = (place if demand.components else None), on_host
        most = max(most, on_host)
    return tuple(found)


def _that_fit(loads: Sequence[Component], spare: int) -> tuple[Component, ...]:
    """The first of these whose files, if they have any, take no more than the spare bytes."""
    taken = []
    for each in loads:
        spare -= each.file_bytes
        if spare < 0:
            break
        if each.file_bytes:
            taken.append(each)
    return tuple(taken)


def apply_actions(
    tiers: Mapping[ComponentKey, Tier], moves: Sequence[Action]
) -> dict[ComponentKey, Tier]:
    """Where components are after some moves."""
    found = dict(tiers)
    for kind, component in moves:
        if kind == "evict":
            found.pop(component.key, None)
        else:
            found[component.key] = Tier.HOST if kind == "offload" else component.home
    return found


class _Scene:
    """A workload, and the components that its numbers stand for."""

    def __init__(
        self,
        demands: Sequence[Requirement],
        device: str,
        limits: MemoryLimits,
        held: MemoryContents,
    ) -> None:
        known: dict[ComponentKey, Component] = {each.key: each for each in held}
        for demand in demands:
            for each in demand.components:
                known.setdefault(each.key, each)
        self.demands = demands
        self.components = tuple(known.values())
        place = {key: n for n, key in enumerate(known)}
        where = Tier.HOST if device == "cpu" else Tier.ACCELERATOR
        workload = Workload(
            [Item(e.name, e.bytes, e.file_bytes, e.home) for e in self.components],
            [
                Need(
                    demand.name,
                    tuple(sorted({place[each.key] for each in demand.components})),
                    demand.working,
                    where,
                    demand.after,
                    demand.saves,
                )
                for demand in demands
            ],
            limits.available,
            {place[each.key]: at for each, at in held.items()},
            limits.keep_unused,
        )
        self.workload, self.warnings = _that_fits(workload, limits.enforced)

    def told(self, simulation: Simulation) -> MemoryPlan:
        """A simulation in terms of components, each by the name it was last loaded under."""
        named = {each.key: each for each in self.components}
        moves: list[tuple[Action, ...]] = [()] * len(simulation.order)
        for moment in simulation.moments:
            here = self.demands[simulation.order[moment.place]].components
            done = []
            for action in moment.actions():
                kind, key = action.kind, self.components[action.component].key
                if kind == "load":
                    named[key] = next(each for each in here if each.key == key)
                done.append(Action(kind, named[key]))
            moves[moment.place] = tuple(done)
        return MemoryPlan(
            simulation.order,
            tuple(moves),
            simulation.peak_accelerator,
            simulation.peak_host,
            self.warnings,
        )


def _that_fits(workload: Workload, asked: Budgets) -> tuple[Workload, tuple[str, ...]]:
    """The workload without the measured limits that some step is above, and those in words.

    What was measured is a guess, which a run may try; what was asked for holds.
    """
    found = shortfalls(workload)
    strict = [each for each in found if _asked(asked, each.tier) is not None]
    if strict:
        raise InvalidValueError(each.problem() for each in strict)
    if not found:
        return workload, ()
    free = {each.tier.value: None for each in found}
    words = tuple(
        f"{each.step} needs {each.smallest} bytes on the {each.tier}, and {each.budget} are free"
        for each in found
    )
    return replace(workload, budgets=replace(workload.budgets, **free)), words


def _asked(budgets: Budgets, tier: Tier) -> int | None:
    return budgets.accelerator if tier is Tier.ACCELERATOR else budgets.host
