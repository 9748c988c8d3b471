"""Every mask node takes any small picture and any valid parameters, and changes no input."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdgraph.nodes
from sdgraph import Checkpoint, Node, Session, run
from sdgraph.errors import InvalidValueError
from sdgraph.media import write_image
from sdgraph.nodes import (
    MaskBox,
    MaskBrush,
    MaskByGrounding,
    MaskBySam,
    MaskByWords,
    MaskEllipse,
    MaskFeather,
    MaskFillHoles,
    MaskFromAlpha,
    MaskFromColor,
    MaskFromFile,
    MaskGrabCut,
    MaskGrow,
    MaskIntersect,
    MaskInvert,
    MaskLargest,
    MaskOverlay,
    MaskPolygon,
    MaskResize,
    MaskSubtract,
    MaskUnion,
)
from sdgraph.values import Image, Mask
from tests.support import mask_models
from tests.support.effort import scaled

SIDE = st.one_of(st.integers(1, 4), st.integers(1, 64))
FAR = st.one_of(st.integers(-8, 72), st.integers(-65_536, 65_536))
POINT = st.lists(FAR, min_size=2, max_size=2)
BOX = st.lists(FAR, min_size=4, max_size=4).filter(lambda b: b[0] < b[2] and b[1] < b[3])
SHARE = st.floats(0, 1)
COLOR = st.sampled_from(["red", "black", "#808080", "hsl(120, 50%, 50%)"])


def values(size: tuple[int, int], seed: int, kind: str, channels: int = 0) -> Any:
    """Pixels of one value, of two, or noise: uint8, height × width (× channels)."""
    draw = np.random.default_rng(seed)
    shape = (size[1], size[0], channels) if channels else (size[1], size[0])
    if kind == "flat":
        return np.full(shape, draw.choice([0, 255, 128]), np.uint8)
    noise = draw.integers(0, 256, shape, np.uint8)
    return noise if kind == "noise" else np.where(noise > 200, np.uint8(255), np.uint8(0))


KIND = st.sampled_from(["flat", "noise", "spots"])
SIZE = st.tuples(SIDE, SIDE)
IMAGE = st.builds(
    lambda *choices: Image(values(*choices)),
    SIZE,
    st.integers(0, 99),
    KIND,
    st.sampled_from([3, 4]),
)


def masks_of(size: tuple[int, int]) -> st.SearchStrategy[Mask]:
    return st.builds(lambda *choices: Mask(values(size, *choices)), st.integers(0, 99), KIND)


MASKS = SIZE.flatmap(lambda size: st.lists(masks_of(size), min_size=2, max_size=4))
MASK = SIZE.flatmap(masks_of)
WITH_MASK = IMAGE.flatmap(lambda image: st.tuples(st.just(image), masks_of(image.size)))

NODES: dict[type[Node[Any]], st.SearchStrategy[Node[Any]]] = {
    MaskBox: st.builds(MaskBox, image=IMAGE, box=BOX),
    MaskBrush: st.builds(
        MaskBrush,
        image=IMAGE,
        radius=st.integers(1, 40),
        hardness=SHARE,
        strokes=st.lists(st.lists(POINT, min_size=1, max_size=4), min_size=1, max_size=3),
    ),
    MaskEllipse: st.builds(MaskEllipse, image=IMAGE, box=BOX),
    MaskFeather: st.builds(
        MaskFeather, mask=MASK, radius=st.floats(0, 64, exclude_min=True, width=32)
    ),
    MaskFillHoles: st.builds(MaskFillHoles, mask=MASK),
    MaskFromAlpha: st.builds(MaskFromAlpha, image=IMAGE),
    MaskFromColor: st.builds(
        MaskFromColor, image=IMAGE, color=COLOR, tolerance=st.integers(0, 255)
    ),
    MaskGrabCut: st.builds(MaskGrabCut, image=IMAGE, box=BOX, iterations=st.integers(1, 2)),
    MaskGrow: st.builds(MaskGrow, mask=MASK, by=st.one_of(st.integers(-9, 9), st.just(4096))),
    MaskIntersect: st.builds(MaskIntersect, masks=MASKS),
    MaskInvert: st.builds(MaskInvert, mask=MASK),
    MaskLargest: st.builds(MaskLargest, mask=MASK),
    MaskOverlay: st.builds(
        lambda both, **more: MaskOverlay(image=both[0], mask=both[1], **more),
        WITH_MASK,
        color=COLOR,
        opacity=SHARE,
    ),
    MaskPolygon: st.builds(
        MaskPolygon, image=IMAGE, points=st.lists(POINT, min_size=3, max_size=6)
    ),
    MaskResize: st.builds(MaskResize, mask=MASK, image=IMAGE),
    MaskSubtract: st.builds(lambda masks: MaskSubtract(mask=masks[0], less=masks[1]), MASKS),
    MaskUnion: st.builds(MaskUnion, masks=MASKS),
}


def outcome(node: Node[Any], arguments: dict[str, Any]) -> Any:
    """What a node makes, checked for its kind and size, or None where it refuses the values."""
    before = contents(arguments)
    try:
        result: Any = node.run(**arguments)
    except InvalidValueError as refusal:
        assert "wanted" in str(refusal)
        return None
    finally:
        assert contents(arguments) == before
    sized: Any = arguments.get("image") or arguments.get("mask") or arguments["masks"][0]
    kind: Any = type(result)
    assert kind is type(node).output
    assert result.size == sized.size
    assert result.numpy.dtype == np.uint8 and not result.numpy.flags.writeable
    return result


def contents(arguments: dict[str, Any]) -> dict[str, str]:
    """The inputs as hashes of the pixels that they hold now."""
    return {
        f"{name}{number}": hash_of(item)
        for name, value in arguments.items()
        for number, item in enumerate(value if isinstance(value, tuple) else (value,))
    }


def hash_of(value: Any) -> str:
    return str(type(value)(value.numpy.copy()).content)


@pytest.mark.parametrize("cls", NODES, ids=lambda cls: str(cls.__name__))
def test_no_picture_and_no_parameter_makes_it_crash(cls: type[Node[Any]]) -> None:
    @settings(max_examples=scaled(60, least=5))
    @given(NODES[cls])
    def on_any(node: Node[Any]) -> None:
        mask = outcome(node, node.arguments({}))
        if mask is not None:
            assert outcome(node, node.arguments({})) == mask

    on_any()


@pytest.mark.torch
@settings(max_examples=25)
@given(image=IMAGE, box=BOX, points=st.lists(POINT, min_size=1, max_size=3), share=SHARE)
def test_nor_does_it_one_with_a_model(
    model: dict[str, Checkpoint],
    session: Session,
    image: Image,
    box: list[int],
    points: list[list[int]],
    share: float,
) -> None:
    points_inside = [[abs(x) % image.width, abs(y) % image.height] for x, y in points]
    sam, dino, clipseg = model["sam"], model["grounding_dino"], model["clipseg"]
    words: dict[str, Any] = {"image": image, "words": "a cat"}
    nodes: list[Node[Any]] = [
        MaskBySam(image=image, points=points_inside, box=box, checkpoint=sam),
        MaskBySam(image=image, points=points, checkpoint=sam),
        MaskByWords(**words, threshold=min(max(share, 0.01), 0.99), checkpoint=clipseg),
        MaskByGrounding(**words, threshold=share * 0.99, checkpoint=dino, segmenter=sam),
    ]
    for node in nodes:
        try:
            result = run(node, session=session)
        except sdgraph.NodeFailedError as error:
            assert isinstance(error.__cause__, InvalidValueError)
            assert "wanted" in str(error)
        else:
            assert type(result) is Mask and result.size == image.size


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    root = tmp_path_factory.mktemp("models")
    makers = (mask_models.sam, mask_models.grounding_dino, mask_models.clipseg)
    return {make.__name__: Checkpoint(make(root / make.__name__)) for make in makers}


@settings(max_examples=25)
@given(image=IMAGE)
def test_nor_does_it_a_file(tmp_path_factory: pytest.TempPathFactory, image: Image) -> None:
    path = tmp_path_factory.getbasetemp() / "any.png"
    write_image(image.pil, path)
    node = MaskFromFile(path=path)
    if problems := list(node.check()):  # colours, and an alpha that varies
        assert image.numpy.shape[2] == 4 and "MaskFromAlpha" in problems[0].fix
        with pytest.raises(InvalidValueError, match="transparent parts"):
            node.run()
        return
    result = node.run()
    assert type(result) is Mask and result.size == image.size


def test_no_mask_node_is_left_out() -> None:
    tested: set[type[Node[Any]]] = {*NODES, MaskFromFile, MaskBySam, MaskByWords, MaskByGrounding}
    every = {name for name in sdgraph.nodes.__all__ if name.startswith("Mask") and name != "Mask"}
    assert {getattr(cls, "__name__", "") for cls in tested} == every


@pytest.mark.parametrize("size", [(16_000, 1), (1, 16_000), (16_000, 3)])
def test_a_picture_of_16000_pixels_is_taken(tmp_path: Path, size: tuple[int, int]) -> None:
    image, mask = Image(values(size, 0, "noise", 4)), Mask(values(size, 1, "spots"))
    nodes: list[tuple[Node[Any], dict[str, Any]]] = [
        (MaskBox(image=image, box=[0, 0, 9000, 9000]), {"image": image}),
        (MaskEllipse(image=image, box=[-9, -9, 9000, 9000]), {"image": image}),
        (MaskPolygon(image=image, points=[[0, 0], [16_000, 0], [0, 16_000]]), {"image": image}),
        (MaskBrush(image=image, strokes=[[[0, 0], [16_000, 16_000]]]), {"image": image}),
        (MaskFromColor(image=image, color="gray", tolerance=100), {"image": image}),
        (MaskGrow(mask=mask), {"mask": mask}),
        (MaskFillHoles(mask=mask), {"mask": mask}),
        (MaskLargest(mask=mask), {"mask": mask}),
        (MaskOverlay(image=image, mask=mask), {"image": image, "mask": mask}),
    ]
    for node, values_in in nodes:
        assert outcome(node, values_in) is not None, node
