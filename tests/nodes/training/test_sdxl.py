"""The base in SDXL's layout: both encoders read as its pipeline reads them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.errors import InvalidError
from sdgraph.models import fetch_checkpoint
from sdgraph.nodes import Text2Image
from sdgraph.nodes.diffusion.families import SDXL
from sdgraph.nodes.training.data import TinyWorld, WorldDataset
from sdgraph.nodes.training.loading import load_autoencoder, untrained_parts
from sdgraph.nodes.training.loop import Settings
from sdgraph.nodes.training.pipeline_parts import PipelineParts
from sdgraph.nodes.training.sdxl import SdxlTrainee, TrainSdxl

from .test_inpaint import contents, descend

LIKE = Checkpoint("tiny/sdxl")
SIDE = 64


def node(out: Path, **more: Any) -> TrainSdxl:
    data = TinyWorld(count=8, side=SIDE)
    return TrainSdxl(data=data, vae=LIKE, out=str(out), steps=2, batch=2, **more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, session: Session) -> Checkpoint:
    return run(node(tmp_path_factory.mktemp("sdxl")), session=session)


@pytest.fixture(scope="module")
def trainee() -> SdxlTrainee:
    names = ("text_encoder", "text_encoder_2", "unet")
    parts = untrained_parts(LIKE, names, 0) | {"vae": load_autoencoder(LIKE)}
    return SdxlTrainee(parts, WorldDataset(8, 0, SIDE), Settings(15, 4, 3e-3))


def test_words_are_read_as_the_pipeline_reads_them(trained: Checkpoint) -> None:
    import torch
    from diffusers import StableDiffusionXLPipeline

    pipe = StableDiffusionXLPipeline.from_pretrained(trained.source, dtype=torch.float32)
    scheduler = untrained_parts(LIKE, (), 0).scheduler
    parts = PipelineParts(SDXL, {**pipe.components, "scheduler": scheduler})
    trainee = SdxlTrainee(parts, WorldDataset(2, 0, SIDE), Settings(1, 2, 1e-3))
    caption = trainee.data.captions[0]
    with torch.no_grad():
        words, _, summary, _ = pipe.encode_prompt(caption, do_classifier_free_guidance=False)
        _, no_words, _, no_summary = pipe.encode_prompt(caption, do_classifier_free_guidance=True)
        mine, short = trainee.read_captions(torch.tensor([0, 2]))
    assert torch.allclose(mine[0], words[0], atol=1e-5)
    assert torch.allclose(short[0], summary[0], atol=1e-5)
    assert torch.equal(mine[1], no_words[0])
    assert torch.equal(short[1], no_summary[0])


def test_the_loss_falls_on_one_batch(trainee: SdxlTrainee) -> None:
    losses = descend(trainee)
    assert losses[-1] < 0.9 * losses[0]


def test_one_seed_makes_one_checkpoint(
    trained: Checkpoint, tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(SdxlTrainee, "sample", lambda _: None)
    again = run(node(tmp_path / "again"), session=session)
    assert contents(Path(again.source)) == contents(Path(trained.source))


def test_the_nodes_use_it(trained: Checkpoint, session: Session) -> None:
    result = run(
        Text2Image(prompt="a red star", steps=1, checkpoint=trained, width=SIDE, height=SIDE),
        session=session,
    )
    assert result.size == (SIDE, SIDE)


def test_training_continues_from_a_base(
    tmp_path: Path, session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    from safetensors.torch import load_file

    monkeypatch.setattr(SdxlTrainee, "sample", lambda _: None)
    result = run(
        TrainSdxl(
            data=TinyWorld(count=4, side=SIDE),
            base=LIKE,
            out=str(tmp_path),
            steps=1,
            batch=1,
            learning_rate=1e-12,
        ),
        session=session,
    )
    for path in fetch_checkpoint(LIKE).rglob("*.safetensors"):
        name = path.relative_to(fetch_checkpoint(LIKE))
        before, after = load_file(path), load_file(Path(result.source) / name)
        assert all(before[key].half().equal(after[key].half()) for key in before)


def test_a_base_in_another_layout_is_refused(tmp_path: Path, session: Session) -> None:
    base = Checkpoint("tiny/text-to-image")
    wrong = TrainSdxl(data=TinyWorld(count=4, side=SIDE), base=base, out=str(tmp_path))
    with pytest.raises(InvalidError, match="wanted: a checkpoint in SDXL's layout"):
        run(wrong, session=session)
