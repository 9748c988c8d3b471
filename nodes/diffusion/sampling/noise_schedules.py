"""Noise schedules by name: how far apart the noise levels of a sampler's steps are.

The names are those of k-diffusion, ComfyUI and A1111; each is a setting of diffusers' schedulers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

from sdgraph.errors import Problem

Schedule = Literal[
    "beta",
    "exponential",
    "karras",
    "leading",
    "linspace",
    "lu",
    "normal",
    "sgm-uniform",
    "simple",
    "trailing",
]
"""The names.

`karras` (Karras et al. 2022), `exponential`, `beta` (Lee et al. 2024) and `lu` (Lu et al. 2022)
space the noise levels. The others space the timesteps (Lin et al. 2024, table 2): `normal` is
`linspace`; `sgm-uniform` and `simple` are `trailing`.
"""

_LEVELS: Mapping[str, str] = {
    "karras": "use_karras_sigmas",
    "exponential": "use_exponential_sigmas",
    "beta": "use_beta_sigmas",
    "lu": "use_lu_lambdas",
}
"""The setting of diffusers for a spacing of noise levels."""

_SPACINGS: Mapping[str, str] = {
    "leading": "leading",
    "linspace": "linspace",
    "normal": "linspace",
    "sgm-uniform": "trailing",
    "simple": "trailing",
    "trailing": "trailing",
}
"""The `timestep_spacing` of diffusers for a spacing of timesteps."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_SPACES_LEVELS = _names(
    """
    DEISMultistepScheduler DPMSolverMultistepInverseScheduler DPMSolverMultistepScheduler
    DPMSolverSDEScheduler DPMSolverSinglestepScheduler EulerDiscreteScheduler
    FlowMatchEulerDiscreteScheduler FlowMatchLCMScheduler HeunDiscreteScheduler
    KDPM2AncestralDiscreteScheduler KDPM2DiscreteScheduler LMSDiscreteScheduler SASolverScheduler
    UniPCMultistepScheduler
    """
)
"""The classes that have Karras', exponential and beta noise levels."""

_HAS_LU = _names("DPMSolverMultistepScheduler")

_SPACES_TIMESTEPS = _names(
    """
    CogVideoXDDIMScheduler CogVideoXDPMScheduler DDIMInverseScheduler DDIMParallelScheduler
    DDIMScheduler DDPMParallelScheduler DDPMScheduler DEISMultistepScheduler
    DPMSolverMultistepInverseScheduler DPMSolverMultistepScheduler DPMSolverSDEScheduler
    EulerAncestralDiscreteScheduler EulerDiscreteScheduler HeunDiscreteScheduler
    KDPM2AncestralDiscreteScheduler KDPM2DiscreteScheduler LMSDiscreteScheduler PNDMScheduler
    SASolverScheduler UniPCMultistepScheduler
    """
)
"""The classes that read `timestep_spacing`; LCM and TCD take it and do not read it."""

_RESCALES_BETAS = _names(
    """
    CogVideoXDDIMScheduler CogVideoXDPMScheduler DDIMInverseScheduler DDIMParallelScheduler
    DDIMScheduler DDPMParallelScheduler DDPMScheduler DPMSolverMultistepScheduler
    EulerAncestralDiscreteScheduler EulerDiscreteScheduler LCMScheduler TCDScheduler
    UniPCMultistepScheduler
    """
)
"""The classes that can begin with pure noise, as `rescale_betas_zero_snr` wants it."""

_READS_NO_PICTURE = _names(
    """
    DPMSolverSDEScheduler EDMEulerScheduler EulerAncestralDiscreteScheduler
    KDPM2AncestralDiscreteScheduler KDPM2DiscreteScheduler PNDMScheduler
    """
)
"""The classes that compute with predicted noise or velocity, and not with a predicted picture."""


def schedules_of(class_name: str, settings: Mapping[str, Any]) -> tuple[str, ...]:
    """The names of the schedules that a scheduler of diffusers has.

    Args:
        class_name: Its class.
        settings: Its config. Of the schedulers with flow sigmas, only UniPC has another schedule.
    """
    if settings.get("use_flow_sigmas"):
        return ("karras",) if class_name == "UniPCMultistepScheduler" else ()
    levels = [name for name in _LEVELS if name != "lu"] if class_name in _SPACES_LEVELS else []
    lu = ["lu"] if class_name in _HAS_LU else []
    spacings = list(_SPACINGS) if class_name in _SPACES_TIMESTEPS else []
    return (*sorted(levels + lu), *spacings)


def schedule_settings(class_name: str, schedule: str | None) -> dict[str, Any]:
    """The settings of a scheduler's class for a schedule; {} for none.

    Args:
        class_name: The class, which has the schedule.
        schedule: The schedule's name.
    """
    if schedule is None:
        return {}
    chosen = _LEVELS.get(schedule)
    names = [name for name in _LEVELS.values() if name != "use_lu_lambdas"]
    settings: dict[str, Any] = dict.fromkeys(names if class_name in _SPACES_LEVELS else (), False)
    if class_name in _HAS_LU:
        settings["use_lu_lambdas"] = False
    if chosen is not None:
        return {**settings, chosen: True}
    return {**settings, "timestep_spacing": _SPACINGS[schedule]}


def schedule_problems(
    schedule: str | None, class_name: str, settings: Mapping[str, Any], called: str
) -> Iterator[Problem]:
    """The problem of a schedule that a scheduler does not have.

    Args:
        schedule: The schedule's name; None for that of the scheduler's config.
        class_name: The scheduler's class in diffusers.
        settings: Its config.
        called: What the scheduler is called in the message.
    """
    fitting = schedules_of(class_name, settings)
    if schedule is None or schedule in fitting:
        return
    if fitting:
        wanted = f"one of {', '.join(fitting)}"
    else:
        wanted = f"none: diffusers has one schedule for {called}"
    fix = "leave it out, or name another scheduler"
    if class_name not in _SPACES_LEVELS and schedule in _LEVELS:
        fix = "leave it out, or take a scheduler that has it, such as euler or dpm++-2m"
    yield Problem("schedule", f"{schedule} for {called}", wanted, fix)


def prediction_problems(
    class_name: str, settings: Mapping[str, Any], called: str
) -> Iterator[Problem]:
    """The problem of a scheduler that cannot compute with what a denoiser predicts.

    Args:
        class_name: The scheduler's class in diffusers.
        settings: The config of the checkpoint's own scheduler.
        called: What the scheduler is called in the message.
    """
    if settings.get("prediction_type") == "sample" and class_name in _READS_NO_PICTURE:
        found = f"{called} for a checkpoint whose prediction_type is sample"
        wanted = f"one with epsilon or v_prediction, as diffusers has {called}"
        yield Problem("scheduler", found, wanted, "take another, such as ddim or euler")


def zero_snr_warnings(
    class_name: str, settings: Mapping[str, Any], called: str
) -> Iterator[Problem]:
    """The warning that a scheduler does not begin with pure noise, as a checkpoint was trained.

    Args:
        class_name: The scheduler's class in diffusers.
        settings: The config of the checkpoint's own scheduler.
        called: What the scheduler is called in the message.
    """
    if settings.get("rescale_betas_zero_snr") and class_name not in _RESCALES_BETAS:
        found = f"{called}, which ignores that the checkpoint was trained with zero terminal SNR"
        wanted = "a scheduler that begins with pure noise, such as ddim, euler, dpm++ or unipc"
        yield Problem("scheduler", found, wanted, "take one of them, or the checkpoint's own")
