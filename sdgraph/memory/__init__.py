"""The memory planner: which weights are in memory when. Pure functions; imports no torch."""

from .planner import (
    UNLIMITED,
    Action,
    Component,
    ComponentKey,
    MemoryContents,
    MemoryLimits,
    MemoryPlan,
    Requirement,
    actions_for_step,
    evictions_over_budget,
    plan_in_order,
    plan_memory,
    plan_prefetch,
)
from .replanner import Replanner
from .workload import Budgets, Placement, Tier

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
]
