"""The memory planner: which weights are in memory when. Pure functions; imports no torch."""

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
