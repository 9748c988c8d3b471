"""Inpainting checkpoints made from text-to-image ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph import Checkpoint, Session, run
from sdgraph.errors import InvalidError, InvalidValueError
from sdgraph.models import fetch_checkpoint, file_sha256, resolve, resolve_part
from sdgraph.nodes import Inpaint
from sdgraph.nodes.tiny_world import random_scene, render_scene
from sdgraph.nodes.tiny_world import render_masks as object_masks
from sdgraph.nodes.training.data import TinyWorld, WorldDataset
from sdgraph.nodes.training.inpaint import InpaintTrainee, TrainInpaint
from sdgraph.nodes.training.loading import load_parts
from sdgraph.nodes.training.loop import Settings
from sdgraph.nodes.training.masks import KIND_WEIGHTS, random_mask
from sdgraph.nodes.training.picture_folder import FolderDataset
from sdgraph.nodes.training.pipeline_parts import make_pipeline
from sdgraph.nodes.training.starting_weights import (
    check_noise,
    load_weights,
    load_widened_parts,
)
from sdgraph.values import Image, Mask, Part

BASE = Checkpoint("tiny/text-to-image")
SIDE = 64


def descend(trainee: Any, steps: int = 15, rate: float = 3e-3) -> list[float]:
    """The losses of as many steps on one batch that is shown again and again."""
    import torch

    trained = [
        parameter
        for m in trainee.modules.values()
        for parameter in m.parameters()
        if parameter.requires_grad
    ]
    optimizer = torch.optim.AdamW(trained, lr=rate)
    losses = []
    for _ in range(steps):
        optimizer.zero_grad()
        loss = trainee.loss(0)
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    return losses


def contents(folder: Path) -> dict[str, str]:
    """Every file of a folder by its path from there, with a hash of what it holds."""
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    return {str(path.relative_to(folder)): file_sha256(path) for path in paths}


@pytest.fixture(scope="module")
def trainee() -> InpaintTrainee:
    parts = load_widened_parts(BASE, Checkpoint("tiny/inpaint"), seed=0)
    return InpaintTrainee(parts, WorldDataset(8, 0, SIDE), Settings(15, 4, 3e-3))


def node(out: Path, **more: Any) -> TrainInpaint:
    data = TinyWorld(count=8, side=SIDE)
    return TrainInpaint(data=data, base=BASE, out=str(out), steps=2, batch=2, **more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, session: Session) -> Checkpoint:
    return run(node(tmp_path_factory.mktemp("inpaint")), session=session)


def test_at_first_it_predicts_what_the_base_predicts() -> None:
    import torch

    parts = load_widened_parts(BASE, Checkpoint("tiny/inpaint"), seed=0)
    base = load_parts(BASE, ("unet",))["unet"]
    draw_ = torch.Generator("cpu").manual_seed(0)
    latents, further = (torch.randn(2, n, 8, 8, generator=draw_) for n in (4, 5))
    width = resolve(BASE).config("unet")["cross_attention_dim"]  # type: ignore[index]
    words, times = torch.randn(2, 7, width, generator=draw_), torch.tensor([5, 700])
    with torch.no_grad():
        wide = parts["unet"](torch.cat([latents, further], dim=1), times, words).sample
        plain = base(latents, times, words).sample
    torch.testing.assert_close(wide, plain, rtol=1e-5, atol=1e-6)
    assert not parts["unet"].conv_in.weight[:, 4:].any()


def test_it_is_shown_what_the_pipeline_shows(trainee: InpaintTrainee) -> None:
    import torch
    from PIL.Image import fromarray

    places = torch.tensor([3])
    mask = trainee.masks(places, torch.Generator("cpu").manual_seed(1))
    ours = trainee.extra_channels(places, torch.Generator("cpu").manual_seed(1))
    pipe = make_pipeline(trainee.parts, "inpaint")
    picture = pipe.image_processor.preprocess(fromarray(trainee.data.pictures[3]), SIDE, SIDE)
    white = fromarray((mask[0, 0].numpy() * 255).astype(np.uint8))
    condition = pipe.mask_processor.preprocess(white, SIDE, SIDE)
    random = torch.Generator("cpu").manual_seed(1)
    torch.randint(2**62, (1,), generator=random)  # what the masks have drawn
    with torch.no_grad():
        theirs = pipe.prepare_mask_latents(
            condition,
            picture * (condition < 0.5),
            1,
            SIDE,
            SIDE,
            torch.float32,
            "cpu",
            random,
            do_classifier_free_guidance=False,
        )
    torch.testing.assert_close(ours, torch.cat(theirs, dim=1), rtol=1e-5, atol=1e-6)


def test_the_loss_falls_on_one_batch(trainee: InpaintTrainee) -> None:
    losses = descend(trainee)
    assert losses[-1] < 0.9 * losses[0]


@pytest.mark.slow
def test_it_learns_from_the_further_channels(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import torch

    parts = load_widened_parts(BASE, Checkpoint("tiny/inpaint"), seed=0)
    trainee = InpaintTrainee(parts, WorldDataset(8, 0, SIDE), Settings(40, 4, 3e-3))
    descend(trainee, steps=40)
    further = trainee.extra_channels
    with torch.no_grad():
        own_loss = float(trainee.loss(0))
        monkeypatch.setattr(trainee, "extra_channels", lambda *args: further(*args).roll(2, 0))
        others = float(trainee.loss(0))
    assert others > 1.05 * own_loss


def test_the_text_encoder_and_the_autoencoder_stay(trainee: InpaintTrainee) -> None:
    descend(trainee, steps=1)
    for name in ("text_encoder", "vae"):
        assert all(parameter.grad is None for parameter in trainee.parts[name].parameters())


def test_all_but_the_u_net_is_the_bases_to_the_bit(trained: Checkpoint) -> None:
    for name in ("vae", "text_encoder", "tokenizer"):
        assert (
            resolve_part(Part(trained, name)).fingerprint
            == resolve_part(Part(Checkpoint(fetch_checkpoint(BASE)), name)).fingerprint
        )


def test_plain_diffusers_loads_it(trained: Checkpoint) -> None:
    import diffusers

    pipe = diffusers.StableDiffusionInpaintPipeline.from_pretrained(trained.source)
    assert pipe.unet.config.in_channels == 9
    assert pipe.unet.conv_in.weight[:, 4:].any()


def test_the_inpaint_node_uses_it(trained: Checkpoint, session: Session) -> None:
    photo = Image(render_scene(random_scene(1), SIDE))
    mask = Mask(object_masks(random_scene(1), SIDE)[0])
    result = run(
        Inpaint(image=photo, mask=mask, prompt="a red star", steps=2, checkpoint=trained),
        session=session,
    )
    assert result.size == (SIDE, SIDE)
    assert np.array_equal(result.numpy[mask.numpy == 0], photo.numpy[mask.numpy == 0])


def test_one_seed_makes_one_checkpoint_and_leaves_the_base(
    trained: Checkpoint, tmp_path: Path, session: Session
) -> None:
    before = contents(fetch_checkpoint(BASE))
    again = run(node(tmp_path / "again"), session=session)
    other = run(node(tmp_path / "other", seed=1), session=session)
    assert contents(Path(again.source)) == contents(Path(trained.source))
    assert contents(Path(other.source)) != contents(Path(trained.source))
    assert contents(fetch_checkpoint(BASE)) == before


def test_pictures_without_objects_masks_are_enough(tmp_path: Path) -> None:
    import torch

    for number in range(3):
        Image(render_scene(random_scene(number), 40)).pil.save(tmp_path / f"{number}.png")
    parts = load_widened_parts(BASE, Checkpoint("tiny/inpaint"), seed=0)
    trainee = InpaintTrainee(parts, FolderDataset(tmp_path, SIDE, "empty"), Settings(1, 2, 1e-3))
    assert torch.isfinite(trainee.loss(0))


@pytest.mark.parametrize(
    ("fields", "reason"),
    [
        ({"base": "tiny/inpaint"}, "takes 9 channels"),
        ({"base": "tiny/sdxl"}, "StableDiffusionXL"),
        ({"base": "tiny/controlnet-edges"}, "a single model"),
        ({"base": "tiny/text-to-image", "like": "tiny/depth"}, "takes 5 channels"),
    ],
)
def test_a_wrong_checkpoint_is_refused_before_anything_is_made(
    fields: dict[str, str], reason: str, tmp_path: Path, session: Session
) -> None:
    given_ = {name: Checkpoint(source) for name, source in fields.items()}
    wrong = TrainInpaint(data=TinyWorld(count=1), out=str(tmp_path / "no"), **given_)  # type: ignore[arg-type]
    with pytest.raises(InvalidError, match=reason):
        run(wrong, session=session)
    assert not (tmp_path / "no").exists()


def test_weights_that_do_not_fit_are_named() -> None:
    import torch

    with pytest.raises(InvalidValueError, match=r"weight of shape \(3, 2\)\n  wanted: \(4, 2\)"):
        load_weights(torch.nn.Linear(2, 4), torch.nn.Linear(2, 3).state_dict(), "a base")


def test_another_noise_than_the_bases_is_refused(copied: Any) -> None:
    folder = copied("tiny/inpaint")
    path = folder / "scheduler" / "scheduler_config.json"
    path.write_text(path.read_text().replace('"beta_end": 0.012', '"beta_end": 0.02'))
    with pytest.raises(InvalidValueError, match=r"beta_end 0.02\n  wanted: the base's 0.012"):
        check_noise(BASE, Checkpoint(folder))


@given(seed=st.integers(0, 2**32), side=st.integers(16, 96), number=st.integers(0, 200))
def test_masks_are_white_or_black_and_never_empty(seed: int, side: int, number: int) -> None:
    objects = object_masks(random_scene(number), side)
    for kind in (None, *KIND_WEIGHTS):
        mask, again = (
            random_mask(np.random.default_rng(seed), side, objects, kind) for _ in range(2)
        )
        assert mask.shape == (side, side) and mask.dtype == np.uint8
        assert set(np.unique(mask)) <= {0, 255} and mask.any()
        assert np.array_equal(mask, again)


@given(seed=st.integers(0, 2**32), number=st.integers(0, 200))
def test_an_objects_mask_covers_it_and_a_rim(seed: int, number: int) -> None:
    import cv2

    objects = object_masks(random_scene(number), SIDE)
    mask = random_mask(np.random.default_rng(seed), SIDE, objects, "object")
    grown = [cv2.dilate(outline, np.ones((3, 3), np.uint8)[:, [1]]) for outline in objects]
    assert any((mask[outline > 0] == 255).all() for outline in grown)


@given(seed=st.integers(0, 2**32), side=st.integers(16, 96))
def test_a_box_is_a_box_of_its_bounds(seed: int, side: int) -> None:
    import cv2

    mask = random_mask(np.random.default_rng(seed), side, kind="box")
    left, top, width, height = cv2.boundingRect(mask)
    assert mask[top : top + height, left : left + width].all()
    assert 0.19 * side - 1 <= min(width, height) <= max(width, height) <= 0.75 * side + 1


@given(seed=st.integers(0, 2**32))
def test_without_objects_every_other_kind_is_drawn(seed: int) -> None:
    assert random_mask(np.random.default_rng(seed), SIDE).any()
