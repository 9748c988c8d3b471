"""Every node that makes a control map takes any small picture, and changes no input."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdgraph.nodes
from sdgraph import Checkpoint, Node, NodeFailedError, Session, run
from sdgraph.errors import InvalidNodeError, InvalidValueError
from sdgraph.nodes import (
    Canny,
    DepthEstimate,
    NormalsFromDepth,
    PoseDraw,
    PoseEstimate,
    Scribble,
    Segment,
    SoftEdges,
)
from sdgraph.nodes.maps.skeleton import JOINTS
from sdgraph.values import DepthMap, Image
from tests.support import map_models
from tests.support.arbitrary_images import assert_unchanged, images
from tests.support.effort import scaled

IMAGE = images()
SHARE = st.floats(0, 1)
SMOOTHING = st.floats(0.5, 64)
PAIR = st.tuples(SHARE, SHARE).map(sorted)
THICKNESS = st.none() | st.floats(1, 1024)
PERSON = st.dictionaries(
    st.sampled_from(JOINTS), st.tuples(SHARE, SHARE), min_size=1, max_size=len(JOINTS)
)


@st.composite
def depths(draw: st.DrawFn) -> DepthMap:
    """A depth map of noise in any unit, never flat."""
    width, height = draw(st.integers(1, 64)), draw(st.integers(2, 64))
    noise = np.random.default_rng(draw(st.integers(0, 99))).random((height, width))
    noise[:2, 0] = 0, 1
    unit = draw(st.sampled_from([1e-30, 1.0, 1e4, 6e38]))
    return DepthMap((noise - draw(st.sampled_from([0.0, 0.5]))) * unit / 2)


@st.composite
def people(draw: st.DrawFn) -> PoseDraw:
    width, height = draw(st.integers(1, 64)), draw(st.integers(1, 64))
    points: list[Any] = [
        {joint: [x * width, y * height] for joint, (x, y) in person.items()}
        for person in draw(st.lists(PERSON, min_size=1, max_size=3))
    ]
    return PoseDraw(people=points, width=width, height=height, thickness=draw(THICKNESS))


NODES: dict[type[Node[Any]], st.SearchStrategy[Any]] = {
    Canny: st.builds(
        lambda pair, **more: Canny(low=pair[0], high=pair[1], **more),
        st.lists(st.integers(0, 1000), min_size=2, max_size=2).map(sorted),
        image=IMAGE,
    ),
    NormalsFromDepth: st.builds(
        NormalsFromDepth,
        depth=depths(),
        relief=st.floats(1e-6, 100),
        background=st.floats(0, 1, exclude_max=True),
    ),
    PoseDraw: people(),
    Scribble: st.builds(
        lambda pair, **more: Scribble(low=pair[0], high=pair[1], **more),
        PAIR,
        image=IMAGE,
        smoothing=SMOOTHING,
        thickness=st.integers(1, 256),
    ),
    SoftEdges: st.builds(
        SoftEdges,
        image=IMAGE,
        smoothing=SMOOTHING,
        contrast=st.floats(0, 1, exclude_min=True),
    ),
}


@pytest.mark.parametrize("cls", NODES, ids=lambda cls: str(cls.__name__))
def test_no_picture_and_no_parameter_makes_it_crash(cls: type[Node[Any]]) -> None:
    @settings(max_examples=scaled(60, least=5), deadline=None)
    @given(NODES[cls])
    def on_any(node: Any) -> None:
        inputs = node.arguments({})
        with assert_unchanged(*inputs.values()):
            result, again = node.run(**inputs), node.run(**inputs)
        kind: Any = type(result)
        assert kind is cls.output and result == again
        (source,) = inputs.values() or [node]
        assert result.size == (source.width, source.height)
        assert result.numpy.dtype == np.uint8 and not result.numpy.flags.writeable

    on_any()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Checkpoint]:
    root = tmp_path_factory.mktemp("models")
    makers = (
        map_models.rt_detr,
        map_models.vitpose,
        map_models.segformer,
        map_models.depth_anything,
    )
    return {make.__name__: Checkpoint(make(root / make.__name__)) for make in makers}


@pytest.mark.torch
@settings(max_examples=25, deadline=None)
@given(image=IMAGE, thresholds=st.tuples(SHARE, SHARE), thickness=THICKNESS)
def test_nor_does_it_one_with_a_model(
    model: dict[str, Checkpoint],
    session: Session,
    image: Image,
    thresholds: tuple[float, float],
    thickness: float | None,
) -> None:
    person, joint = (0.99 * threshold for threshold in thresholds)
    nodes: list[Node[Any]] = [
        DepthEstimate(image=image, checkpoint=model["depth_anything"]),
        Segment(image=image, checkpoint=model["segformer"]),
        PoseEstimate(
            image=image,
            threshold=person,
            joint_threshold=joint,
            thickness=thickness,
            checkpoint=model["vitpose"],
            detector=model["rt_detr"],
        ),
    ]
    for node in nodes:
        with assert_unchanged(image):
            try:
                result: Any = run(node, session=session)
            except NodeFailedError as error:
                assert isinstance(error.__cause__, InvalidValueError)
                assert "wanted" in str(error)
            else:
                kind: Any = type(result)
                assert kind is type(node).output and result.size == image.size


def test_no_node_that_makes_a_map_is_left_out() -> None:
    with_model: set[type[Node[Any]]] = {DepthEstimate, PoseEstimate, Segment}
    every = {getattr(sdgraph.nodes, name) for name in sdgraph.nodes.__all__}
    assert {cls for cls in every if cls.category == "control"} == {*NODES, *with_model}


@pytest.mark.parametrize("size", [(16_000, 1), (1, 16_000), (16_000, 3)])
def test_a_picture_of_16000_pixels_is_taken(size: tuple[int, int]) -> None:
    image = Image(np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), np.uint8))
    for node in (SoftEdges(image=image), Scribble(image=image)):
        assert node.run(image).size == size
    depth = DepthMap(image.numpy[..., 0])
    assert NormalsFromDepth(depth=depth).run(depth).size == size
    pose_node = PoseDraw(people=[{"nose": [0, 0]}], width=size[0], height=size[1])
    assert pose_node.run().size == size


@pytest.mark.parametrize("number", [float("nan"), float("inf")])
def test_nan_is_refused_in_any_field(number: float) -> None:
    image = Image(np.zeros((4, 4, 3), np.uint8))
    for make in (
        lambda: SoftEdges(image=image, contrast=number),
        lambda: Scribble(image=image, smoothing=number),
        lambda: PoseDraw(people=[{"nose": [number, 0]}]),
        lambda: PoseEstimate(image=image, threshold=number),
    ):
        with pytest.raises(InvalidNodeError, match="finite"):
            make()
    with pytest.raises(InvalidValueError, match="NaN"):
        DepthMap(np.array([[0.0, number]]))
