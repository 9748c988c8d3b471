"""A scheduler is refused by the configs with which diffusers cannot make it, and by no others."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint
from sdgraph.models import resolve
from sdgraph.nodes import Text2Image
from sdgraph.nodes.diffusion.families import SCHEDULER
from sdgraph.nodes.diffusion.sampling.schedulers import (
    fewest_steps,
    make_scheduler,
    schedule_problems,
)
from tests.support.effort import each_nth
from tests.support.failing_runs import refused_before_load

from .test_schedulers import CLASSES

BASE = "tiny/text-to-image"

OWN: list[dict[str, Any]] = [
    {"_class_name": "PNDMScheduler", "skip_prk_steps": True},
    {"_class_name": "PNDMScheduler", "skip_prk_steps": False},
    {"_class_name": "DEISMultistepScheduler", "algorithm_type": "deis", "solver_type": "logrho"},
    {"_class_name": "SASolverScheduler", "algorithm_type": "data_prediction"},
    *(
        {
            "_class_name": "DPMSolverMultistepScheduler",
            "algorithm_type": solver,
            "final_sigmas_type": end,
        }
        for solver in ("dpmsolver", "dpmsolver++", "sde-dpmsolver", "sde-dpmsolver++")
        for end in ("zero", "sigma_min")
    ),
]
"""Configs of checkpoints' own schedulers."""


def with_scheduler(folder: Path, settings: dict[str, Any]) -> Checkpoint:
    """A checkpoint with the config of another scheduler."""
    noise = {"beta_schedule": "scaled_linear", "num_train_timesteps": 1000}
    (folder / SCHEDULER / "scheduler_config.json").write_text(json.dumps({**noise, **settings}))
    return Checkpoint(folder)


def runs(checkpoint: Checkpoint, name: str | None, steps: int) -> bool:
    """Whether a scheduler of diffusers makes so many steps with a checkpoint's config."""
    import torch

    try:
        scheduler = make_scheduler(checkpoint, name)
        scheduler.set_timesteps(steps)
        sample = torch.ones(1, 1, 2, 2)
        for timestep in scheduler.timesteps[:1]:
            scheduler.step(sample, timestep, sample)
    except (NotImplementedError, ValueError):
        return False
    return True


@pytest.mark.torch
@pytest.mark.parametrize("own", each_nth(OWN, 3), ids=lambda own: "-".join(map(str, own.values())))
def test_what_diffusers_cannot_make_is_told_and_nothing_else(
    copied: Callable[[str], Path], own: dict[str, Any]
) -> None:
    checkpoint = with_scheduler(copied(BASE), own)
    assert (resolve(checkpoint).config(SCHEDULER) or {})["_class_name"] == own["_class_name"]
    for name in (None, *CLASSES):
        told = list(schedule_problems(checkpoint, name, None))
        assert bool(told) != runs(checkpoint, name, 10), (name, told)
        if not told:
            fewest = fewest_steps(checkpoint, name)
            assert runs(checkpoint, name, fewest), name
            assert fewest == 1 or not runs(checkpoint, name, fewest - 1), name


def test_a_solver_of_another_class_is_refused_before_any_load(
    copied: Callable[[str], Path],
) -> None:
    checkpoint = with_scheduler(copied(BASE), OWN[6])
    text = refused_before_load(Text2Image(prompt="a", checkpoint=checkpoint, scheduler="sa-solver"))
    assert "sa-solver with algorithm_type dpmsolver++" in text
    assert "data_prediction, noise_prediction" in text and "ddim" in text


def test_too_few_steps_of_runge_and_kutta_are_refused_before_any_load(
    copied: Callable[[str], Path],
) -> None:
    checkpoint = with_scheduler(copied(BASE), OWN[6])
    node = Text2Image(prompt="a", checkpoint=checkpoint, scheduler="pndm", steps=1)
    text = refused_before_load(node)
    assert "1 step by pndm" in text and "at least 4" in text
    assert not list(node.replace(steps=4).check())
