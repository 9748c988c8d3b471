"""The memory plan: the order of the steps, the changes of memory before each, and their cost."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from .bitsets import members
from .vocabulary import Action, Component
from .workload import Order, Workload


class Transition(NamedTuple):
    """The sets of components that change place before the step at a position."""

    position: int
    evict: int
    offload: int
    upload: int
    load: int


@dataclass(frozen=True)
class MemoryPlan:
    """The order in which steps run, the actions before each, and how much memory they take."""

    workload: Workload = field(repr=False, compare=False)
    order: Order
    """The indices of the steps, in the order in which they run."""
    transitions: tuple[Transition, ...]
    """Where memory changes, by ascending position."""
    bytes_loaded: int = 0
    """Bytes read from disk."""
    bytes_moved: int = 0
    """Bytes moved between the accelerator and the host."""
    loads: int = 0
    """How many components are read from disk."""
    peak_accelerator: int = 0
    """The most bytes of components and working memory at once."""
    peak_host: int = 0
    first_saved: int = 0
    """The position of the first step that saves a file; the number of steps if none does."""
    over_budget: bool = False
    """Whether a budget was ever too small for all components, so that a policy had to choose."""
    warnings: tuple[str, ...] = ()
    """Where a step needs more memory than was measured as free."""

    @property
    def cost(self) -> tuple[int, int, int, int, int]:
        """The numbers by which plans are compared: the first difference decides, less is better."""
        return (
            self.bytes_loaded,
            self.bytes_moved,
            self.peak_accelerator,
            self.peak_host,
            self.first_saved,
        )

    @cached_property
    def actions(self) -> tuple[tuple[Action, ...], ...]:
        """For each position the actions before its step, in an order that keeps the budgets.

        Components leave memory before others arrive. Each has the name under which it was last
        loaded.
        """
        components = list(self.workload.components)
        actions: list[tuple[Action, ...]] = [()] * len(self.order)
        for position, evict, offload, upload, load in self.transitions:
            own = {
                component.key: component for component in reversed(self._components_at(position))
            }
            changes = [Action("evict", components[n]) for n in members(evict)]
            changes += [Action("offload", components[n]) for n in members(offload)]
            changes += [Action("upload", components[n]) for n in members(upload)]
            for n in members(load):
                components[n] = own[components[n].key]
            changes += [Action("load", components[n]) for n in members(load)]
            actions[position] = tuple(changes)
        return tuple(actions)

    def _components_at(self, position: int) -> tuple[Component, ...]:
        return self.workload.steps[self.order[position]].components
