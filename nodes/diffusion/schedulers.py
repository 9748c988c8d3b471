"""Schedulers by name, each made new from the checkpoint's own config."""

from __future__ import annotations

import copy
import json
from functools import lru_cache
from typing import Any, Literal

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models import SCHEDULERS, quiet_libraries, resolve
from sdgraph.values import Checkpoint

from .families import SCHEDULER

Scheduler = Literal[
    "ddim",
    "ddpm",
    "deis",
    "dpm++",
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
    "pndm",
    "tcd",
    "unipc",
]
"""The names; `dpm++` is DPM-Solver++ multistep of second order (Lu et al. 2022)."""

_CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
    "ddim": ("DDIMScheduler", {}),
    "ddpm": ("DDPMScheduler", {}),
    "deis": ("DEISMultistepScheduler", {}),
    "dpm++": ("DPMSolverMultistepScheduler", {}),
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
    "pndm": ("PNDMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}


_FLOW = "flow-"
"""What the names of schedulers for flow matching begin with."""


def schedulers_for(*, flow_matching: bool) -> tuple[str, ...]:
    """The names of the schedulers for models that were trained by flow matching, or by noise."""
    return tuple(name for name in _CLASSES if name.startswith(_FLOW) == flow_matching)


def make_scheduler(checkpoint: Checkpoint, name: str | None) -> Any:
    """A new scheduler: of the checkpoint's own class, or of the named one with the same config.

    It never ran before, because schedulers keep state, and pipelines change their config.
    """
    import diffusers

    settings = resolve(checkpoint).config(SCHEDULER) or {}
    own_class = str(settings.get("_class_name", ""))
    class_name = _CLASSES[name][0] if name else own_class
    if class_name not in SCHEDULERS or not hasattr(diffusers, class_name):
        found = f"its scheduler {own_class!r} is not in this diffusers"
        fix = f"name one with `scheduler:` ({', '.join(_CLASSES)})"
        wanted = "a scheduler of diffusers"
        raise CheckpointError(Problem(checkpoint.source, found, wanted, fix))
    return copy.deepcopy(_scheduler_template(name or "", json.dumps(dict(settings))))


@lru_cache(maxsize=64)
def _scheduler_template(name: str, settings: str) -> Any:
    """A scheduler that is only copied, never run: to copy one takes a sixth of the time."""
    import diffusers

    config = json.loads(settings)
    class_name, options = _CLASSES[name] if name else (config["_class_name"], {})
    if name.startswith(_FLOW) and "flow_shift" in config:
        options = {**options, "shift": config["flow_shift"]}  # the same under another name
    with quiet_libraries():
        return getattr(diffusers, class_name).from_config(config, **options)
