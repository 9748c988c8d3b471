"""Budgets that are too small for some step alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from sdgraph.errors import InvalidValueError, Problem

from .vocabulary import Budgets, Tier
from .workload import Workload


@dataclass(frozen=True, slots=True)
class Shortfall:
    """A tier whose budget is too small for some step alone."""

    tier: Tier
    budget: int
    smallest: int
    """The smallest budget that is enough for every step."""
    step: str
    """The step that requires the most."""

    def problem(self) -> Problem:
        """The shortfall as a problem with a fix."""
        return Problem(
            self.step,
            f"a budget of {self.budget} bytes on the {self.tier}",
            f"at least {self.smallest} bytes: its components, what is pinned and its working "
            "memory, all at once",
            "a larger budget, fewer pinned components, a smaller picture or dtype, or offload",
        )


def find_shortfalls(workload: Workload) -> tuple[Shortfall, ...]:
    """The tiers whose budgets are too small for some step, even with nothing else in memory."""
    return tuple(_shortfalls(workload))


def _shortfalls(workload: Workload) -> Iterator[Shortfall]:
    for number, tier in enumerate(Tier):
        home = workload.on_accelerator if tier is Tier.ACCELERATOR else ~workload.on_accelerator
        smallest, name = 0, ""
        for step, required, working in zip(
            workload.steps, workload.required, workload.working, strict=True
        ):
            if required & home or working[number]:
                needed = workload.size((required | workload.pinned) & home) + working[number]
                if needed > smallest:
                    smallest, name = needed, step.name
        if smallest > workload.limits[number]:
            yield Shortfall(tier, workload.limits[number], smallest, name)


def check_budgets(workload: Workload) -> None:
    """Raises InvalidValueError if some step alone is above a budget."""
    _refuse(find_shortfalls(workload))


def lift_measured_budgets(
    workload: Workload, enforced: Budgets
) -> tuple[Workload, tuple[str, ...]]:
    """The workload without the measured budgets that are too small, and a warning for each.

    The free memory that was measured is an estimate, which a run may exceed. Raises
    InvalidValueError for a budget that is enforced and too small.
    """
    shortfalls = find_shortfalls(workload)
    _refuse([shortfall for shortfall in shortfalls if enforced.of(shortfall.tier) is not None])
    lifted = {shortfall.tier.value: None for shortfall in shortfalls}
    warnings = tuple(
        f"{shortfall.step} needs {shortfall.smallest} bytes on the {shortfall.tier}, and "
        f"{shortfall.budget} are free"
        for shortfall in shortfalls
    )
    if not lifted:
        return workload, ()
    return replace(workload, budgets=replace(workload.budgets, **lifted)), warnings


def _refuse(shortfalls: Sequence[Shortfall]) -> None:
    if shortfalls:
        raise InvalidValueError(shortfall.problem() for shortfall in shortfalls)
