"""The actions of a plan while it runs; they are planned again when memory differs from the plan.

Memory can differ because a step was skipped (its result turned out to be stored), a checkpoint
that another node made is known only now, another run shares the components, a user pinned or
unloaded one, or a file was larger than its header said.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from sdgraph.errors import InvalidValueError

from .planner import actions_for_step, apply_actions, plan_in_order
from .vocabulary import (
    Action,
    Component,
    ComponentKey,
    MemoryContents,
    MemoryLimits,
    Requirement,
    Tier,
)


class Replanner:
    """Gives the actions before each step of one run; called for the steps in the plan's order.

    Args:
        requirements: The steps in the order in which they run.
        actions: The planned actions before each step.
        limits: The bytes that the run may use.
        contents: What was in memory when the plan was made.
    """

    def __init__(
        self,
        requirements: Sequence[Requirement],
        actions: Sequence[tuple[Action, ...]],
        limits: MemoryLimits,
        contents: MemoryContents,
    ) -> None:
        self._requirements = list(requirements)
        self._actions = dict(enumerate(actions))
        self._limits = limits
        self._expected = _tiers(contents)
        self._next = 0
        self.deviations = 0
        """How often memory was not as planned."""

    def actions_before(
        self, position: int, components: Sequence[Component], contents: MemoryContents
    ) -> tuple[Action, ...]:
        """The actions before the step at a position.

        Args:
            position: The step's position in the plan.
            components: What the step requires, as it is known now.
            contents: What is in memory now.

        Raises:
            InvalidValueError: An enforced budget is too small for the step alone.
        """
        if self._deviates(position, components, contents):
            self.deviations += 1
            self._requirements[position] = replace(
                self._requirements[position], components=tuple(components)
            )
            self._replan(position, contents)
        self._next = position + 1
        actions = self._actions.get(position, ())
        self._expected = apply_actions(_tiers(contents), actions)
        return actions

    def _deviates(
        self, position: int, components: Sequence[Component], contents: MemoryContents
    ) -> bool:
        if any(self._actions.get(skipped) for skipped in range(self._next, position)):
            return True
        planned = self._requirements[position].components
        if {component.key for component in components} != {component.key for component in planned}:
            return True
        if _tiers(contents) != self._expected:
            return True
        pinned = {component.key for component, placement in contents.items() if placement.pinned}
        return any(
            action.kind in ("evict", "offload") and action.component.key in pinned
            for action in self._actions.get(position, ())
        )

    def _replan(self, position: int, contents: MemoryContents) -> None:
        """Plans this step and all after it from what is in memory now."""
        step = self._requirements[position]
        unpinned = {
            component: replace(placement, pinned=False) for component, placement in contents.items()
        }
        plan_in_order([step], self._limits, unpinned)  # raises where the step can never run
        try:
            plan = plan_in_order(self._requirements[position:], self._limits, contents)
        except InvalidValueError:
            # Components that other runs use leave too little memory: plan for this step alone.
            self._actions = {position: actions_for_step(step, self._limits, contents)}
        else:
            self._actions = dict(enumerate(plan.actions, position))


def _tiers(contents: MemoryContents) -> dict[ComponentKey, Tier]:
    return {component.key: placement.tier for component, placement in contents.items()}
