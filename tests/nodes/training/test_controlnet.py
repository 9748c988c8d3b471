"""ControlNets trained over a base that stays as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.errors import InvalidError, InvalidWorkflowError
from sdgraph.models import fetch_checkpoint
from sdgraph.nodes import Canny, ControlNet
from sdgraph.nodes.tiny_world import random_scene, render_depth, render_scene
from sdgraph.nodes.training.controlnet import (
    ControlNetTrainee,
    TrainControlNet,
    base_hashes,
    make_control_maps,
    untrained_controlnet,
)
from sdgraph.nodes.training.data import TinyWorld, WorldDataset
from sdgraph.nodes.training.frozen import refuse_changed
from sdgraph.nodes.training.loading import load_parts
from sdgraph.nodes.training.loop import Settings, TrainingStoppedError
from sdgraph.nodes.training.picture_folder import FolderDataset, PictureFolder
from sdgraph.nodes.training.pipeline_parts import PipelineParts
from sdgraph.values import DepthMap, Image

from .test_inpaint import contents, descend

BASE = Checkpoint("tiny/text-to-image")
SIDE = 64


def parts_of(like: str = "tiny/controlnet-edges") -> PipelineParts:
    parts = load_parts(BASE)
    network = untrained_controlnet(Checkpoint(like), parts, "the base", 0)
    return parts | {"controlnet": network}


@pytest.fixture(scope="module")
def trainee() -> ControlNetTrainee:
    return ControlNetTrainee(parts_of(), WorldDataset(8, 0, SIDE), Settings(15, 4, 3e-3))


def node(out: Path, **more: Any) -> TrainControlNet:
    data = TinyWorld(count=8, side=SIDE)
    return TrainControlNet(data=data, base=BASE, out=str(out), steps=2, batch=2, **more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, session: Session) -> Checkpoint:
    return run(node(tmp_path_factory.mktemp("controlnet")), session=session)


def test_at_first_it_changes_nothing() -> None:
    import torch

    fresh = ControlNetTrainee(parts_of(), WorldDataset(4, 0, SIDE), Settings(1, 2, 1e-3))
    random = torch.Generator("cpu").manual_seed(0)
    places, times = torch.tensor([0, 2]), torch.tensor([10, 900])
    noised = torch.randn(fresh.latents[places].shape, generator=random)
    words = fresh.read_captions(places)
    fresh._further_dropped = 0.0
    with torch.no_grad():
        controlled = fresh.predict(noised, times, words, places, random)
        plain = fresh.parts["unet"](noised, times, words).sample
    assert torch.equal(controlled, plain)


def test_the_copy_starts_from_the_base() -> None:
    import torch

    parts = parts_of()
    weights, theirs = parts["controlnet"].state_dict(), parts["unet"].state_dict()
    shared = [name for name in weights if name in theirs]
    assert len(shared) > 50
    assert all(torch.equal(weights[name], theirs[name]) for name in shared)


@pytest.mark.parametrize("kind", ["edges", "depth"])
def test_controls_are_those_that_the_nodes_make(kind: Any, session: Session) -> None:
    maps = make_control_maps(WorldDataset(3, 5, SIDE), kind)[1]
    example = random_scene(6)
    if kind == "edges":
        expected = run(Canny(image=Image(render_scene(example, SIDE))), session=session).numpy
    else:
        expected = DepthMap(render_depth(example, SIDE)).numpy
    assert np.array_equal(maps, expected[..., 0])


def test_half_of_the_captions_are_left_out(trainee: ControlNetTrainee) -> None:
    assert 1 - 0.9 * (1 - trainee._further_dropped) == pytest.approx(0.5)


def test_the_loss_falls_on_one_batch_and_the_base_stays(trainee: ControlNetTrainee) -> None:
    before = base_hashes(trainee.parts)
    losses = descend(trainee)
    assert losses[-1] < 0.97 * losses[0]
    assert base_hashes(trainee.parts) == before


def test_it_learns_from_the_control_map() -> None:
    import torch

    trainee = ControlNetTrainee(parts_of(), WorldDataset(8, 0, SIDE), Settings(40, 4, 3e-3))
    descend(trainee, steps=40)
    with torch.no_grad():
        own_loss = float(trainee.loss(0))
        trainee._control_maps = trainee._control_maps.roll(3, dims=0)
        others = float(trainee.loss(0))
    assert others > 1.5 * own_loss


def test_plain_diffusers_loads_it(trained: Checkpoint) -> None:
    import diffusers

    network = diffusers.ControlNetModel.from_pretrained(trained.source)
    assert network.controlnet_mid_block.weight.any()


def test_the_controlnet_node_uses_it(trained: Checkpoint, session: Session) -> None:
    edges = Canny(image=Image(render_scene(random_scene(1), SIDE)))
    result = run(
        ControlNet(
            control=edges, prompt="a red star", steps=2, checkpoint=BASE, controlnet=trained
        ),
        session=session,
    )
    assert result.size == (SIDE, SIDE)


def test_the_hashes_before_and_after_are_kept(trained: Checkpoint) -> None:
    data = json.loads((Path(trained.source).parent / "training" / "frozen.json").read_text())
    assert data["before"] == data["after"]
    assert sorted(data["before"]) == ["text_encoder", "unet", "vae"]


def test_one_seed_makes_one_checkpoint_and_leaves_the_base(
    trained: Checkpoint, tmp_path: Path, session: Session
) -> None:
    before = contents(fetch_checkpoint(BASE))
    again = run(node(tmp_path / "again"), session=session)
    assert contents(Path(again.source)) == contents(Path(trained.source))
    assert contents(fetch_checkpoint(BASE)) == before


def test_a_base_that_changed_stops_it(tmp_path: Path) -> None:
    with pytest.raises(TrainingStoppedError, match=r"other weights in the base's unet"):
        refuse_changed({"unet": "a", "vae": "b"}, {"unet": "c", "vae": "b"}, tmp_path)


def test_depth_needs_pictures_whose_depth_is_known(tmp_path: Path, session: Session) -> None:
    Image(render_scene(random_scene(1), SIDE)).pil.save(tmp_path / "one.png")
    folder = PictureFolder(path=str(tmp_path), side=SIDE, captions="empty")
    wrong = TrainControlNet(data=folder, base=BASE, kind="depth", out=str(tmp_path / "no"))
    with pytest.raises(InvalidWorkflowError, match="true depth is known"):
        run(wrong, session=session)
    assert list(wrong.replace(kind="edges").check()) == []
    data = FolderDataset(tmp_path, SIDE, "empty")
    assert make_control_maps(data, "edges").shape == (1, SIDE, SIDE)


def test_a_like_that_is_no_controlnet_is_refused(tmp_path: Path, session: Session) -> None:
    wrong = node(tmp_path / "no", like=Checkpoint("tiny/depth-estimator"))
    with pytest.raises(InvalidError, match=r"wanted: a ControlNet's checkpoint"):
        run(wrong, session=session)
