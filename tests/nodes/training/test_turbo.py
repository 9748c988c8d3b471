"""Turbo: a student that agrees with its scheduler, and a teacher that is not changed."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.errors import InvalidError
from sdgraph.models import fetch_checkpoint, resolve_part
from sdgraph.nodes import Turbo
from sdgraph.nodes.diffusion.families import SDXL
from sdgraph.nodes.training.data import TinyWorld, WorldDataset
from sdgraph.nodes.training.discriminator import hinge_loss, r1_penalty
from sdgraph.nodes.training.frozen import hash_module
from sdgraph.nodes.training.loading import load_parts
from sdgraph.nodes.training.loop import Settings, train
from sdgraph.nodes.training.starting_weights import with_untrained_denoiser
from sdgraph.nodes.training.state import ResumeError
from sdgraph.nodes.training.turbo import (
    Distillation,
    TrainTurbo,
    TurboTrainee,
    noise_in_use,
    times_in_use,
)
from sdgraph.nodes.training.unet import down_block_features
from sdgraph.values import Part

from .test_inpaint import contents

TEACHER, LIKE = Checkpoint("tiny/sdxl"), Checkpoint("tiny/turbo")
SIDE = 64
SETTINGS = Settings(4, 4, 3e-3, warmup=0, save_every=1)


def make_trainee(
    settings: Settings = SETTINGS, distillation: Distillation | None = None
) -> TurboTrainee:
    teacher = load_parts(TEACHER)
    parts = with_untrained_denoiser(teacher, LIKE, 0)
    parts.denoiser.load_state_dict(teacher.denoiser.state_dict())
    return TurboTrainee(parts, teacher.denoiser, WorldDataset(8, 0, SIDE), settings, distillation)


def scheduler_of(prediction: str = "v_prediction") -> Any:
    from diffusers import EulerAncestralDiscreteScheduler

    return EulerAncestralDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=prediction,
        timestep_spacing="trailing",
        steps_offset=1,
    )


@pytest.fixture(scope="module")
def trainee() -> TurboTrainee:
    return make_trainee()


def node(out: Path, **more: Any) -> TrainTurbo:
    data = TinyWorld(count=8, side=SIDE)
    return TrainTurbo(data=data, teacher=TEACHER, out=str(out), steps=2, batch=2, **more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, session: Session) -> Checkpoint:
    return run(node(tmp_path_factory.mktemp("turbo")), session=session)


def test_the_students_times_are_those_of_one_to_four_steps() -> None:
    assert times_in_use(scheduler_of()) == [999, 749, 666, 499, 332, 249]
    assert times_in_use(scheduler_of(), 1) == [999]


@pytest.mark.parametrize("prediction", ["v_prediction", "epsilon"])
@pytest.mark.parametrize("steps", [1, 2, 3, 4])
def test_training_and_use_agree(prediction: str, steps: int, trainee: TurboTrainee) -> None:
    import torch
    from diffusers import DDPMScheduler

    scheduler = scheduler_of(prediction)
    scheduler.set_timesteps(steps)
    random = torch.Generator("cpu").manual_seed(steps)
    before = trainee.noise_schedule
    trainee.noise_schedule = DDPMScheduler.from_config(scheduler.config)
    try:
        noise = torch.randn(2, 4, 8, 8, generator=random)
        latents = noise * scheduler.init_noise_sigma
        first = scheduler.scale_model_input(latents, scheduler.timesteps[0])
        assert torch.allclose(first, noise * noise_in_use(scheduler), atol=1e-5)
        for time in scheduler.timesteps:
            assert int(time) in times_in_use(scheduler)
            scaled = scheduler.scale_model_input(latents, time)
            predicted = torch.randn(2, 4, 8, 8, generator=random)
            done = scheduler.step(predicted, time, latents, generator=random)
            mine = trainee.denoise(scaled, predicted, torch.tensor([int(time)] * 2))
            assert torch.allclose(mine, done.pred_original_sample, rtol=1e-4, atol=1e-4)
            latents = done.prev_sample
    finally:
        trainee.noise_schedule = before


@pytest.mark.parametrize("spacing", ["leading", "linspace", None])
def test_a_scheduler_that_does_not_begin_with_noise_is_refused(
    spacing: str | None, tmp_path: Path
) -> None:
    # With "leading" or "linspace", one step is at the clear end of the schedule.
    copy = shutil.copytree(fetch_checkpoint(LIKE), tmp_path / "like")
    path = copy / "scheduler" / "scheduler_config.json"
    config = {**json.loads(path.read_text()), "timestep_spacing": spacing}
    path.write_text(json.dumps({name: value for name, value in config.items() if value}))
    with pytest.raises(InvalidError) as refused:
        run(node(tmp_path, like=Checkpoint(copy)))
    assert 'timestep_spacing "trailing"' in str(refused.value)
    assert f"whose timestep_spacing is {spacing!r}" in str(refused.value)


def test_features_are_those_that_the_unet_computes(trainee: TurboTrainee) -> None:
    import torch

    unet, batch = trainee.teacher, trainee.batch(0)
    outputs: list[Any] = []
    hook = unet.mid_block.register_forward_hook(lambda _, __, out: outputs.append(out))
    times = torch.tensor([5, 10, 500, 700])
    conditions = trainee.added_conditions(batch.summary)
    with torch.no_grad():
        computed = down_block_features(unet, batch.latents, times, batch.words, conditions)
        trainee.run_denoiser(unet, batch.latents, times, batch.words, batch.summary)
    hook.remove()
    assert torch.equal(outputs[0], outputs[1])
    assert torch.equal(computed[-1], outputs[1])
    assert [feature.shape[-1] for feature in computed][:3] == [8, 4, 2] or len(computed) > 3


def test_the_discriminators_losses_are_those_of_the_papers() -> None:
    import torch

    true, false = torch.tensor([[2.0, 0.0]]), torch.tensor([[-3.0, 1.0]])
    assert float(hinge_loss(true, false)) == pytest.approx(0.5 + 1.0)
    values = torch.tensor([[[[1.0, 2.0]]], [[[3.0, 4.0]]]], requires_grad=True)
    scores = (3 * values).flatten(1)
    # The mean of two places, each 3 steep: two gradients of 1.5 a picture.
    assert float(r1_penalty(scores, [values]).detach()) == pytest.approx(2 * 1.5**2)


def test_the_student_learns_from_both_losses_and_the_teacher_does_not_learn(
    trainee: TurboTrainee,
) -> None:
    import torch

    before = hash_module(trainee.teacher)
    trainee.adversary.loss(1).backward()
    assert all(p.grad is not None for p in trainee.adversary.discriminator.parameters())
    student = trainee.parts["unet"]
    assert all(p.grad is None for p in student.parameters())
    without_teacher = make_trainee(distillation=replace(trainee.distillation, distil=0.0))
    without_teacher.loss(1).backward()
    assert float(without_teacher.parts["unet"].conv_out.weight.grad.abs().sum()) > 0
    assert all(p.grad is None for p in without_teacher.teacher.parameters())
    assert torch.isfinite(trainee.loss(2).detach())
    assert hash_module(trainee.teacher) == before


def test_the_student_comes_nearer_to_its_teacher() -> None:
    import torch
    from diffusers import DDPMScheduler

    pupil = make_trainee()
    pupil.noise_schedule = DDPMScheduler.from_config(scheduler_of().config)
    optimizer = torch.optim.AdamW(pupil.parts["unet"].parameters(), lr=1e-3)
    distances = []
    for _ in range(12):
        pupil._batch = None  # the same step again, with what the student makes now
        distance = pupil.distance(pupil.batch(0))
        optimizer.zero_grad()
        distance.backward()
        optimizer.step()
        distances.append(float(distance.detach()))
    assert distances[-1] < 0.9 * distances[0]


@pytest.mark.parametrize("stop", [1, pytest.param(3, marks=pytest.mark.slow)])
def test_a_run_that_was_stopped_makes_the_same_weights(stop: int, tmp_path: Path) -> None:
    import torch

    class StoppedError(Exception):
        pass

    def progress(step: int, _: int, **__: Any) -> None:
        if step == stop:
            raise StoppedError

    def trainee_without_sheets() -> Any:
        one = make_trainee()
        one.sample = lambda: None  # type: ignore[method-assign]
        return one

    first, second = trainee_without_sheets(), trainee_without_sheets()
    uninterrupted = train(first, SETTINGS, tmp_path / "whole")["unet"]
    with pytest.raises(StoppedError):
        train(trainee_without_sheets(), SETTINGS, tmp_path / "cut", progress)
    resumed = train(second, SETTINGS, tmp_path / "cut")["unet"]
    assert all(torch.equal(uninterrupted[name], resumed[name]) for name in uninterrupted)
    assert hash_module(first.adversary.discriminator) == hash_module(second.adversary.discriminator)


def test_a_run_with_another_weighting_is_refused(tmp_path: Path) -> None:
    one = make_trainee(replace(SETTINGS, steps=1))
    one.sample = lambda: None  # type: ignore[method-assign]
    train(one, one.settings, tmp_path)
    other = make_trainee(one.settings, Distillation(guidance=5.0))
    with pytest.raises(ResumeError, match=r"guidance was 3\.0, is 5\.0"):
        train(other, other.settings, tmp_path)


def test_plain_diffusers_loads_it_and_the_rest_is_the_teachers(trained: Checkpoint) -> None:
    from diffusers import DiffusionPipeline, EulerAncestralDiscreteScheduler

    pipe = DiffusionPipeline.from_pretrained(trained.source)
    assert isinstance(pipe.scheduler, EulerAncestralDiscreteScheduler)
    teacher = Checkpoint(fetch_checkpoint(TEACHER))
    for name in SDXL.components_without("unet"):
        assert (
            resolve_part(Part(trained, name)).fingerprint
            == resolve_part(Part(teacher, name)).fingerprint
        )
    assert (
        resolve_part(Part(trained, "unet")).fingerprint
        != resolve_part(Part(teacher, "unet")).fingerprint
    )


def test_the_turbo_node_uses_it_in_one_step(trained: Checkpoint, session: Session) -> None:
    picture = Turbo(prompt="a red star", checkpoint=trained, width=SIDE, height=SIDE)
    assert run(picture, session=session).size == (SIDE, SIDE)


def test_one_seed_makes_one_checkpoint(
    trained: Checkpoint, tmp_path: Path, session: Session
) -> None:
    again = run(node(tmp_path / "again"), session=session)
    assert contents(Path(again.source)) == contents(Path(trained.source))


def test_a_teacher_of_another_layout_is_refused_before_loading(tmp_path: Path) -> None:
    wrong = TrainTurbo(
        data=TinyWorld(count=1), teacher=Checkpoint("tiny/text-to-image"), out=str(tmp_path)
    )
    with pytest.raises(InvalidError) as refused:
        run(wrong)
    assert "wanted: a checkpoint in SDXL's layout" in str(refused.value)
