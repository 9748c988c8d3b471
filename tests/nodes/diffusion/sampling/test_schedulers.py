"""Every scheduler by its name: the class and options of the field, made fresh each run."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.nodes import Image2Image, Inpaint, Text2Image, Text2Video, Turbo
from sdgraph.nodes.diffusion.sampling.schedulers import Scheduler, make_scheduler, schedulers_for
from tests.support.bare_scripts import same, script
from tests.support.effort import each_nth
from tests.support.failing_runs import refused_at_construction, refused_before_load
from tests.support.photos import photo, picture, spot

CLASSES: dict[str, tuple[str, dict[str, Any]]] = {
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
    "heun": ("HeunDiscreteScheduler", {}),
    "lcm": ("LCMScheduler", {}),
    "lms": ("LMSDiscreteScheduler", {}),
    "pndm": ("PNDMScheduler", {}),
    "sa-solver": ("SASolverScheduler", {}),
    "tcd": ("TCDScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {}),
}
NAMES = schedulers_for(flow_matching=False)


def test_every_name_is_tested() -> None:
    assert set(NAMES) == set(CLASSES)
    others = set(schedulers_for(flow_matching=True))
    assert set(get_args(Scheduler)) == set(NAMES) | others
    assert others == {"flow-euler", "flow-lcm"}


@pytest.mark.parametrize("name", NAMES)
def test_text_to_image_by_each_equals_the_script(session: Session, name: Any) -> None:
    node = Text2Image(prompt="a star", scheduler=name, steps=3, width=64, height=64)
    expected = script(
        "StableDiffusionPipeline",
        "tiny/text-to-image",
        prompt="a star",
        steps=3,
        seed=0,
        width=64,
        height=64,
        scheduler=CLASSES[name],
    )
    assert same(run(node, session=session).numpy, expected)


@pytest.mark.parametrize("name", each_nth(NAMES, 3))
def test_image_to_image_by_each_equals_the_script(session: Session, name: Any) -> None:
    node = Image2Image(prompt="a star", scheduler=name, steps=4, strength=0.6, image=photo(64, 64))
    expected = script(
        "StableDiffusionImg2ImgPipeline",
        "tiny/text-to-image",
        prompt="a star",
        steps=4,
        seed=0,
        strength=0.6,
        image=picture(64, 64),
        scheduler=CLASSES[name],
    )
    assert same(run(node, session=session).numpy, expected)


@pytest.mark.parametrize("name", each_nth(NAMES, 3))
def test_each_runs_the_other_systems(session: Session, name: Any) -> None:
    nodes: list[Any] = [
        Inpaint(prompt="a", image=photo(64, 64), mask=spot(64, 64), scheduler=name, steps=2),
        Turbo(prompt="a", scheduler=name, steps=2, width=64, height=64),
        Text2Video(prompt="a", scheduler=name, steps=2, frames=2, width=32, height=32),
    ]
    sizes = [run(node, session=session).size for node in nodes]
    assert sizes == [(64, 64), (64, 64), (32, 32)]


@pytest.mark.parametrize("name", NAMES)
def test_each_is_made_without_a_word(name: Any, caplog: pytest.LogCaptureFixture) -> None:
    of_diffusers = logging.getLogger("diffusers")
    of_diffusers.addHandler(caplog.handler)
    try:
        make_scheduler(Checkpoint("tiny/sdxl"), name)
        make_scheduler(Checkpoint("tiny/text-to-image"), name)
    finally:
        of_diffusers.removeHandler(caplog.handler)
    assert caplog.messages == []


def test_a_scheduler_is_never_the_same_object_twice() -> None:
    first, second = (make_scheduler(Checkpoint("tiny/text-to-image"), None) for _ in range(2))
    assert first is not second
    first.set_timesteps(5)
    assert (first.num_inference_steps, second.num_inference_steps) == (5, None)
    first.register_to_config(steps_offset=7)  # as some pipelines do
    first.alphas_cumprod.zero_()
    third = make_scheduler(Checkpoint("tiny/text-to-image"), None)
    assert third.config == second.config != first.config
    assert third.alphas_cumprod.equal(second.alphas_cumprod)


def test_an_unknown_name_is_refused_with_the_nearest() -> None:
    text = refused_at_construction(Text2Image, prompt="a", scheduler="eulr")
    assert "Text2Image.scheduler" in text
    assert "euler" in text


def test_a_checkpoint_whose_scheduler_diffusers_lacks_asks_for_a_name(
    copied: Callable[[str], Path], session: Session
) -> None:
    folder = copied("tiny/text-to-image")
    path = folder / "scheduler" / "scheduler_config.json"
    settings = {**json.loads(path.read_text()), "_class_name": "FutureScheduler"}
    path.write_text(json.dumps(settings))
    node = Text2Image(prompt="a", steps=2, checkpoint=Checkpoint(folder))
    text = refused_before_load(node)
    assert "'FutureScheduler' is not in this diffusers" in text
    assert "`scheduler:`" in text
    assert run(node.replace(scheduler="ddim"), session=session).size == (64, 64)


@pytest.mark.parametrize("own", [None, "", "DiffusionPipeline", "SchedulerMixin", "os"])
def test_a_folder_that_names_no_scheduler_is_refused_before_loading(
    copied: Callable[[str], Path], own: str | None
) -> None:
    folder = copied("tiny/text-to-image")
    path = folder / "scheduler" / "scheduler_config.json"
    settings = json.loads(path.read_text())
    path.write_text(json.dumps({**settings, "_class_name": own}))
    text = refused_before_load(Text2Image(prompt="a", steps=2, checkpoint=Checkpoint(folder)))
    assert "a scheduler of diffusers" in text and "`scheduler:`" in text
    path.write_text(json.dumps({**settings, "num_train_timesteps": 10**9}))
    node = Text2Image(prompt="a", steps=2, scheduler="ddim", checkpoint=Checkpoint(folder))
    assert "num_train_timesteps" in refused_before_load(node)


@pytest.mark.parametrize("name", ["lcm", "tcd"])
def test_distilled_schedulers_refuse_more_steps_than_they_know_before_loading(
    session: Session, name: Any
) -> None:
    node = Text2Image(prompt="a", scheduler=name, steps=51, width=64, height=64)
    text = refused_before_load(node)
    assert "text2_image.steps" in text
    assert f"51 steps by {name}" in text
    assert "at most 50" in text
    assert run(node.replace(steps=50), session=session).size == (64, 64)
