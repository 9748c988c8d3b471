"""Pictures that are generated at once have the bits that each of them has alone, on a CPU."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Graph, Session, events
from sdgraph.nodes import Canny, ControlNet, Image2Image, Inpaint, Save, Text2Image, Turbo
from sdgraph.provenance import read_record
from sdgraph.values import Image
from tests.support.photos import photo, spot

pytestmark = pytest.mark.torch

STAR, RING = "a yellow star on a navy background", "a red ring on a white background"
LONG = ", ".join([RING] * 20)


def generate(nodes: Sequence[Any], batch: int | None) -> tuple[list[Image], list[int]]:
    """The pictures, and for each that was made in a batch the size of the batch."""
    sizes: list[int] = []

    def listen(event: events.Event) -> None:
        if isinstance(event, events.NodeStarted) and event.batch > 1:
            sizes.append(event.batch)

    graph = Graph.of(*nodes)
    values = Session(device="cpu", store=None, batch=batch).run(graph, listen)
    return [values[graph.names[node]] for node in nodes], sizes


def assert_equal_in_batches(nodes: Sequence[Any], count: int) -> None:
    alone, no_batches = generate(nodes, 1)
    at_once, sizes = generate(nodes, count)
    assert no_batches == []
    assert len(sizes) == len(nodes), "all of them were in batches"
    for one, other in zip(alone, at_once, strict=True):
        np.testing.assert_array_equal(one.numpy, other.numpy)
    assert len({picture.numpy.tobytes() for picture in alone}) == len(nodes)


def text(**fields: Any) -> Text2Image:
    return Text2Image(**{"prompt": STAR, "steps": 2, "guidance": 3.0, **fields})


@pytest.mark.parametrize("count", [2, 3, 5])
def test_seeds(count: int) -> None:
    assert_equal_in_batches([text(seed=seed) for seed in range(5 if count == 5 else 6)], count)


@pytest.mark.parametrize(
    "fields",
    [
        {"guidance": 1.0},
        {"width": 72, "height": 96},
        {"guidance_rescale": 0.5},
        {"scheduler": "euler-ancestral"},
        {"scheduler": "dpm++-2m-sde", "steps": 4},
        {"scheduler": "lcm"},
    ],
    ids=lambda fields: "-".join(map(str, fields.values())),
)
def test_the_same_settings(fields: dict[str, Any]) -> None:
    assert_equal_in_batches([text(seed=seed, **fields) for seed in range(3)], 3)


def test_prompts_of_different_lengths() -> None:
    prompts = [STAR, LONG, RING, f"{LONG}, {STAR}"]
    assert_equal_in_batches([text(prompt=prompt, negative_prompt=STAR) for prompt in prompts], 4)


@pytest.mark.parametrize(
    "fields",
    [
        {"checkpoint": Checkpoint("tiny/text-to-image", dtype="bfloat16")},
        {"tuning": {"vae": "sliced"}},
        {"offload": "group"},
    ],
    ids=["bfloat16", "tuning", "offload"],
)
def test_where_bits_are_not_proven_pictures_are_made_one_after_another(
    fields: dict[str, Any],
) -> None:
    assert generate([text(seed=seed, steps=1, **fields) for seed in range(2)], None)[1] == []


def test_pictures_of_several_sizes() -> None:
    pictures = [photo(64, 64), photo(64, 64, "coffee"), photo(75, 53), photo(53, 75)]
    nodes = [
        Image2Image(prompt=STAR, image=picture, steps=3, strength=0.7, guidance=3.0, seed=seed)
        for picture in pictures
        for seed in range(2)
    ]
    assert_equal_in_batches(nodes, 8)


@pytest.mark.parametrize("checkpoint", ["tiny/inpaint", "tiny/text-to-image"])
@pytest.mark.parametrize("crop", [None, 4])
def test_masked_pictures(checkpoint: str, crop: int | None) -> None:
    nodes = [
        Inpaint(
            prompt=STAR,
            image=photo(64, 64, name),
            mask=spot(64, 64),
            steps=2,
            guidance=3.0,
            seed=seed,
            checkpoint=Checkpoint(checkpoint),
            padding_mask_crop=crop,
        )
        for name in ("cat", "coffee")
        for seed in range(2)
    ]
    assert_equal_in_batches(nodes, 4)


@pytest.mark.parametrize("image", [None, photo(75, 53)], ids=["words", "picture"])
@pytest.mark.parametrize("guidance", [0.0, 2.0])
def test_distilled_models(image: Image | None, guidance: float) -> None:
    nodes = [
        Turbo(prompt=prompt, image=image, steps=2, guidance=guidance, seed=seed)
        for prompt in (STAR, RING)
        for seed in range(2)
    ]
    assert_equal_in_batches(nodes, 4)


def test_other_bits_are_asked_for_and_recorded(tmp_path: Path) -> None:
    checkpoint = Checkpoint("tiny/text-to-image", dtype="bfloat16")
    saved = [
        Save(image=text(seed=seed, steps=1, checkpoint=checkpoint), path=tmp_path / f"{seed}.png")
        for seed in range(2)
    ]
    _, sizes = generate(saved, 2)
    assert sizes == [2, 2]
    for path in sorted(tmp_path.iterdir()):
        record = read_record(path)
        (chosen,) = record.chosen.values()
        assert chosen["batch"] == 2


@pytest.mark.parametrize("task", ["controlnet", "controlnet-image", "controlnet-inpaint"])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_control_maps(task: str, guidance: float) -> None:
    start: dict[str, Any] = (
        {} if task == "controlnet" else {"image": photo(64, 64), "strength": 0.8}
    )
    if task == "controlnet-inpaint":
        start["mask"] = spot(64, 64)
    nodes = [
        ControlNet(
            prompt=STAR,
            control=Canny(image=photo(64, 64, name)),
            steps=3,
            guidance=guidance,
            end=0.6,
            seed=seed,
            **start,
        )
        for name in ("cat", "coffee")
        for seed in range(2)
    ]
    assert_equal_in_batches(nodes, 4)


def test_several_control_maps_are_followed_one_picture_after_another() -> None:
    maps = [Canny(image=photo(64, 64)), Canny(image=photo(64, 64, "cat"))]
    nodes = [ControlNet(prompt=STAR, control=maps, steps=1, seed=seed) for seed in range(2)]
    assert generate(nodes, None)[1] == []
