"""Schedulers by name, each made new from the checkpoint's own config."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Literal

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models import SCHEDULERS, quiet_libraries, resolve
from sdgraph.nodes.diffusion.families import SCHEDULER
from sdgraph.values import Checkpoint

from . import noise_schedules, solver_problems
from .noise_schedules import schedule_settings

Scheduler = Literal[
    "ddim",
    "ddpm",
    "deis",
    "dpm++",
    "dpm++-2m",
    "dpm++-2m-sde",
    "dpm++-3m",
    "dpm++-3m-sde",
    "dpm++-karras",
    "dpm++-sde",
    "dpm++-singlestep",
    "dpm2",
    "dpm2-ancestral",
    "euler",
    "euler-ancestral",
    "flow-euler",
    "flow-lcm",
    "heun",
    "lcm",
    "lms",
    "pndm",
    "sa-solver",
    "tcd",
    "unipc",
]
"""The names.

`dpm++` and `dpm++-2m` are DPM-Solver++ multistep of second order (Lu et al. 2022), `dpm++-sde` and
`dpm++-2m-sde` the same with noise in each step.
"""

_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "dpm++": ("DPMSolverMultistepScheduler", {}),
    "dpm++-2m": ("DPMSolverMultistepScheduler", {}),
    "dpm++-2m-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpm++-3m": ("DPMSolverMultistepScheduler", {"solver_order": 3}),
    "dpm++-3m-sde": (
        "DPMSolverMultistepScheduler",
        {"solver_order": 3, "algorithm_type": "sde-dpmsolver++"},
    ),
    "dpm++-karras": ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True}),
    "dpm++-sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpm++-singlestep": ("DPMSolverSinglestepScheduler", {}),
    "dpm2": ("KDPM2DiscreteScheduler", {}),
    "dpm2-ancestral": ("KDPM2AncestralDiscreteScheduler", {}),
    "euler": ("EulerDiscreteScheduler", {}),
    "euler-ancestral": ("EulerAncestralDiscreteScheduler", {}),
    "flow-euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "flow-lcm": ("FlowMatchLCMScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "pndm": ("PNDMScheduler", {}),
    "sa-solver": ("SASolverScheduler", {}),
    "tcd": ("TCDScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}


_FLOW = "flow-"
"""What the names of schedulers for flow matching begin with."""


def schedulers_for(*, flow_matching: bool) -> tuple[str, ...]:
    """The names of the schedulers for models that were trained by flow matching, or by noise."""
    return tuple(name for name in _CLASSES if name.startswith(_FLOW) == flow_matching)


def make_scheduler(
    checkpoint: Checkpoint,
    name: str | None,
    schedule: str | None = None,
    *,
    component: str = SCHEDULER,
) -> Any:
    """A new scheduler: of the checkpoint's own class, or of the named one with the same config.

    It never ran before, because schedulers keep state, and pipelines change their config.

    Args:
        checkpoint: The checkpoint.
        name: The scheduler's name; None for the checkpoint's own.
        schedule: The name of its noise schedule; None for that of the config.
        component: The name of the scheduler in the checkpoint's index.

    Raises:
        CheckpointError: The checkpoint's own scheduler is not in this diffusers.
    """
    import diffusers

    settings = resolve(checkpoint).config(component) or {}
    class_name = _class_of(name, settings)
    if class_name not in SCHEDULERS or not hasattr(diffusers, class_name):
        found = f"its scheduler {class_name!r} is not in this diffusers"
        fix = f"name one with `scheduler:` ({', '.join(_CLASSES)})"
        wanted = "a scheduler of diffusers"
        raise CheckpointError(Problem(checkpoint.source, found, wanted, fix))
    return copy.deepcopy(_scheduler_template(name or "", schedule, json.dumps(dict(settings))))


@lru_cache(maxsize=64)
def _scheduler_template(name: str, schedule: str | None, settings: str) -> Any:
    """A scheduler that is only copied, never run: to copy one takes a sixth of the time."""
    import diffusers

    config = json.loads(settings)
    class_name, options = _CLASSES[name] if name else (config["_class_name"], {})
    if name.startswith(_FLOW) and "flow_shift" in config:
        options = {**options, "shift": config["flow_shift"]}  # the same under another name
    options = {**options, **schedule_settings(class_name, schedule)}
    with quiet_libraries():
        return getattr(diffusers, class_name).from_config(config, **options)


def _class_of(name: str | None, settings: Mapping[str, Any]) -> str:
    return _CLASSES[name][0] if name else str(settings.get("_class_name", ""))


def schedule_problems(
    checkpoint: Checkpoint, name: str | None, schedule: str | None
) -> Iterator[Problem]:
    """The problems of a noise schedule, and of what a checkpoint predicts, with a scheduler.

    Args:
        checkpoint: The checkpoint, whose configs are on this disk.
        name: The scheduler's name, which fits its family; None for the checkpoint's own.
        schedule: The name of the noise schedule; None for that of the scheduler's config.
    """
    settings = resolve(checkpoint).config(SCHEDULER) or {}
    class_name = _class_of(name, settings)
    called = name or class_name
    if name == "dpm++-karras" and schedule not in (None, "karras"):
        found = f"{schedule} for dpm++-karras, which names its schedule"
        yield Problem("schedule", found, "karras", "write scheduler: dpm++-2m with it")
        return
    own = {} if name else settings
    yield from noise_schedules.schedule_problems(schedule, class_name, own, called)
    yield from noise_schedules.prediction_problems(class_name, settings, called)
    made_with = {**settings, **(_CLASSES[name][1] if name else {})}
    yield from solver_problems.solver_problems(
        class_name, made_with, called, is_named=name is not None
    )


def fewest_steps(checkpoint: Checkpoint, name: str | None) -> int:
    """The fewest steps that a scheduler can make with a checkpoint's config.

    Args:
        checkpoint: The checkpoint, whose configs are on this disk.
        name: The scheduler's name; None for the checkpoint's own.
    """
    settings = resolve(checkpoint).config(SCHEDULER) or {}
    return solver_problems.fewest_steps(_class_of(name, settings), settings)


def scheduler_warnings(checkpoint: Checkpoint, name: str | None) -> Iterator[Problem]:
    """The warnings of a scheduler that ignores how a checkpoint was trained.

    Args:
        checkpoint: The checkpoint.
        name: The scheduler's name; None for the checkpoint's own, which does not.
    """
    if name is not None:
        settings = resolve(checkpoint).config(SCHEDULER) or {}
        yield from noise_schedules.zero_snr_warnings(_class_of(name, settings), settings, name)
