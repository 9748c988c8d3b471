"""The memory planner: which weights are in memory when. Pure functions; imports no torch."""

from __future__ import annotations

from typing import TYPE_CHECKING

from sdgraph.lazy_exports import lazy_exports

if TYPE_CHECKING:
    from .memory_plan import MemoryPlan
    from .planner import (
        actions_for_step,
        evictions_over_budget,
        plan_in_order,
        plan_memory,
        plan_prefetch,
        plan_without_components,
    )
    from .replanner import Replanner
    from .vocabulary import (
        UNLIMITED,
        Action,
        Budgets,
        Component,
        ComponentKey,
        MemoryContents,
        MemoryLimits,
        Placement,
        Requirement,
        Tier,
    )

__all__ = [
    "UNLIMITED",
    "Action",
    "Budgets",
    "Component",
    "ComponentKey",
    "MemoryContents",
    "MemoryLimits",
    "MemoryPlan",
    "Placement",
    "Replanner",
    "Requirement",
    "Tier",
    "actions_for_step",
    "evictions_over_budget",
    "plan_in_order",
    "plan_memory",
    "plan_prefetch",
    "plan_without_components",
]

_EXPORTS = {
    "memory_plan": ("MemoryPlan",),
    "planner": (
        "actions_for_step",
        "evictions_over_budget",
        "plan_in_order",
        "plan_memory",
        "plan_prefetch",
        "plan_without_components",
    ),
    "replanner": ("Replanner",),
    "vocabulary": (
        "Action",
        "Budgets",
        "Component",
        "ComponentKey",
        "MemoryContents",
        "MemoryLimits",
        "Placement",
        "Requirement",
        "Tier",
        "UNLIMITED",
    ),
}
"""Which module defines each name."""

if not TYPE_CHECKING:  # a type checker would take any name for one that is there
    __getattr__, __dir__ = lazy_exports(__name__, _EXPORTS)
