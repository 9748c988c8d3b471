"""Segments: as transformers makes them, each in the colour of its class of ADE20K."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.models import ModelCache
from sdgraph.models.loading.loader import load_part
from sdgraph.nodes import Segment
from sdgraph.nodes.maps.ade20k import COLORS
from sdgraph.nodes.tiny_world import COLOURS, random_scene, render_masks, render_scene
from sdgraph.values import Image, SegmentMap
from tests.support import map_models
from tests.support.failing_runs import failure, refused_before_load
from tests.support.photos import clear_photo, photo


@pytest.fixture(scope="module", params=["segformer", "upernet"])
def folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path: Path = getattr(map_models, request.param)(tmp_path_factory.mktemp(request.param))
    return path


def by_transformers(folder: Path, image: Image) -> Any:
    """The classes by transformers' own classes and post-processing, as its documentation shows."""
    import torch
    import transformers

    model = transformers.AutoModelForSemanticSegmentation.from_pretrained(folder)
    processor = transformers.SegformerImageProcessorPil.from_pretrained(folder)
    inputs = processor(image.rgb, input_data_format="channels_last", return_tensors="pt")
    with torch.no_grad():
        outputs = model(**inputs)
    sizes = [image.size[::-1]]
    return processor.post_process_semantic_segmentation(outputs, target_sizes=sizes)[0].numpy()


@pytest.mark.torch
@pytest.mark.parametrize("size", [(64, 64), (75, 53), (300, 3), (1, 1)])
def test_they_are_those_of_transformers_in_ade20ks_colours(
    session: Session, folder: Path, size: tuple[int, int]
) -> None:
    result = run(Segment(image=photo(*size), checkpoint=Checkpoint(folder)), session=session)
    expected = np.array(COLORS, np.uint8)[by_transformers(folder, photo(*size))]
    assert type(result) is SegmentMap and result.size == size
    # Where two classes score alike, the last bit of a number decides.
    assert (result.numpy == expected).all(axis=2).mean() > 0.995


def test_the_colours_are_150_of_which_two_are_one() -> None:
    assert len(COLORS) == 150
    assert COLORS[6] == COLORS[48] == (140, 140, 140)  # road and skyscraper
    assert len(set(COLORS)) == 149
    named = {"wall": 0, "building": 1, "sky": 2, "floor": 3, "tree": 4, "person": 12, "flag": 149}
    assert [COLORS[number] for number in named.values()] == [
        (120, 120, 120),
        (180, 120, 120),
        (6, 230, 230),
        (80, 50, 50),
        (4, 200, 3),
        (150, 5, 61),
        (92, 0, 255),
    ]


@pytest.mark.torch
def test_alpha_is_ignored(session: Session, folder: Path) -> None:
    clear = clear_photo(60, 50)
    node = Segment(image=clear, checkpoint=Checkpoint(folder))
    opaque = node.replace(image=Image(clear.numpy[..., :3]))
    assert run(node, session=session) == run(opaque, session=session)


@pytest.mark.torch
def test_in_bfloat16_they_are_about_the_same(session: Session, folder: Path) -> None:
    node = Segment(image=photo(75, 53), checkpoint=Checkpoint(folder))
    half = node.replace(checkpoint=Checkpoint(folder, dtype="bfloat16"))
    maps = [run(variant, session=session).numpy for variant in (node, half)]
    assert (maps[0] == maps[1]).all(axis=2).mean() > 0.8


class ByColour:
    """A model of 150 classes whose class of a pixel is the number of its colour, or NaN."""

    def __init__(self, palette: list[tuple[int, int, int]], broken: bool = False) -> None:
        import torch

        self.palette = palette
        self.broken = broken
        self.dtype = torch.float32

    def __call__(self, pixel_values: Any) -> Any:
        import torch

        logits = torch.full((1, 150, *pixel_values.shape[2:]), -9.0)
        for number, colour in enumerate(self.palette):
            away = pixel_values[0] - torch.tensor(colour).view(3, 1, 1) / 255
            logits[0, number] = -away.square().sum(0)
        return SimpleNamespace(logits=logits * float("nan") if self.broken else logits)


def with_model(model: ByColour) -> Session:
    def load(part: Any, dtype: str, device: str) -> Any:
        return load_part(part, dtype, device) if part.part.processor else model

    return Session(device="cpu", store=None, models=ModelCache(load=load))


@pytest.fixture
def plain(tmp_path: Path) -> Checkpoint:
    """A checkpoint whose processor leaves the colours as they are."""
    import transformers

    folder = map_models.segformer(tmp_path / "plain")
    size = {"height": 96, "width": 96}
    transformers.SegformerImageProcessorPil(size=size, do_normalize=False).save_pretrained(folder)
    return Checkpoint(folder)


@pytest.mark.torch
@pytest.mark.parametrize("number", range(6))
def test_each_thing_of_the_tiny_world_is_one_segment(plain: Checkpoint, number: int) -> None:
    example = random_scene(number)
    image = Image(render_scene(example, 128))
    colours = [COLOURS[obj.colour] for obj in example.objects]
    result = run(
        Segment(image=image, checkpoint=plain),
        session=with_model(ByColour([*colours, *_background_colours(image, example)])),
    )
    for colour_ in colours:
        marked = (result.numpy == COLORS[colours.index(colour_)]).all(axis=2)
        where = [
            mask
            for mask, other in zip(render_masks(example, 128), colours, strict=True)
            if other == colour_
        ]
        expected = np.max(where, axis=0) > 0
        assert (marked & expected).sum() / (marked | expected).sum() > 0.85


def _background_colours(image: Image, example: Any) -> list[tuple[int, int, int]]:
    """A few colours of the background, from pixels without an object."""
    free = np.max(render_masks(example, 128), axis=0) == 0
    colours = image.numpy[free]
    return [tuple(colour) for colour in colours[:: max(1, len(colours) // 40)].tolist()]


@pytest.mark.torch
def test_scores_that_are_no_numbers_are_refused(plain: Checkpoint) -> None:
    node = Segment(image=photo(20, 20), checkpoint=plain)
    text = str(failure(node, with_model(ByColour([(0, 0, 0)], broken=True))))
    assert "scores of NaN or infinity from the model\n  wanted: finite scores" in text


def test_a_checkpoint_of_another_kind_is_refused_before_it_is_loaded() -> None:
    node = Segment(image=photo(8, 8), checkpoint=Checkpoint("tiny/depth-estimator"))
    text = refused_before_load(node)
    assert "segment.checkpoint" in text
    assert "a UperNetForSemanticSegmentation or SegformerForSemanticSegmentation" in text


@pytest.mark.torch
def test_a_model_of_other_classes_is_refused_before_it_is_loaded(tmp_path: Path) -> None:
    folder = map_models.segformer(tmp_path, classes=19)
    text = refused_before_load(Segment(image=photo(8, 8), checkpoint=Checkpoint(folder)))
    assert "for 19 classes" in text and "one for ADE20K's 150" in text
