"""Noise schedules by name: the settings of diffusers, and what its schedulers can do with them."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.models import SCHEDULERS
from sdgraph.nodes import Image2Image, Text2Image
from sdgraph.nodes.diffusion.sampling import noise_schedules
from sdgraph.nodes.diffusion.sampling.noise_schedules import Schedule, schedules_of
from sdgraph.nodes.diffusion.sampling.schedulers import Scheduler, make_scheduler, schedulers_for
from tests.support.bare_scripts import same, script
from tests.support.effort import each_nth
from tests.support.failing_runs import refused_at_construction, refused_before_load
from tests.support.photos import photo, picture

from .test_schedulers import CLASSES

BASE = "tiny/text-to-image"
OPTIONS: dict[str, dict[str, Any]] = {
    "beta": {"use_beta_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "karras": {"use_karras_sigmas": True},
    "leading": {"timestep_spacing": "leading"},
    "linspace": {"timestep_spacing": "linspace"},
    "lu": {"use_lu_lambdas": True},
    "normal": {"timestep_spacing": "linspace"},
    "sgm-uniform": {"timestep_spacing": "trailing"},
    "simple": {"timestep_spacing": "trailing"},
    "trailing": {"timestep_spacing": "trailing"},
}
NAMES = schedulers_for(flow_matching=False)
PAIRS = [(name, each) for name in NAMES for each in schedules_of(CLASSES[name][0], {})]


def node(**fields: Any) -> Text2Image:
    return Text2Image(prompt="a star", **{"steps": 3, "width": 64, "height": 64, **fields})


def edited(folder: Path, **settings: Any) -> Checkpoint:
    """A checkpoint whose scheduler has other settings."""
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    return Checkpoint(folder)


def problems(checkpoint: Checkpoint, **fields: Any) -> list[str]:
    return [str(problem) for problem in node(checkpoint=checkpoint, **fields).check()]


def warnings(checkpoint: Checkpoint, **fields: Any) -> list[str]:
    return [str(problem) for problem in node(checkpoint=checkpoint, **fields).warnings()]


def test_every_schedule_is_tested() -> None:
    assert set(get_args(Schedule)) == set(OPTIONS)


@pytest.mark.parametrize(("name", "schedule"), each_nth(PAIRS, 4, arguments=2))
def test_a_scheduler_with_a_schedule_has_the_noise_levels_of_diffusers(
    name: Any, schedule: Any
) -> None:
    import diffusers

    made = make_scheduler(Checkpoint(BASE), name, schedule)
    class_name, options = CLASSES[name]
    own = make_scheduler(Checkpoint(BASE), None).config
    options = {**options, "use_karras_sigmas": False} if name == "dpm++-karras" else options
    options = {**options, **OPTIONS[schedule]}
    expected = getattr(diffusers, class_name).from_config(own, **options)
    for scheduler in (made, expected):
        scheduler.set_timesteps(7)
    assert made.timesteps.equal(expected.timesteps)
    if hasattr(expected, "sigmas"):
        assert made.sigmas.equal(expected.sigmas)
    for key, value in options.items():
        assert made.config[key] == expected.config[key] == value


@pytest.mark.parametrize(
    ("name", "schedule"),
    [
        ("dpm++-2m", "karras"),
        ("dpm++-2m", "lu"),
        ("dpm++-3m-sde", "exponential"),
        ("euler", "beta"),
        ("heun", "karras"),
        ("ddim", "leading"),
        ("euler-ancestral", "normal"),
        ("lms", "karras"),
    ],
)
def test_a_picture_with_a_schedule_equals_the_script(
    session: Session, name: Any, schedule: Any
) -> None:
    class_name, options = CLASSES[name]
    expected = script(
        "StableDiffusionPipeline",
        BASE,
        prompt="a star",
        steps=3,
        seed=0,
        width=64,
        height=64,
        scheduler=(class_name, {**options, **OPTIONS[schedule]}),
    )
    made = run(node(scheduler=name, schedule=schedule), session=session)
    assert same(made.numpy, expected)
    assert run(node(scheduler=name), session=session) != made


def test_image_to_image_with_a_schedule_equals_the_script(session: Session) -> None:
    fields: Any = {"scheduler": "dpm++-2m", "schedule": "exponential"}
    expected = script(
        "StableDiffusionImg2ImgPipeline",
        BASE,
        prompt="a star",
        steps=4,
        seed=0,
        strength=0.6,
        image=picture(64, 64),
        scheduler=("DPMSolverMultistepScheduler", OPTIONS["exponential"]),
    )
    made = Image2Image(prompt="a star", image=photo(64, 64), strength=0.6, steps=4, **fields)
    assert same(run(made, session=session).numpy, expected)


def test_without_a_scheduler_it_is_a_schedule_of_the_checkpoints_own() -> None:
    assert make_scheduler(Checkpoint(BASE), None, "trailing").config.timestep_spacing == "trailing"
    own = type(make_scheduler(Checkpoint(BASE), None))
    assert own is type(make_scheduler(Checkpoint(BASE), None, "trailing"))


def test_a_schedule_replaces_the_one_of_the_config(copied: Callable[[str], Path]) -> None:
    checkpoint = edited(copied(BASE), use_karras_sigmas=True)
    for schedule in ("beta", "normal"):
        config = make_scheduler(checkpoint, "euler", schedule).config
        assert not config.use_karras_sigmas
        assert config.use_beta_sigmas == (schedule == "beta")


def test_the_tables_say_what_the_classes_of_diffusers_take_and_read() -> None:
    import diffusers

    for class_name in SCHEDULERS:
        cls = getattr(diffusers, class_name, None)
        takes = set(inspect.signature(cls.__init__).parameters) if cls else {"kwargs"}
        if cls is None or "kwargs" in takes:
            continue  # it was removed, or stands for a class whose package is not installed
        source = inspect.getsource(cls)
        levels = {"use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas"}
        spaced = "config.timestep_spacing ==" in source
        assert (class_name in noise_schedules._SPACES_LEVELS) == (levels <= takes), class_name
        assert (class_name in noise_schedules._HAS_LU) == ("use_lu_lambdas" in takes), class_name
        assert (class_name in noise_schedules._SPACES_TIMESTEPS) == spaced, class_name
        rescales = "rescale_betas_zero_snr" in takes
        assert (class_name in noise_schedules._RESCALES_BETAS) == rescales, class_name


@pytest.mark.parametrize("class_name", sorted({class_name for class_name, _ in CLASSES.values()}))
def test_the_table_says_which_classes_cannot_read_a_predicted_picture(class_name: str) -> None:
    import diffusers
    import torch

    scheduler = getattr(diffusers, class_name)(prediction_type="sample")
    scheduler.set_timesteps(10)
    sample = torch.ones(1, 1, 2, 2)
    try:
        scheduler.step(sample, scheduler.timesteps[0], sample)
        able = True
    except (NotImplementedError, ValueError):
        able = False
    assert (class_name not in noise_schedules._READS_NO_PICTURE) == able


@pytest.mark.parametrize(
    ("name", "schedule", "words"),
    [
        ("euler-ancestral", "karras", "leading, linspace, normal, sgm-uniform, simple, trailing"),
        ("ddim", "beta", "such as euler or dpm++-2m"),
        ("lcm", "trailing", "none: diffusers has one schedule for lcm"),
        ("euler", "lu", "beta, exponential, karras, leading"),
        ("dpm++-singlestep", "simple", "beta, exponential, karras"),
        ("dpm++-karras", "beta", "scheduler: dpm++-2m"),
    ],
)
def test_a_schedule_that_a_scheduler_lacks_is_refused_before_loading(
    name: Any, schedule: Any, words: str
) -> None:
    text = refused_before_load(node(scheduler=name, schedule=schedule))
    assert "text2_image.schedule" in text and f"{schedule} for {name}" in text and words in text


def test_a_schedule_that_the_checkpoints_own_scheduler_lacks_is_refused(
    copied: Callable[[str], Path],
) -> None:
    checkpoint = edited(copied(BASE), _class_name="DDIMScheduler")
    (text,) = problems(checkpoint, schedule="karras")
    assert "karras for DDIMScheduler" in text and "such as euler or dpm++-2m" in text
    assert problems(checkpoint, schedule="trailing") == []


def test_dpm_karras_takes_its_own_schedule() -> None:
    assert problems(Checkpoint(BASE), scheduler="dpm++-karras", schedule="karras") == []


def test_an_unknown_schedule_is_refused_with_the_nearest() -> None:
    for written, ours in [("sgm_uniform", "sgm-uniform"), ("Karras", "karras")]:
        text = refused_at_construction(Text2Image, prompt="a", schedule=written)
        assert "Text2Image.schedule" in text and f"did you mean {ours!r}" in text
    text = refused_at_construction(Text2Image, prompt="a", scheduler="simple")
    assert "write `schedule:`" in text


def test_a_scheduler_that_ignores_zero_snr_says_so(copied: Callable[[str], Path]) -> None:
    checkpoint = edited(copied(BASE), rescale_betas_zero_snr=True, prediction_type="v_prediction")
    (text,) = warnings(checkpoint, scheduler="heun")
    assert "heun, which ignores" in text and "zero terminal SNR" in text
    for name in get_args(Scheduler):
        heard = warnings(checkpoint, scheduler=name)
        class_name = CLASSES.get(name, ("",))[0]
        if class_name:
            rescales = class_name in noise_schedules._RESCALES_BETAS
            assert bool(heard) != rescales, name
            options = make_scheduler(checkpoint, name).config
            assert options["prediction_type"] == "v_prediction"
    assert warnings(checkpoint) == warnings(Checkpoint(BASE), scheduler="heun") == []


def test_a_scheduler_that_cannot_read_a_predicted_picture_is_refused(
    copied: Callable[[str], Path],
) -> None:
    checkpoint = edited(copied(BASE), prediction_type="sample")
    (text,) = problems(checkpoint, scheduler="pndm")
    assert "prediction_type is sample" in text
    assert problems(checkpoint, scheduler="ddim") == []
