"""The base: trained over an autoencoder, used by the nodes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.events import Event, Stepped
from sdgraph.nodes import Text2Image
from sdgraph.nodes.training.assembly import fresh_parts, load_vae
from sdgraph.nodes.training.data import TinyWorld, WorldDataset
from sdgraph.nodes.training.loop import Settings
from sdgraph.nodes.training.text_to_image import TextToImageTrainee, TrainText2Image

from .test_inpaint import contents, descend

LIKE = Checkpoint("tiny/text-to-image")
SIDE = 64


def node(out: Path, **more: Any) -> TrainText2Image:
    data = TinyWorld(count=8, side=SIDE)
    return TrainText2Image(data=data, vae=LIKE, out=str(out), steps=2, batch=2, **more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, session: Session) -> Checkpoint:
    return run(node(tmp_path_factory.mktemp("base")), session=session)


@pytest.fixture(scope="module")
def trainee() -> TextToImageTrainee:
    parts = {**fresh_parts(LIKE, ("text_encoder", "unet"), 0), "vae": load_vae(LIKE)}
    return TextToImageTrainee(parts, WorldDataset(8, 0, SIDE), Settings(15, 4, 3e-3))


def test_the_loss_falls_on_one_batch(trainee: TextToImageTrainee) -> None:
    losses = descend(trainee)
    assert losses[-1] < 0.9 * losses[0]


def test_a_step_draws_the_same_whatever_came_before(trainee: TextToImageTrainee) -> None:
    import torch

    with torch.no_grad():
        first, other, again = (float(trainee.loss(step)) for step in (3, 4, 3))
    assert first == again != other


def test_what_is_asked_for_follows_the_scheduler(trainee: TextToImageTrainee) -> None:
    import torch
    from diffusers import DDPMScheduler

    latents, noise = trainee.latents[:2], torch.ones_like(trainee.latents[:2])
    times = torch.tensor([10, 700])
    before = trainee.noise_schedule
    try:
        trainee.noise_schedule = DDPMScheduler(prediction_type="v_prediction")
        level = trainee.noise_schedule.alphas_cumprod[times][:, None, None, None]
        wanted = level.sqrt() * noise - (1 - level).sqrt() * latents
        assert torch.allclose(trainee.target(latents, noise, times), wanted, atol=1e-6)
        trainee.noise_schedule = DDPMScheduler(prediction_type="epsilon")
        assert trainee.target(latents, noise, times) is noise
    finally:
        trainee.noise_schedule = before


def test_one_seed_makes_one_checkpoint(
    trained: Checkpoint, tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TextToImageTrainee, "sample", lambda _: None)
    again = run(node(tmp_path / "again"), session=session)
    other = run(node(tmp_path / "other", seed=1), session=session)
    assert contents(Path(again.source)) == contents(Path(trained.source))
    assert contents(Path(other.source)) != contents(Path(trained.source))


def test_the_curve_and_a_sheet_of_samples_lie_beside_it(trained: Checkpoint) -> None:
    from PIL import Image

    training = Path(trained.source).parent / "training"
    assert (training / "curve.png").is_file()
    with Image.open(training / "samples" / "000002.png") as sheet:
        assert sheet.size == (8 * SIDE, 2 * SIDE)


def test_plain_diffusers_loads_it_and_its_weights_are_half_precision(trained: Checkpoint) -> None:
    import torch
    from diffusers import StableDiffusionPipeline
    from safetensors.torch import load_file

    pipe = StableDiffusionPipeline.from_pretrained(trained.source)
    assert pipe.unet.config.in_channels == 4
    files = sorted(Path(trained.source).glob("*/*.safetensors"))
    assert len(files) == 3
    assert {v.dtype for file in files for v in load_file(file).values() if v.is_floating_point()} \
        == {torch.float16}  # fmt: skip


def test_training_and_use_stand_in_one_graph(tmp_path: Path, session: Session) -> None:
    seen: list[Stepped] = []

    def listen(event: Event) -> None:
        if isinstance(event, Stepped):
            seen.append(event)

    base = TrainText2Image(
        data=TinyWorld(count=4, side=SIDE), vae=LIKE, out=str(tmp_path), steps=1, batch=1
    )
    picture = Text2Image(prompt="a red star", steps=1, checkpoint=base, width=SIDE, height=SIDE)
    made = run(picture, session=session, on_event=listen)
    assert made.size == (SIDE, SIDE)
    assert (seen[0].step, seen[0].total) == (1, 1)
