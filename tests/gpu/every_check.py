"""The list of all checks, in a module that both processes import."""

from . import knobs, memory, speed, systems
from .check import Check


def all_checks() -> list[Check]:
    """Every check, those that matter most first."""
    return [*systems.checks(), *memory.checks(), *speed.checks(), *knobs.checks()]
