"""The autoencoder: trained, measured, saved, and read back by what will use it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.models import resolve
from sdgraph.nodes.training.data import TinyWorld, WorldDataset
from sdgraph.nodes.training.latents import encode_pictures
from sdgraph.nodes.training.loading import load_autoencoder
from sdgraph.nodes.training.loop import Settings, train
from sdgraph.nodes.training.vae import TrainVae, VaeTrainee

from .test_inpaint import contents, descend

LIKE = Checkpoint("tiny/text-to-image")
SIDE = 32


def fresh(seed: int = 0) -> Any:
    import torch
    from diffusers import AutoencoderKL

    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        model = AutoencoderKL.from_config(dict(resolve(LIKE).config("vae") or {}))
    return model.to(memory_format=torch.channels_last)


def node(out: Path, **more: Any) -> TrainVae:
    data = TinyWorld(count=8, side=SIDE)
    return TrainVae(data=data, like=LIKE, out=str(out), steps=3, batch=2, **more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, session: Session) -> Checkpoint:
    return run(node(tmp_path_factory.mktemp("vae")), session=session)


def test_the_loss_falls_on_one_batch() -> None:
    losses = descend(VaeTrainee(fresh(), WorldDataset(8, 0, SIDE), Settings(12, 4, 3e-3)), 12)
    assert losses[-1] < 0.9 * losses[0]


def test_one_seed_makes_one_autoencoder(
    trained: Checkpoint, tmp_path: Path, session: Session
) -> None:
    again = run(node(tmp_path / "again"), session=session)
    other = run(node(tmp_path / "other", seed=1), session=session)
    assert contents(Path(again.source)) == contents(Path(trained.source))
    assert contents(Path(other.source)) != contents(Path(trained.source))


def test_a_run_that_was_stopped_makes_the_same_weights(tmp_path: Path) -> None:
    import torch

    class StoppedError(Exception):
        pass

    def stop(step: int, _: int, **__: Any) -> None:
        if step == 2:
            raise StoppedError

    chosen = Settings(4, 2, 3e-3, save_every=1, warmup=0)
    data = WorldDataset(8, 0, SIDE)
    uninterrupted = train(VaeTrainee(fresh(), data, chosen), chosen, tmp_path / "whole")["vae"]
    with pytest.raises(StoppedError):
        train(VaeTrainee(fresh(), data, chosen), chosen, tmp_path / "cut", stop)
    # The state puts the weights back, whatever the module began with.
    resumed = train(VaeTrainee(fresh(9), data, chosen), chosen, tmp_path / "cut")["vae"]
    assert all(torch.equal(uninterrupted[name], resumed[name]) for name in uninterrupted)


def test_its_latents_have_a_deviation_of_about_one(trained: Checkpoint) -> None:
    vae = load_autoencoder(trained)
    latents = encode_pictures(vae, WorldDataset(8, 0, SIDE).pictures)
    assert float(latents.std()) == pytest.approx(1, rel=0.02)
    assert latents.shape[:2] == (8, 4)


def test_plain_diffusers_loads_it_in_half_precision(trained: Checkpoint) -> None:
    import torch
    from diffusers import AutoencoderKL
    from safetensors.torch import load_file

    vae = AutoencoderKL.from_pretrained(trained.source)
    assert vae.config.scaling_factor == load_autoencoder(trained).config.scaling_factor
    file = Path(trained.source) / "diffusion_pytorch_model.safetensors"
    assert {value.dtype for value in load_file(file).values()} == {torch.float16}
