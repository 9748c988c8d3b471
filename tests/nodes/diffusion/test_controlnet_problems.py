"""Which networks and maps a ControlNet node takes, and what it refuses before loading."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.nodes import Canny, ControlNet, DepthEstimate
from sdgraph.values import DepthMap, EdgeMap, PoseMap
from tests.support.bare_scripts import same
from tests.support.failing_runs import failure, refused_at_construction, refused_before_load
from tests.support.photos import clear_photo, photo, spot

from .test_controlnet import DEPTH, EDGES, SIZE, Pair, bare
from .test_controlnet import depth as depth
from .test_controlnet import edges as edges


def test_the_kind_of_the_map_picks_the_network(edges: EdgeMap, depth: DepthMap) -> None:
    image = photo(*SIZE)
    controls: list[Any] = [edges, depth, Canny(image=image), DepthEstimate(image=image)]
    node = ControlNet(prompt="a", control=controls)
    assert node.controlnets() == [EDGES, DEPTH, EDGES, DEPTH]


def test_a_kind_without_a_network_is_a_problem_before_loading() -> None:
    pose = PoseMap(photo(*SIZE).numpy)
    node = ControlNet(prompt="a", control=pose, steps=1)
    text = refused_before_load(node)
    assert "controlnet" in text
    assert "no known ControlNet for PoseMap over tiny/text-to-image" in text
    assert "a kind that has one: EdgeMap, DepthMap" in text
    assert "`controlnet:`" in text


def test_a_kind_without_a_network_runs_with_one_named(session: Session) -> None:
    pose = PoseMap(photo(*SIZE).numpy)
    result = run(ControlNet(prompt="a", control=pose, steps=1, controlnet=EDGES), session=session)
    assert result.size == SIZE


@pytest.mark.parametrize("name", ["scale", "start", "end", "controlnet"])
@pytest.mark.parametrize("count", [0, 1, 3])
def test_a_list_of_another_length_is_refused(
    edges: EdgeMap, depth: DepthMap, name: str, count: int
) -> None:
    value = {"scale": 1.0, "start": 0.0, "end": 1.0, "controlnet": EDGES}[name]
    fields: dict[str, Any] = {name: [value] * count}
    text = refused_at_construction(ControlNet, prompt="a", control=[edges, depth], **fields)
    assert f"ControlNet.{name}" in text
    assert f"{count} values for 2 controls" in text


@pytest.mark.parametrize(
    ("fields", "expected"),
    [
        ({"scale": -0.1}, "at least 0"),
        ({"start": 0.5, "end": 0.5}, "0 ≤ start < end ≤ 1"),
        ({"start": -0.1}, "0 ≤ start < end ≤ 1"),
        ({"end": 1.1}, "0 ≤ start < end ≤ 1"),
        ({"control": []}, "at least one control map"),
        ({"mask": spot(*SIZE)}, "both, or neither"),
        ({"padding_mask_crop": 8}, "no mask to work around"),
        ({"padding_mask_crop": 8, "image": photo(*SIZE)}, "no mask to work around"),
        ({"image": photo(*SIZE), "strength": 0.01, "steps": 50}, "strength × steps of at least 1"),
    ],
)
def test_what_does_not_fit_together_is_refused(
    edges: EdgeMap, fields: dict[str, Any], expected: str
) -> None:
    text = refused_at_construction(ControlNet, **{"prompt": "a", "control": edges, **fields})
    assert expected in text


def test_strength_without_a_picture_does_not_matter(edges: EdgeMap) -> None:
    ControlNet(prompt="a", control=edges, strength=0.0, steps=1)


def test_a_photo_is_no_control() -> None:
    text = refused_at_construction(ControlNet, prompt="a", control=photo(*SIZE))
    assert "ControlNet.control" in text
    assert "a ControlMap" in text


@pytest.mark.parametrize("field", ["control", "image", "mask"])
def test_pictures_of_other_sizes_are_refused(edges: EdgeMap, field: str) -> None:
    others: dict[str, Any] = {
        "control": [edges, EdgeMap(photo(72, 64).numpy)],
        "image": photo(72, 64),
        "mask": spot(72, 64),
    }
    fields = {"control": edges, "image": photo(*SIZE), field: others[field]}
    text = refused_before_load(ControlNet(prompt="a", steps=2, **fields))
    assert "80×64" in text
    assert "72×64" in text


def test_an_empty_mask_is_refused(session: Session, edges: EdgeMap) -> None:
    mask = type(spot(*SIZE))(np.zeros((64, 80), np.uint8))
    node = ControlNet(prompt="a", steps=2, control=edges, image=photo(*SIZE), mask=mask)
    assert "a mask that marks nothing" in str(failure(node, session))


def test_a_full_mask_is_refused(session: Session, edges: EdgeMap) -> None:
    mask = type(spot(*SIZE))(np.full((64, 80), 255, np.uint8))
    node = ControlNet(prompt="a", steps=2, control=edges, image=photo(*SIZE), mask=mask)
    assert "a mask that marks all of the picture of 80×64" in str(failure(node, session))


@pytest.mark.parametrize("size", [(1, 2), (75, 53), (90, 2)])
@pytest.mark.parametrize("crop", [None, 4])
def test_any_size_with_alpha_keeps_what_is_outside_the_mask(
    session: Session, size: tuple[int, int], crop: int | None
) -> None:
    start, mask = clear_photo(*size), spot(*size)
    node = ControlNet(
        prompt="a",
        control=Canny(image=start),
        image=start,
        mask=mask,
        steps=2,
        padding_mask_crop=crop,
    )
    result = run(node, session=session).numpy
    outside = mask.numpy == 0
    assert result.shape == start.numpy.shape
    assert (result[outside] == start.numpy[outside]).all()


def test_an_inpainting_checkpoint_without_a_mask_is_refused_before_loading(edges: EdgeMap) -> None:
    node = ControlNet(prompt="a", control=edges, checkpoint=Checkpoint("tiny/inpaint"), steps=2)
    for variant in (node, node.replace(image=photo(*SIZE))):
        text = refused_before_load(variant)
        assert "checkpoint" in text
        assert "9 channels (inpainting)" in text
        assert "mask" in text


def test_a_network_for_another_base_is_refused_before_loading(
    edges: EdgeMap, xl_network: Checkpoint
) -> None:
    node = ControlNet(prompt="a", control=edges, controlnet=xl_network, steps=1)
    text = refused_before_load(node)
    assert "control_net.controlnet" in text
    assert "for text features of 128" in text
    assert "one for tiny/text-to-image (64)" in text


@pytest.mark.parametrize(
    ("network", "reason"),
    [
        ("tiny/depth-estimator", "DPTForDepthEstimation"),
        ("tiny/text-to-image", "tiny/text-to-image"),
        ("./no/such/folder", "no such folder"),
        ("tiny/no-such", "no shipped checkpoint of that name"),
    ],
)
def test_what_is_no_network_is_refused_before_loading(
    edges: EdgeMap, network: str, reason: str
) -> None:
    text = refused_before_load(
        ControlNet(prompt="a", control=edges, controlnet=Checkpoint(network))
    )
    assert "control_net.controlnet" in text
    assert reason in text


def test_a_unet_as_network_is_refused(edges: EdgeMap, copied: Callable[[str], Path]) -> None:
    unet = copied("tiny/text-to-image") / "unet"
    text = refused_before_load(ControlNet(prompt="a", control=edges, controlnet=Checkpoint(unet)))
    assert "a UNet2DConditionModel" in text
    assert "a ControlNet checkpoint" in text


def test_a_network_that_is_here_is_no_problem_while_the_base_is_not(
    edges: EdgeMap, no_hub: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE")
    node = ControlNet(
        prompt="a", control=edges, checkpoint=Checkpoint("someone/base"), controlnet=EDGES
    )
    assert list(node.check()) == []


def test_a_network_is_loaded_in_the_dtype_of_its_base(
    session: Session, edges: EdgeMap, networks: Pair
) -> None:
    base = Checkpoint("tiny/text-to-image", dtype="bfloat16")
    picked = ControlNet(prompt="a man", control=edges, checkpoint=base, steps=2)
    for node, network in ((picked, EDGES), (picked.replace(controlnet=networks[0]), networks[0])):
        expected = bare(networks=(network,), image=edges.pil, steps=2, dtype="bfloat16")
        assert same(run(node, session=session).numpy, expected)


def test_a_network_of_another_dtype_than_its_base_is_refused_before_loading(
    edges: EdgeMap,
) -> None:
    network = Checkpoint(EDGES.source, dtype="bfloat16")
    base = Checkpoint("tiny/text-to-image", dtype="float32")
    for checkpoint in (base, Checkpoint("tiny/text-to-image")):
        node = ControlNet(prompt="a", control=edges, checkpoint=checkpoint, controlnet=network)
        text = refused_before_load(node)
        assert "control_net.controlnet" in text
        assert "bfloat16" in text


def test_the_picture_does_not_depend_on_alpha_of_the_control(session: Session) -> None:
    clear = clear_photo(*SIZE)
    marked = EdgeMap(clear.numpy)
    plain = EdgeMap(clear.numpy[..., :3].copy())
    node = ControlNet(prompt="a", control=marked, steps=1)
    assert run(node, session=session) == run(node.replace(control=plain), session=session)


def test_a_network_in_a_subfolder_stays_there_in_the_dtype_of_its_base() -> None:
    network = Checkpoint("someone/networks", subfolder="canny", revision="main")
    base = Checkpoint("tiny/text-to-image", dtype="bfloat16")
    node = ControlNet(
        prompt="a", control=Canny(image=photo(64, 64)), checkpoint=base, controlnet=network
    )
    expected = Checkpoint("someone/networks", subfolder="canny", revision="main", dtype="bfloat16")
    assert node.parts()["controlnet_0"].checkpoint == expected
