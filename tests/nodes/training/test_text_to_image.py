"""The base: trained over an autoencoder, used by the nodes."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.errors import InvalidError, InvalidValueError, NodeFailedError
from sdgraph.events import Event, Stepped
from sdgraph.models import fetch_checkpoint
from sdgraph.nodes import Text2Image
from sdgraph.nodes.diffusion.families import STABLE_DIFFUSION
from sdgraph.nodes.training.data import TinyWorld, WorldDataset
from sdgraph.nodes.training.loading import load_autoencoder, untrained_parts
from sdgraph.nodes.training.loop import Settings
from sdgraph.nodes.training.text_to_image import TextToImageTrainee, TrainText2Image
from tests.support.toy_family import known_family

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
    parts = untrained_parts(LIKE, ("text_encoder", "unet"), 0) | {"vae": load_autoencoder(LIKE)}
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
        expected = level.sqrt() * noise - (1 - level).sqrt() * latents
        assert torch.allclose(trainee.target(latents, noise, times), expected, atol=1e-6)
        trainee.noise_schedule = DDPMScheduler(prediction_type="epsilon")
        assert trainee.target(latents, noise, times) is noise
        trainee.noise_schedule = DDPMScheduler(prediction_type="sample")
        with pytest.raises(InvalidValueError, match=r"'sample'\n  wanted: 'epsilon'"):
            trainee.target(latents, noise, times)
    finally:
        trainee.noise_schedule = before


def test_a_bias_draws_noisy_times_more_often() -> None:
    import torch

    parts = untrained_parts(LIKE, ("text_encoder", "unet"), 0) | {"vae": load_autoencoder(LIKE)}

    def drawn_times(bias: float) -> Any:
        chosen = Settings(15, 4, 3e-3, timestep_bias=bias)
        random = torch.Generator("cpu").manual_seed(0)
        trainee = TextToImageTrainee(parts, WorldDataset(1, 0, SIDE), chosen)
        return trainee.sample_timesteps(4000, random)

    plain, biased, other = drawn_times(1.0), drawn_times(1.6), drawn_times(0.5)
    for times in (plain, biased, other):
        assert times.min() >= 0 and times.max() <= 999 and times.dtype == torch.int64
    # The mean of 1 - u^b for u drawn evenly from 0..1 is b / (b + 1).
    for bias, times in ((1.0, plain), (1.6, biased), (0.5, other)):
        assert float(times.float().mean()) == pytest.approx(1000 * bias / (bias + 1), abs=15)


def test_one_seed_makes_one_checkpoint(
    trained: Checkpoint, tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TextToImageTrainee, "sample", lambda _: None)
    again = run(node(tmp_path / "again"), session=session)
    other = run(node(tmp_path / "other", seed=1), session=session)
    assert contents(Path(again.source)) == contents(Path(trained.source))
    assert contents(Path(other.source)) != contents(Path(trained.source))


def test_the_curve_and_a_sheet_of_samples_are_next_to_it(trained: Checkpoint) -> None:
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
    assert {
        v.dtype for file in files for v in load_file(file).values() if v.is_floating_point()
    } == {torch.float16}


def test_training_and_use_stand_in_one_graph(tmp_path: Path, session: Session) -> None:
    steps: list[Stepped] = []

    def listen(event: Event) -> None:
        if isinstance(event, Stepped):
            steps.append(event)

    base = TrainText2Image(
        data=TinyWorld(count=4, side=SIDE), vae=LIKE, out=str(tmp_path), steps=1, batch=1
    )
    picture = Text2Image(prompt="a red star", steps=1, checkpoint=base, width=SIDE, height=SIDE)
    result = run(picture, session=session, on_event=listen)
    assert result.size == (SIDE, SIDE)
    assert (steps[0].step, steps[0].total) == (1, 1)
    assert steps[0].loss is not None and 0 < steps[0].loss < 10


def fine_tuning(out: Path, **more: Any) -> TrainText2Image:
    """A fine-tuning of so small a rate that nothing moves by a half-precision digit."""
    data = TinyWorld(count=8, side=SIDE)
    fields: dict[str, Any] = {"base": LIKE, "steps": 1, "batch": 2, "learning_rate": 1e-12, **more}
    return TrainText2Image(data=data, out=str(out), **fields)


@pytest.fixture
def no_sheets(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(TextToImageTrainee, "sample", lambda _: None)


@pytest.mark.usefixtures("no_sheets")
def test_training_continues_from_a_base_and_copies_what_is_not_trained(
    tmp_path: Path, session: Session
) -> None:
    from safetensors.torch import load_file

    folder = Path(run(fine_tuning(tmp_path / "still"), session=session).source)
    before, after = contents(fetch_checkpoint(LIKE)), contents(folder)
    before.pop("README.md", None)
    assert before.keys() == after.keys()
    trained = ("unet/diffusion_pytorch_model.safetensors", "text_encoder/model.safetensors")
    for name in trained:
        old, new = load_file(fetch_checkpoint(LIKE) / name), load_file(folder / name)
        assert all(old[key].half().equal(new[key]) for key in old)
    assert all(before[name] == after[name] for name in before if name not in trained)
    moved = Path(run(fine_tuning(tmp_path / "moved", learning_rate=1e-2), session=session).source)
    changed = {name for name, digest in contents(moved).items() if digest != before[name]}
    assert changed == set(trained)


@pytest.mark.usefixtures("no_sheets")
def test_a_base_of_a_new_family_is_trained_by_the_names_that_its_family_declares(
    copied: Any, tmp_path: Path, session: Session
) -> None:
    network = replace(STABLE_DIFFUSION.denoiser, name="network")
    family = replace(STABLE_DIFFUSION, label="Toy", class_names=("ToyDiffusion",), denoiser=network)
    folder = copied("tiny/text-to-image")
    (folder / "unet").rename(folder / "network")
    path = folder / "model_index.json"
    index = path.read_text().replace("StableDiffusionPipeline", "ToyDiffusionPipeline")
    path.write_text(index.replace('"unet"', '"network"'))
    base = Checkpoint(folder)
    training = fine_tuning(tmp_path / "out", base=base, learning_rate=1e-2)
    with known_family(family):
        made = Path(run(training, session=session).source)
    before, after = contents(folder), contents(made)
    before.pop("README.md", None)
    assert before.keys() == after.keys()
    assert {name for name in before if before[name] != after[name]} == {
        "network/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    }


@pytest.mark.usefixtures("no_sheets")
def test_a_base_of_a_variant_is_copied_as_one_without_a_variant(
    tmp_path: Path, session: Session
) -> None:
    copy = shutil.copytree(fetch_checkpoint(LIKE), tmp_path / "own")
    for path in copy.rglob("*.safetensors"):
        path.rename(path.with_suffix(".fp16.safetensors"))
    base = Checkpoint(copy, variant="fp16")
    result = run(fine_tuning(tmp_path / "out", base=base), session=session)
    star = Text2Image(prompt="a red star", steps=1, checkpoint=result, width=SIDE, height=SIDE)
    assert run(star, session=session).size == (SIDE, SIDE)
    plain = run(fine_tuning(tmp_path / "plain"), session=session)
    assert contents(Path(result.source)) == contents(Path(plain.source))


@pytest.mark.usefixtures("no_sheets")
def test_a_vae_given_with_a_base_replaces_the_bases(tmp_path: Path, session: Session) -> None:
    from safetensors.torch import load_file, save_file

    copy = shutil.copytree(fetch_checkpoint(LIKE) / "vae", tmp_path / "vae")
    name = "diffusion_pytorch_model.safetensors"
    other = {key: (value * 1.01).half() for key, value in load_file(copy / name).items()}
    save_file(other, copy / name, metadata={"format": "pt"})
    result = run(fine_tuning(tmp_path / "out", vae=Checkpoint(copy)), session=session)
    weights = load_file(Path(result.source) / "vae" / name)
    assert weights.keys() == other.keys()
    assert all(weights[key].equal(other[key]) for key in other)


@pytest.mark.parametrize(
    ("fields", "subject", "message"),
    [
        ({"base": None}, "vae", "neither a base nor a vae"),
        ({"like": LIKE}, "like", "a base and a like"),
        ({"base": None, "vae": LIKE, "rank": 4}, "rank", "rank 4 without a base"),
        ({"base": Checkpoint("tiny/sdxl")}, "base", r"tiny/sdxl \(StableDiffusionXLPipeline\)"),
        ({"base": Checkpoint("tiny/inpaint")}, "base", "whose U-Net takes 9 channels"),
        ({"base": None, "vae": LIKE, "like": Checkpoint("tiny/depth")}, "like", "5 channels"),
    ],
)
def test_what_does_not_go_together_is_reported_before_anything_is_made(
    fields: dict[str, Any], subject: str, message: str, tmp_path: Path, session: Session
) -> None:
    with pytest.raises(InvalidError, match=message) as refused:
        run(fine_tuning(tmp_path / "no", **fields), session=session)
    (problem,) = refused.value.problems
    assert problem.subject.endswith(subject)
    assert not (tmp_path / "no").exists()


@pytest.mark.usefixtures("no_sheets")
def test_a_run_from_nothing_does_not_go_on_as_a_fine_tuning(
    tmp_path: Path, session: Session
) -> None:
    run(fine_tuning(tmp_path, base=None, vae=LIKE), session=session)
    with pytest.raises(NodeFailedError, match="base was None, is "):
        run(fine_tuning(tmp_path), session=session)
