"""Depth estimators and depth-guided checkpoints, trained."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.errors import InvalidError, InvalidValueError, InvalidWorkflowError
from sdgraph.models import fetch_checkpoint, resolve, resolve_part
from sdgraph.nodes import DepthEstimate, DepthToImage
from sdgraph.nodes.tiny_world import random_scene, render_scene
from sdgraph.nodes.training.data import TinyWorld, WorldDataset
from sdgraph.nodes.training.depth import (
    DepthTrainee,
    Preparation,
    TrainDepth,
    depth_loss,
    scale_last_layer,
    set_positive_output,
)
from sdgraph.nodes.training.depth_to_image import DepthToImageTrainee, TrainDepthToImage
from sdgraph.nodes.training.loading import load_model, load_parts, untrained_model
from sdgraph.nodes.training.loop import Settings
from sdgraph.nodes.training.picture_folder import PictureFolder
from sdgraph.nodes.training.starting_weights import load_widened_parts
from sdgraph.values import Image, Part

from .test_inpaint import contents, descend

BASE = Checkpoint("tiny/text-to-image")
ESTIMATOR = Checkpoint("tiny/depth-estimator")
SIDE = 64


def estimator(out: Path, **more: Any) -> TrainDepth:
    return TrainDepth(data=TinyWorld(count=8, side=SIDE), out=str(out), steps=2, batch=2, **more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, session: Session) -> Checkpoint:
    return run(estimator(tmp_path_factory.mktemp("estimator")), session=session)


def guided_training(out: Path, depth: Checkpoint) -> TrainDepthToImage:
    data = TinyWorld(count=8, side=SIDE)
    return TrainDepthToImage(data=data, base=BASE, depth=depth, out=str(out), steps=2, batch=2)


@pytest.fixture(scope="module")
def painter(
    trained: Checkpoint, tmp_path_factory: pytest.TempPathFactory, session: Session
) -> Checkpoint:
    return run(guided_training(tmp_path_factory.mktemp("depth"), trained), session=session)


@pytest.fixture(scope="module")
def trainee() -> DepthToImageTrainee:
    parts = load_widened_parts(BASE, Checkpoint("tiny/depth"), seed=0)
    return DepthToImageTrainee(parts, WorldDataset(8, 0, SIDE), Settings(15, 4, 3e-3))


def test_close_depths_stay_distinct_and_in_order() -> None:
    import torch

    model = load_model(ESTIMATOR)
    with torch.no_grad():
        model.head.head[-2].weight.mul_(0.01)
        model.head.head[-2].bias.fill_(1)
    pictures = np.stack([render_scene(random_scene(number), SIDE) for number in range(6)])
    prepared = Preparation(ESTIMATOR)(torch.from_numpy(pictures))
    with torch.no_grad():
        before = model(prepared).predicted_depth
        scale_last_layer(model, prepared)
        after = model(prepared).predicted_depth
    assert before.std() < 0.02 * before.mean()
    ends = torch.quantile(after.flatten(), torch.tensor([0.01, 0.99]))
    torch.testing.assert_close(ends, torch.tensor([0.1, 1.1]), rtol=0.02, atol=0.02)
    kept = after.flatten() > 0
    both = torch.stack([before.flatten()[kept], after.flatten()[kept]]).double()
    assert torch.corrcoef(both)[0, 1] > 0.999


@pytest.mark.parametrize("side", [32, 64, 128, 200])
@pytest.mark.parametrize("resample", [2, 3])
def test_pictures_are_prepared_as_the_processor_does(
    side: int, resample: int, tmp_path: Path
) -> None:
    import torch
    from PIL.Image import fromarray
    from transformers import AutoImageProcessor

    folder = Path(shutil.copytree(fetch_checkpoint(ESTIMATOR), tmp_path / "estimator"))
    path = folder / "preprocessor_config.json"
    path.write_text(path.read_text().replace('"resample": 2', f'"resample": {resample}'))
    pictures = np.stack([render_scene(random_scene(number), side) for number in range(3)])
    processor = AutoImageProcessor.from_pretrained(folder, backend="pil")
    theirs = processor(
        [fromarray(picture) for picture in pictures], return_tensors="pt"
    ).pixel_values
    ours = Preparation(Checkpoint(folder))(torch.from_numpy(pictures))
    apart = (ours - theirs).abs()
    if side > 128:  # made smaller, a pixel in some hundreds is one grey level of 255 off
        assert (apart > 1e-6).float().mean() < 5e-3
        apart -= 2 / 255
    assert apart.max() < 1e-6


def test_a_processor_that_is_not_known_is_refused(tmp_path: Path) -> None:
    folder = Path(shutil.copytree(fetch_checkpoint(ESTIMATOR), tmp_path / "estimator"))
    path = folder / "preprocessor_config.json"
    path.write_text(path.read_text().replace('"resample": 2', '"resample": 1'))
    with pytest.raises(InvalidValueError, match="resample 1"):
        Preparation(Checkpoint(folder))


def test_the_loss_sees_neither_shift_nor_scale_but_sees_the_sign() -> None:
    import torch

    true = torch.from_numpy(WorldDataset(3, 0, SIDE).depths(range(3)))
    assert float(depth_loss(7 * true - 3, true)) < 1e-4
    assert float(depth_loss(-true, true)) > 1
    assert float(depth_loss(true.roll(9, dims=2), true)) > 0.05


def test_a_flat_prediction_has_a_finite_loss_and_gradient() -> None:
    import torch

    true = torch.from_numpy(WorldDataset(2, 0, SIDE).depths(range(2)))
    flat = torch.zeros_like(true, requires_grad=True)
    depth_loss(flat, true).backward()
    assert flat.grad is not None and torch.isfinite(flat.grad).all()


def test_the_estimators_loss_falls_on_one_batch() -> None:
    model = untrained_model(ESTIMATOR, 0)
    set_positive_output(model)
    data = WorldDataset(4, 0, SIDE)
    trainee = DepthTrainee(model, Preparation(ESTIMATOR), data, Settings(15, 2, 3e-3))
    losses = descend(trainee)
    assert losses[-1] < 0.9 * losses[0]


def test_plain_transformers_loads_the_estimator(trained: Checkpoint) -> None:
    import transformers

    model = transformers.DPTForDepthEstimation.from_pretrained(trained.source)
    assert (
        model.config.to_dict()["hidden_size"] == (resolve(ESTIMATOR).config() or {})["hidden_size"]
    )
    transformers.AutoImageProcessor.from_pretrained(trained.source, backend="pil")


def test_the_depth_node_uses_it(trained: Checkpoint, session: Session) -> None:
    photo = Image(render_scene(random_scene(1), SIDE))
    result = run(DepthEstimate(image=photo, checkpoint=trained), session=session)
    assert result.size == (SIDE, SIDE)


def test_one_seed_makes_one_estimator(
    trained: Checkpoint, tmp_path: Path, session: Session
) -> None:
    again = run(estimator(tmp_path / "again"), session=session)
    assert contents(Path(again.source)) == contents(Path(trained.source))


def test_at_first_the_guided_network_predicts_what_the_base_predicts() -> None:
    import torch

    wide = load_widened_parts(BASE, Checkpoint("tiny/depth"), seed=0)["unet"]
    base = load_parts(BASE, ("unet",))["unet"]
    random = torch.Generator("cpu").manual_seed(0)
    latents, depth = (torch.randn(2, n, 8, 8, generator=random) for n in (4, 1))
    words = torch.randn(2, 7, base.config.cross_attention_dim, generator=random)
    times = torch.tensor([5, 700])
    with torch.no_grad():
        predicted = wide(torch.cat([latents, depth], dim=1), times, words).sample
        plain = base(latents, times, words).sample
    torch.testing.assert_close(predicted, plain, rtol=1e-5, atol=1e-6)


def test_it_is_shown_the_depth_that_the_pipeline_shows(trainee: DepthToImageTrainee) -> None:
    import diffusers
    import torch

    pipe = diffusers.StableDiffusionDepth2ImgPipeline(
        **{name: trainee.parts[name] for name in ("vae", "text_encoder", "tokenizer", "unet")},
        scheduler=trainee.parts["scheduler"],
        depth_estimator=None,
        feature_extractor=None,
    )
    true = torch.from_numpy(trainee.data.depths([2, 5]))
    pictures = torch.zeros(2, 3, SIDE, SIDE)
    theirs = pipe.prepare_depth_map(pictures, true, 2, False, torch.float32, "cpu")
    ours = trainee.extra_channels(torch.tensor([2, 5]), None)
    torch.testing.assert_close(ours, theirs)
    assert ours.amin() == -1 and ours.amax() == 1


def test_the_guided_networks_loss_falls_on_one_batch(trainee: DepthToImageTrainee) -> None:
    losses = descend(trainee)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.slow
def test_it_learns_from_the_further_channels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    parts = load_widened_parts(BASE, Checkpoint("tiny/depth"), seed=0)
    trainee = DepthToImageTrainee(parts, WorldDataset(8, 0, SIDE), Settings(40, 4, 3e-3))
    descend(trainee, steps=40)
    further = trainee.extra_channels
    with torch.no_grad():
        own_loss = float(trainee.loss(0))
        monkeypatch.setattr(trainee, "extra_channels", lambda *args: further(*args).roll(2, 0))
        others = float(trainee.loss(0))
    assert others > 1.05 * own_loss


def test_plain_diffusers_loads_the_guided_checkpoint(
    painter: Checkpoint, trained: Checkpoint
) -> None:
    import diffusers

    pipe = diffusers.StableDiffusionDepth2ImgPipeline.from_pretrained(painter.source)
    assert pipe.unet.config.in_channels == 5
    assert (
        resolve_part(Part(painter, "depth_estimator")).fingerprint
        == resolve_part(Part(trained)).fingerprint
    )
    assert (
        resolve_part(Part(painter, "vae")).fingerprint
        == resolve_part(Part(Checkpoint(fetch_checkpoint(BASE)), "vae")).fingerprint
    )


@pytest.mark.parametrize("estimates", [True, False])
def test_the_depth_to_image_node_uses_it(
    estimates: bool, painter: Checkpoint, trained: Checkpoint, session: Session
) -> None:
    photo = Image(render_scene(random_scene(1), SIDE))
    depth = None if estimates else DepthEstimate(image=photo, checkpoint=trained)
    node_with_depth = DepthToImage(
        image=photo, depth=depth, prompt="a star", steps=2, checkpoint=painter
    )
    assert run(node_with_depth, session=session).size == (SIDE, SIDE)


def test_one_seed_makes_one_guided_checkpoint_and_leaves_the_base(
    painter: Checkpoint, trained: Checkpoint, tmp_path: Path, session: Session
) -> None:
    before = contents(fetch_checkpoint(BASE))
    again = run(guided_training(tmp_path / "again", trained), session=session)
    assert contents(Path(again.source)) == contents(Path(painter.source))
    assert contents(fetch_checkpoint(BASE)) == before


def test_pictures_without_true_depth_are_refused(tmp_path: Path, session: Session) -> None:
    Image(render_scene(random_scene(1), SIDE)).pil.save(tmp_path / "one.png")
    folder = PictureFolder(path=str(tmp_path), side=SIDE, captions="empty")
    for wrong in (
        TrainDepth(data=folder, out=str(tmp_path / "no")),
        TrainDepthToImage(data=folder, base=BASE, out=str(tmp_path / "no")),
    ):
        with pytest.raises(InvalidWorkflowError, match="whose pictures have no depth"):
            run(wrong, session=session)
    assert not (tmp_path / "no").exists()


def test_wrong_checkpoints_are_refused_before_anything_is_made(
    tmp_path: Path, session: Session
) -> None:
    wrong = TrainDepthToImage(
        data=TinyWorld(count=1),
        base=Checkpoint("tiny/depth"),
        out=str(tmp_path / "no"),
        depth=Checkpoint("tiny/controlnet-depth"),
        like=Checkpoint("tiny/inpaint"),
    )
    with pytest.raises(InvalidError) as refused:
        run(wrong, session=session)
    message = str(refused.value)
    assert all(part in message for part in ("5 channels", "9 channels", "ControlNetModel"))
    with pytest.raises(InvalidError, match="DPTForDepthEstimation"):
        run(estimator(tmp_path / "no", like=Checkpoint("tiny/controlnet-edges")), session=session)
