"""A plan's moves while it runs: as foreseen where memory is as foreseen, else thought out anew.

Memory may differ from the plan: a step was skipped because its result turned out to be known, a
checkpoint that another node made is known only now, another run shares the components, a person
pinned or unloaded one, a file was larger than its header said.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from sdgraph.errors import InvalidValueError

from .planner import (
    Action,
    Component,
    ComponentKey,
    MemoryContents,
    MemoryLimits,
    Requirement,
    actions_for_step,
    apply_actions,
    plan_in_order,
)
from .workload import Placement, Tier


class Replanner:
    """What is to be done to memory before each step of one run; asked in the order of the plan."""

    def __init__(
        self,
        demands: Sequence[Requirement],
        moves: Sequence[tuple[Action, ...]],
        device: str,
        limits: MemoryLimits,
        held: MemoryContents,
    ) -> None:
        self._demands = list(demands)
        self._moves = dict(enumerate(moves))
        self._device = device
        self._limits = limits
        self._expected = _tiers(held)
        self._next = 0
        self.deviations = 0
        """How often memory was not as foreseen."""

    def actions_before(
        self, place: int, residents: Sequence[Component], held: MemoryContents
    ) -> tuple[Action, ...]:
        """The moves before the step at a place, which needs these components, memory being so.

        Raises InvalidValueError where a budget that was set is too small for the step alone.
        """
        if self._differs(place, residents, held):
            self.deviations += 1
            self._demands[place] = replace(self._demands[place], components=tuple(residents))
            self._think_again(place, held)
        self._next = place + 1
        moves = self._moves.get(place, ())
        self._expected = apply_actions(_tiers(held), moves)
        return moves

    def _differs(self, place: int, residents: Sequence[Component], held: MemoryContents) -> bool:
        if any(self._moves.get(skipped) for skipped in range(self._next, place)):
            return True
        if {each.key for each in residents} != {e.key for e in self._demands[place].components}:
            return True
        if _tiers(held) != self._expected:
            return True
        pinned = {each.key for each, at in held.items() if at.pinned}
        return any(
            action.kind in ("evict", "offload") and action.component.key in pinned
            for action in self._moves.get(place, ())
        )

    def _think_again(self, place: int, held: MemoryContents) -> None:
        """Takes moves for this place and all after it from what is held now."""
        alone = replace(self._demands[place], after=())
        free = {each: replace(at, pinned=False) for each, at in held.items()}
        plan_in_order(
            [alone], self._device, self._limits, free
        )  # raises where it can never be done
        try:
            told = plan_in_order(self._demands[place:], self._device, self._limits, held)
        except InvalidValueError:
            # What others hold is in the way, now or later: make do for this step.
            self._moves = {place: actions_for_step(alone, self._device, self._limits, held)}
        else:
            self._moves = dict(enumerate(told.actions, place))


def _tiers(held: Mapping[Component, Placement]) -> dict[ComponentKey, Tier]:
    return {each.key: at.tier for each, at in held.items()}
