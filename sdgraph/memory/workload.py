"""The input of a plan: components, the steps that require them, budgets, memory at the start.

Outside this package components are objects. The planner computes with sets of components, which are
integers (see `bitsets`): bit n stands for `Workload.components[n]`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import NamedTuple

from sdgraph.errors import InvalidValueError, Problem

from .bitsets import BitsetSums, bitset, members
from .vocabulary import (
    UNLIMITED,
    Budgets,
    Component,
    ComponentKey,
    MemoryContents,
    MemoryLimits,
    Requirement,
    Tier,
)

Order = tuple[int, ...]
"""The indices of all steps, each after the steps that it must come after."""


class StepKind(NamedTuple):
    """The memory that a step requires; steps that require the same are of one kind."""

    required: int
    """The set of components."""
    working: tuple[int, int]
    """The working bytes on the accelerator and on the host."""


@dataclass(frozen=True)
class Workload:
    """Components, the steps that require them, budgets, and what is in memory at the start.

    Raises InvalidValueError for a step or a start that names an unknown component or step, and for
    a component that starts where it cannot be.
    """

    components: Sequence[Component]
    """Every component of the steps and of the start, each key once."""
    steps: Sequence[Requirement]
    budgets: Budgets = UNLIMITED
    start: MemoryContents = field(default_factory=dict)
    """Least recently used first."""
    keep_unused: bool = True

    def __post_init__(self) -> None:
        count = len(self.steps)
        for step in self.steps:
            self._check_known(step.name, step.components)
            missing = [index for index in step.after if not 0 <= index < count]
            if missing:
                wanted = f"indices below {count}"
                raise InvalidValueError(Problem(step.name, f"steps {missing}", wanted))
        self._check_known("the start", tuple(self.start))
        for component, placement in self.start.items():
            offloaded = placement.tier is not component.home
            if offloaded and (placement.pinned or component.home is Tier.HOST):
                found = f"held on the {placement.tier} at the start"
                wanted = f"its home, the {component.home}, or the host, where it is unpinned"
                raise InvalidValueError(Problem(component.name, found, wanted))

    def _check_known(self, subject: str, components: Sequence[Component]) -> None:
        unknown = [component.name for component in components if component.key not in self._index]
        if unknown:
            wanted = "components of the workload"
            raise InvalidValueError(Problem(subject, ", ".join(unknown), wanted))

    @cached_property
    def _index(self) -> dict[ComponentKey, int]:
        return {component.key: index for index, component in enumerate(self.components)}

    @cached_property
    def required(self) -> list[int]:
        """For each step the set of components that it requires."""
        index = self._index
        return [
            bitset([index[component.key] for component in step.components]) for step in self.steps
        ]

    @cached_property
    def working(self) -> list[tuple[int, int]]:
        """For each step its working bytes on the accelerator and on the host."""
        return [
            (step.working_bytes, 0)
            if step.working_tier is Tier.ACCELERATOR
            else (0, step.working_bytes)
            for step in self.steps
        ]

    @cached_property
    def kinds(self) -> list[StepKind]:
        """The kinds of steps, each once."""
        return list(dict.fromkeys(self._kind_of_each))

    @cached_property
    def kind_of(self) -> list[int]:
        """For each step the index of its kind."""
        index = {kind: number for number, kind in enumerate(self.kinds)}
        return [index[kind] for kind in self._kind_of_each]

    @cached_property
    def _kind_of_each(self) -> list[StepKind]:
        return list(map(StepKind, self.required, self.working))

    @cached_property
    def on_accelerator(self) -> int:
        """The set of components whose home is the accelerator."""
        home = Tier.ACCELERATOR
        return bitset([n for n, component in enumerate(self.components) if component.home is home])

    @cached_property
    def limits(self) -> tuple[int, int]:
        """The budgets of the accelerator and of the host as numbers."""
        return self.budgets.limit(Tier.ACCELERATOR), self.budgets.limit(Tier.HOST)

    @cached_property
    def pinned(self) -> int:
        """The set of components that must stay where they start."""
        return bitset(
            [self._index[component.key] for component, at in self.start.items() if at.pinned]
        )

    @cached_property
    def start_order(self) -> list[int]:
        """The components that are in memory at the start, least recently used first."""
        return [self._index[component.key] for component in self.start]

    def starts_on(self, tier: Tier) -> int:
        """The set of components that are on a tier at the start."""
        return bitset(
            [self._index[component.key] for component, at in self.start.items() if at.tier is tier]
        )

    @cached_property
    def dependents(self) -> list[list[int]]:
        """For each step the steps that come after it, ascending."""
        dependents: list[list[int]] = [[] for _ in self.steps]
        for index, step in enumerate(self.steps):
            for before in set(step.after):
                dependents[before].append(index)
        return dependents

    @cached_property
    def _use_positions(self) -> dict[Order, list[list[int]]]:
        return {}

    def use_positions(self, order: Order) -> list[list[int]]:
        """For each component the positions in an order where it is required, ascending."""
        if order not in self._use_positions:
            positions: list[list[int]] = [[] for _ in self.components]
            for position, step in enumerate(order):
                for component in members(self.required[step]):
                    positions[component].append(position)
            self._use_positions[order] = positions
        return self._use_positions[order]

    @cached_property
    def size(self) -> Callable[[int], int]:
        """Gives the bytes in memory of a set of components."""
        return BitsetSums([component.bytes for component in self.components]).__getitem__

    @cached_property
    def file_size(self) -> Callable[[int], int]:
        """Gives the bytes of the files of a set of components."""
        return BitsetSums([component.file_bytes for component in self.components]).__getitem__

    @cached_property
    def min_bytes_loaded(self) -> int:
        """The bytes that every order must load: the components that are used and not in memory."""
        used = 0
        for required in self.required:
            used |= required
        return self.file_size(used & ~bitset(self.start_order))


def make_workload(
    requirements: Sequence[Requirement], limits: MemoryLimits, contents: MemoryContents
) -> Workload:
    """The workload of these steps; a component in memory has its real size, not an estimate."""
    components: dict[ComponentKey, Component] = {component.key: component for component in contents}
    for requirement in requirements:
        for component in requirement.components:
            components.setdefault(component.key, component)
    return Workload(
        tuple(components.values()), requirements, limits.available, contents, limits.keep_unused
    )
