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
from .workload import Budgets, Component, Held, Need, Order, Tier, Workload, shortfalls

Key = tuple[str, str, str]
"""Identity, dtype and device: what makes two components one."""


class Resident(NamedTuple):
    """A component that is in memory or will be: its bytes there, and those of its files."""

    key: Key
    name: str
    bytes: int
    file_bytes: int

    @property
    def home(self) -> Tier:
        """Where it must be to be used."""
        return Tier.HOST if self.key[2] == "cpu" else Tier.ACCELERATOR


Residence = Mapping[Resident, Held]
"""What is in memory, least recently used first."""


class Move(NamedTuple):
    """One thing done to a component before a step: dropped, moved down or up a tier, or loaded."""

    kind: Literal["drop", "down", "up", "load"]
    resident: Resident


@dataclass(frozen=True, slots=True)
class Demand:
    """What one step asks of memory, and which steps it comes after."""

    name: str
    residents: tuple[Resident, ...] = ()
    working: int = 0
    """The bytes it works with beside its components, on the device; an estimate."""
    after: tuple[int, ...] = ()
    saves: bool = False


UNBOUND = Budgets()


@dataclass(frozen=True, slots=True)
class Room:
    """The bytes there are on each tier, and those that a person has set and that must do."""

    limits: Budgets = UNBOUND
    asked: Budgets = UNBOUND
    keeps: bool = True
    """Whether what a run will not use again stays while there is room, for the next run."""


@dataclass(frozen=True)
class Forecast:
    """The order in which steps run, the moves before each, and how much memory they take."""

    order: Order
    moves: tuple[tuple[Move, ...], ...]
    """For each place in the order."""
    peak_accelerator: int = 0
    peak_host: int = 0
    short: tuple[str, ...] = ()
    """Where the memory that was found free is less than a step alone needs: in words."""


def forecast(demands: Sequence[Demand], device: str, room: Room, held: Residence) -> Forecast:
    """The cheapest order that was found, and what happens in it.

    Raises InvalidValueError where a step alone is above a budget that was set.
    """
    scene = _Scene(demands, device, room, held)
    return scene.told(best_plan(scene.workload))


def continued(demands: Sequence[Demand], device: str, room: Room, held: Residence) -> Forecast:
    """What happens when the steps run in the order given; raises InvalidValueError likewise."""
    scene = _Scene([replace(each, after=()) for each in demands], device, room, held)
    return scene.told(simulate(scene.workload, range(len(demands)), soonest_kept))


def room_for(demand: Demand, device: str, room: Room, held: Residence) -> tuple[Move, ...]:
    """The moves before one step of which no more is known: the least recently used go first.

    Where even that is too little, all goes that can.
    """
    room = replace(room, asked=UNBOUND, keeps=True)
    scene = _Scene([replace(demand, after=())], device, room, held)
    if not scene.short:
        return scene.told(simulate(scene.workload, (0,), least_recently_used)).moves[0]
    leased = {each.key for each in demand.residents}
    gone = [each for each, at in held.items() if not at.pinned and each.key not in leased]
    rest = {each: at for each, at in held.items() if each not in gone}
    after = _Scene([replace(demand, after=())], device, Room(), rest)
    return (
        *(Move("drop", each) for each in gone),
        *after.told(simulate(after.workload, (0,), least_recently_used)).moves[0],
    )


def excess(room: Room, held: Residence) -> tuple[Move, ...]:
    """What must go for the limits to hold between steps: the least recently used, if it may."""
    gone = []
    for tier in Tier:
        here = [(each, at) for each, at in held.items() if at.tier is tier]
        above = sum(each.bytes for each, _ in here) - room.limits.of(tier)
        for each, at in here:
            if above > 0 and not at.pinned:
                gone.append(Move("drop", each))
                above -= each.bytes
    return tuple(gone)


def read_ahead(
    demands: Sequence[Demand],
    moves: Sequence[tuple[Move, ...]],
    device: str,
    room: Room,
    held: Residence,
) -> tuple[tuple[Resident, ...], ...]:
    """For each place in the order the components whose files are read while its step computes.

    They are the next that are loaded, as far as host memory has room for them beside all else.
    """
    found: list[tuple[Resident, ...]] = [()] * len(demands)
    tiers = {each.key: at.tier for each, at in held.items()}
    sizes = {each.key: each.bytes for each in held}
    start: int | None = None
    most = 0
    for place, (demand, here) in enumerate(zip(demands, moves, strict=True)):
        loads = [move.resident for move in here if move.kind == "load"]
        if loads and start is not None:
            spare = room.limits.of(Tier.HOST) - most
            found[start] = _that_fit(loads, spare)
        tiers = moved(tiers, here)
        sizes.update((each.key, each.bytes) for each in demand.residents)
        working = demand.working if device == "cpu" else 0
        on_host = sum(sizes[key] for key, tier in tiers.items() if tier is Tier.HOST) + working
        if loads or start is None:
            start, most = (place if demand.residents else None), on_host
        most = max(most, on_host)
    return tuple(found)


def _that_fit(loads: Sequence[Resident], spare: int) -> tuple[Resident, ...]:
    """The first of these whose files, if they have any, take no more than the spare bytes."""
    taken = []
    for each in loads:
        spare -= each.file_bytes
        if spare < 0:
            break
        if each.file_bytes:
            taken.append(each)
    return tuple(taken)


def moved(tiers: Mapping[Key, Tier], moves: Sequence[Move]) -> dict[Key, Tier]:
    """Where components are after some moves."""
    found = dict(tiers)
    for kind, resident in moves:
        if kind == "drop":
            found.pop(resident.key, None)
        else:
            found[resident.key] = Tier.HOST if kind == "down" else resident.home
    return found


class _Scene:
    """A workload, and the components that its numbers stand for."""

    def __init__(self, demands: Sequence[Demand], device: str, room: Room, held: Residence) -> None:
        known: dict[Key, Resident] = {each.key: each for each in held}
        for demand in demands:
            for each in demand.residents:
                known.setdefault(each.key, each)
        self.demands = demands
        self.residents = tuple(known.values())
        place = {key: n for n, key in enumerate(known)}
        where = Tier.HOST if device == "cpu" else Tier.ACCELERATOR
        workload = Workload(
            [Component(e.name, e.bytes, e.file_bytes, e.home) for e in self.residents],
            [
                Need(
                    demand.name,
                    tuple(sorted({place[each.key] for each in demand.residents})),
                    demand.working,
                    where,
                    demand.after,
                    demand.saves,
                )
                for demand in demands
            ],
            room.limits,
            {place[each.key]: at for each, at in held.items()},
            room.keeps,
        )
        self.workload, self.short = _that_fits(workload, room.asked)

    def told(self, simulation: Simulation) -> Forecast:
        """A simulation in terms of components, each by the name it was last loaded under."""
        named = {each.key: each for each in self.residents}
        moves: list[tuple[Move, ...]] = [()] * len(simulation.order)
        for moment in simulation.moments:
            here = self.demands[simulation.order[moment.place]].residents
            done = []
            for action in moment.actions():
                kind, key = action.kind, self.residents[action.component].key
                if kind == "load":
                    named[key] = next(each for each in here if each.key == key)
                done.append(Move(kind, named[key]))
            moves[moment.place] = tuple(done)
        return Forecast(
            simulation.order,
            tuple(moves),
            simulation.peak_accelerator,
            simulation.peak_host,
            self.short,
        )


def _that_fits(workload: Workload, asked: Budgets) -> tuple[Workload, tuple[str, ...]]:
    """The workload without the measured limits that some step is above, and those in words.

    What was measured is a guess, which a run may try; what was asked for holds.
    """
    found = shortfalls(workload)
    strict = [each for each in found if _asked(asked, each.tier) is not None]
    if strict:
        raise InvalidValueError("\n".join(str(each.problem()) for each in strict))
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
