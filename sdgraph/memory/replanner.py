"""A plan's moves while it runs: as foreseen where memory is as foreseen, else thought out anew.

Memory may differ from the plan: a step was skipped because its result turned out to be known, a
checkpoint that another node made is known only now, another run shares the components, a person
pinned or unloaded one, a file was larger than its header said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sdgraph.errors import InvalidValueError

from .planner import Demand, Key, Move, Residence, Resident, Room, continued, moved, room_for
from .workload import Held, Tier


class Itinerary:
    """What is to be done to memory before each step of one run; asked in the order of the plan."""

    def __init__(
        self,
        demands: Sequence[Demand],
        moves: Sequence[tuple[Move, ...]],
        device: str,
        room: Room,
        held: Residence,
    ) -> None:
        self._demands = list(demands)
        self._moves = dict(enumerate(moves))
        self._device = device
        self._room = room
        self._expected = _tiers(held)
        self._next = 0
        self.strayed = 0
        """How often memory was not as foreseen."""

    def before(
        self, place: int, residents: Sequence[Resident], held: Residence
    ) -> tuple[Move, ...]:
        """The moves before the step at a place, which needs these components, memory being so.

        Raises InvalidValueError where a budget that was set is too small for the step alone.
        """
        if self._differs(place, residents, held):
            self.strayed += 1
            self._demands[place] = replace(self._demands[place], residents=tuple(residents))
            self._think_again(place, held)
        self._next = place + 1
        moves = self._moves.get(place, ())
        self._expected = moved(_tiers(held), moves)
        return moves

    def _differs(self, place: int, residents: Sequence[Resident], held: Residence) -> bool:
        if any(self._moves.get(skipped) for skipped in range(self._next, place)):
            return True
        if {each.key for each in residents} != {e.key for e in self._demands[place].residents}:
            return True
        if _tiers(held) != self._expected:
            return True
        pinned = {each.key for each, at in held.items() if at.pinned}
        return any(
            move.kind in ("drop", "down") and move.resident.key in pinned
            for move in self._moves.get(place, ())
        )

    def _think_again(self, place: int, held: Residence) -> None:
        """Takes moves for this place and all after it from what is held now."""
        alone = replace(self._demands[place], after=())
        free = {each: replace(at, pinned=False) for each, at in held.items()}
        continued([alone], self._device, self._room, free)  # raises where it can never be done
        try:
            told = continued(self._demands[place:], self._device, self._room, held)
        except InvalidValueError:
            # What others hold is in the way, now or later: make do for this step.
            self._moves = {place: room_for(alone, self._device, self._room, held)}
        else:
            self._moves = dict(enumerate(told.moves, place))


def _tiers(held: Mapping[Resident, Held]) -> dict[Key, Tier]:
    return {each.key: at.tier for each, at in held.items()}
