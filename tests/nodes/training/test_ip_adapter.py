"""IP-Adapters trained over a base that stays as it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Lora, Session, run
from sdgraph.errors import InvalidError
from sdgraph.nodes import Text2Image
from sdgraph.nodes.tiny_world import (
    describe_scene,
    describe_surroundings,
    is_held_out,
    judge_picture,
    parse_caption,
    random_scene,
    rearrange,
    render_scene,
)
from sdgraph.nodes.training.data import TinyWorld, WorldDataset
from sdgraph.nodes.training.image_encoder import (
    ImageEncoderTrainee,
    TrainImageEncoder,
    normalize_for_clip,
    resize_for_clip,
)
from sdgraph.nodes.training.ip_adapter import ENCODER, FILE, IPAdapterTrainee, TrainIPAdapter
from sdgraph.nodes.training.loading import load_parts, load_text_parts, untrained_model
from sdgraph.nodes.training.loop import Settings
from sdgraph.nodes.training.picture_folder import FolderDataset
from sdgraph.values import Image

from .test_inpaint import contents, descend

BASE = Checkpoint("tiny/text-to-image")
LIKE = Checkpoint("tiny/ip-adapter", subfolder="image_encoder")
SIDE = 64


def trainee(count: int = 8, steps: int = 1) -> IPAdapterTrainee:
    parts = load_parts(BASE) | {ENCODER: untrained_model(LIKE, 0)}
    return IPAdapterTrainee(parts, WorldDataset(count, 0, SIDE), Settings(steps, 4, 3e-3))


def node(out: Path, **more: Any) -> TrainIPAdapter:
    data = TinyWorld(count=8, side=SIDE, pairs=0.0)
    return TrainIPAdapter(data=data, base=BASE, out=str(out), steps=2, batch=2, **more)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory, session: Session) -> Checkpoint:
    return run(node(tmp_path_factory.mktemp("ip")), session=session)


def test_the_loss_falls_on_one_batch_and_the_base_stays() -> None:
    adapter_trainee = trainee()
    before = adapter_trainee.base_hashes()
    losses = descend(adapter_trainee, steps=25)
    assert losses[-1] < 0.97 * losses[0]
    assert adapter_trainee.base_hashes() == before


@pytest.mark.slow
def test_it_learns_from_the_reference() -> None:
    import torch

    adapter_trainee = trainee()
    descend(adapter_trainee, steps=40)
    with torch.no_grad():
        own_loss = float(adapter_trainee.loss(0))
        adapter_trainee._references = adapter_trainee._references.roll(3, dims=0)
        assert float(adapter_trainee.loss(0)) > 1.02 * own_loss


def test_plain_diffusers_loads_it_and_the_node_uses_it(
    trained: Checkpoint, session: Session
) -> None:
    import diffusers

    from tests.support.bare_scripts import folder

    pipe = diffusers.StableDiffusionPipeline.from_pretrained(folder(BASE))
    pipe.load_ip_adapter(trained.source, subfolder="", weight_name=FILE)
    reference = Image(render_scene(random_scene(1), SIDE))
    text = Text2Image(prompt="a", steps=2, checkpoint=BASE)
    result = run(
        text.replace(reference=reference, ip_adapter=Lora(trained.source, file=FILE)),
        session=session,
    )
    assert result != run(text, session=session)


def test_the_hashes_before_and_after_are_kept_and_one_seed_makes_one_checkpoint(
    trained: Checkpoint, tmp_path: Path, session: Session
) -> None:
    data = json.loads((Path(trained.source).parent / "training" / "frozen.json").read_text())
    assert data["before"] == data["after"] and sorted(data["before"]) == [
        "text_encoder",
        "unet",
        "vae",
    ]
    again = run(node(tmp_path / "again"), session=session)
    assert contents(Path(again.source)) == contents(Path(trained.source))


def test_a_like_that_is_no_image_encoder_is_refused(tmp_path: Path, session: Session) -> None:
    wrong = Checkpoint("tiny/depth-estimator")
    for refused_node in (
        node(tmp_path / "no", encoder=wrong),
        encoder_node(tmp_path / "no", like=wrong),
    ):
        with pytest.raises(InvalidError, match=r"wanted: a CLIPVisionModelWithProjection"):
            run(refused_node, session=session)


def encoder_node(out: Path, **more: Any) -> TrainImageEncoder:
    data = TinyWorld(count=12, side=SIDE, pairs=0.0)
    return TrainImageEncoder(data=data, base=BASE, out=str(out), steps=2, batch=4, **more)


def test_an_image_encoder_learns_which_caption_is_whose() -> None:
    parts = load_text_parts(BASE)
    data = WorldDataset(24, 0, SIDE, pairs=0.0)
    encoder_trainee = ImageEncoderTrainee(
        untrained_model(LIKE, 0), parts, data, Settings(1, 16, 3e-3)
    )
    losses = descend(encoder_trainee, steps=30)
    assert losses[-1] < 0.7 * losses[0]


def test_train_and_use_stand_in_one_graph_and_one_seed_makes_one_encoder(
    tmp_path: Path, session: Session
) -> None:
    encoder = encoder_node(tmp_path / "encoder")
    result = run(node(tmp_path / "adapter", encoder=encoder), session=session)
    again = run(encoder_node(tmp_path / "again"), session=session)
    first = tmp_path / "encoder" / "checkpoint"
    assert contents(Path(again.source)) == contents(first)
    other_seed = contents(Path(result.source) / "image_encoder")
    assert other_seed.keys() == contents(first).keys() and other_seed != contents(first)


@pytest.mark.parametrize("objects", [1, 2])
def test_a_reference_shows_the_same_objects_elsewhere(objects: int) -> None:
    for number in range(40):
        example = random_scene(number, objects=objects)
        other = rearrange(example, number)
        looks = [
            [(obj.shape, obj.colour) for obj in example_.objects] for example_ in (example, other)
        ]
        assert looks[0] == looks[1] and other.background != example.background
        assert not any(is_held_out(*look, other.background) for look in looks[1])
        assert judge_picture(render_scene(other, SIDE), parse_caption(describe_scene(other))).all
        assert rearrange(example, number) == other


def test_surroundings_are_the_caption_without_its_objects() -> None:
    for number in range(20):
        example = random_scene(number, objects=1)
        (obj,) = example.objects
        article = "an" if obj.colour[0] in "aeiou" else "a"
        text = f"{article} {obj.colour} {obj.shape} {describe_surroundings(example)}"
        assert parse_caption(text) == parse_caption(describe_scene(example))


def test_pictures_of_a_folder_are_their_own_references(tmp_path: Path) -> None:
    Image(render_scene(random_scene(1), SIDE)).pil.save(tmp_path / "one.png")
    data = FolderDataset(tmp_path, SIDE, "file_name")
    assert np.array_equal(data.references([0]), data.pictures) and data.surroundings == ("one",)


def test_pictures_come_to_the_encoder_as_the_librarys_processor_brings_them() -> None:
    from transformers import CLIPImageProcessorPil

    pictures = np.stack([render_scene(random_scene(n), SIDE) for n in range(2)])
    size = {"height": 32, "width": 32}
    processor = CLIPImageProcessorPil(size={"shortest_edge": 32}, crop_size=size)
    expected = processor(list(pictures), return_tensors="np")["pixel_values"]
    assert np.abs(normalize_for_clip(resize_for_clip(pictures, 32)).numpy() - expected).max() < 0.02
