"""What schedulers of diffusers refuse of a config that was written for another of their classes.

A named scheduler reads the config of the checkpoint's own one. Some settings have the same name in
several classes, and other values.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sdgraph.errors import Problem

_SOLVERS: Mapping[str, tuple[str, ...]] = {
    "DEISMultistepScheduler": ("deis", "dpmsolver", "dpmsolver++"),
    "DPMSolverMultistepScheduler": (
        "deis",
        "dpmsolver",
        "dpmsolver++",
        "sde-dpmsolver",
        "sde-dpmsolver++",
    ),
    "DPMSolverSinglestepScheduler": ("deis", "dpmsolver", "dpmsolver++", "sde-dpmsolver++"),
    "SASolverScheduler": ("data_prediction", "noise_prediction"),
}
"""The values of `algorithm_type` that the classes take which read it."""

_END_WITHOUT_NOISE = ("dpmsolver++", "sde-dpmsolver++")
"""The values with which DPM-Solver's last step may lead to a picture without noise."""

_RUNGE_KUTTA_STEPS = 4
"""The fewest steps of PNDM, if it begins with steps of Runge and Kutta."""


def solver_problems(
    class_name: str, settings: Mapping[str, Any], called: str, *, is_named: bool
) -> Iterator[Problem]:
    """The problem of a scheduler that refuses the config that it is made with.

    Args:
        class_name: The scheduler's class in diffusers.
        settings: The config of the checkpoint's own scheduler, with the named one's options.
        called: What the scheduler is called in the message.
        is_named: Whether the node names it, so that it may be left out.
    """
    solver = settings.get("algorithm_type")
    if class_name not in _SOLVERS or solver is None:
        return
    own_name = settings.get("_class_name")
    source = f"{called} with algorithm_type {solver}, as the checkpoint's {own_name} has it"
    fix = "leave it out, or name one such as ddim or euler" if is_named else "name one such as ddim"
    taken = _SOLVERS[class_name]
    if solver not in taken:
        wanted = f"a scheduler that takes it; {called} takes {', '.join(taken)}"
        yield Problem("scheduler", source, wanted, fix)
    elif (
        class_name.startswith("DPMSolver")
        and solver not in _END_WITHOUT_NOISE
        and settings.get("final_sigmas_type", "zero") == "zero"
    ):
        wanted = f"{' or '.join(_END_WITHOUT_NOISE)}, or final_sigmas_type sigma_min"
        yield Problem("scheduler", source, wanted, fix)


def fewest_steps(class_name: str, settings: Mapping[str, Any]) -> int:
    """The fewest steps that a scheduler of diffusers can make.

    Args:
        class_name: Its class.
        settings: The config that it is made with.
    """
    begins_slowly = class_name == "PNDMScheduler" and not settings.get("skip_prk_steps")
    return _RUNGE_KUTTA_STEPS if begins_slowly else 1
