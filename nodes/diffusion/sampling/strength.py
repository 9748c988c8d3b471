"""The share of the steps that run when a picture is the start, and whether any is left."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil

from sdgraph.errors import Problem


def fewest_steps(strength: float) -> int:
    """The fewest steps of which a strength above 0 leaves one.

    Example:
        >>> fewest_steps(0.3)
        4
    """
    steps = ceil(1 / strength)
    return steps if int(steps * strength) >= 1 else steps + 1


def strength_problems(steps: int, strength: float, max_steps: int) -> Iterator[Problem]:
    """The problem of a strength that leaves none of the steps.

    Args:
        steps: The number of denoising steps.
        strength: The share of them that runs, 0 to 1.
        max_steps: The largest number of steps that the node takes.
    """
    if int(steps * strength) >= 1:
        return
    fix = f"raise strength to {ceil(100 / steps) / 100:g} or more"
    if strength and fewest_steps(strength) <= max_steps:
        fix += f", or steps to {fewest_steps(strength)}"
    found = f"strength {strength:g} of {steps} steps, which leaves none"
    yield Problem("strength", found, "strength × steps of at least 1", fix)
