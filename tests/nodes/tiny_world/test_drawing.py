"""Pictures of scenes agree with their ground truth."""

from __future__ import annotations

from hashlib import blake2b

import cv2
import numpy as np
import pytest

from sdgraph.errors import InvalidValueError
from sdgraph.nodes.tiny_world import (
    BACKGROUNDS,
    COLOURS,
    SHAPES,
    Scene,
    SceneObject,
    random_scene,
    render_depth,
    render_edges,
    render_frame_masks,
    render_frames,
    render_masks,
    render_scene,
)
from sdgraph.nodes.tiny_world.backgrounds import background_depth, draw_background
from sdgraph.values import DepthMap, EdgeMap, Image
from tests.support.effort import scaled
from tests.support.processes import forked
from tests.support.tiny_world_images import some_scenes


def test_a_picture_is_the_same_in_another_process() -> None:
    code = (
        "from hashlib import blake2b\n"
        "from sdgraph.nodes.tiny_world import random_scene, render_scene\n"
        "for seed in range(6):\n"
        "    print(blake2b(render_scene(random_scene(seed)).tobytes()).hexdigest())"
    )
    result = forked("-c", code)
    digests = [blake2b(render_scene(random_scene(seed)).tobytes()).hexdigest() for seed in range(6)]
    assert result.stdout.split() == digests


def test_a_scene_looks_the_same_at_64_and_128() -> None:
    for example in some_scenes(scaled(40, least=8)):
        half = cv2.resize(render_scene(example, 128), (64, 64), interpolation=cv2.INTER_AREA)
        assert np.abs(half.astype(int) - render_scene(example, 64)).mean() < 1


def test_masks_have_the_colours_of_their_objects_and_the_rest_is_background() -> None:
    for example in some_scenes(scaled(60, least=8)):
        picture, rest = render_scene(example), np.ones((128, 128), bool)
        for obj, mask in zip(example.objects, render_masks(example), strict=True):
            inner = cv2.erode(mask, np.ones((3, 3), np.uint8)) > 0
            assert (picture[inner] == COLOURS[obj.colour]).all()
            rest &= cv2.dilate(mask, np.ones((7, 7), np.uint8)) == 0
        assert (picture[rest] == draw_background(example.background, 128)[rest]).all()


@pytest.mark.parametrize("shape", SHAPES)
def test_an_object_has_its_size_and_place(shape: str) -> None:
    obj = SceneObject(shape, "red", "top left", 0.2, 0.0, (0.02, -0.01))
    rows, columns = np.nonzero(render_masks(Scene("navy", (obj,)), 256)[0])
    assert (columns.mean() + 0.5) / 256 == pytest.approx(obj.middle[0], abs=0.004)
    assert (rows.mean() + 0.5) / 256 == pytest.approx(obj.middle[1], abs=0.004)
    far = np.hypot(columns + 0.5 - 256 * 0.29, rows + 0.5 - 256 * 0.26).max() / 256
    assert 0.165 < far < 0.203


def test_edges_run_along_every_outline() -> None:
    for example in some_scenes(scaled(60, least=8)):
        near = cv2.dilate(render_edges(example), np.ones((3, 3), np.uint8)) > 0
        for mask in render_masks(example):
            lines, _ = cv2.findContours(mask, cv2.RETR_LIST, cv2.CHAIN_APPROX_NONE)
            points = np.concatenate([line[:, 0] for line in lines])
            assert near[points[:, 1], points[:, 0]].mean() > 0.9


def test_objects_are_nearer_than_the_background_and_the_larger_the_nearer() -> None:
    for example in some_scenes(scaled(60, least=8)):
        near = render_depth(example)
        assert near.dtype == np.float32 and near.min() >= 0 and near.max() <= 1
        DepthMap(near)
        free = np.ones(near.shape, bool)
        for mask in render_masks(example):
            free &= mask == 0
        levels = [float(near[mask > 0].min()) for mask in render_masks(example)]
        assert min(levels) > near[free].max() + 0.09
        assert sorted(levels) == [
            level
            for _, level in sorted(zip([t.size for t in example.objects], levels, strict=True))
        ]


def test_depths_of_backgrounds_differ_but_correlate() -> None:
    depths = [background_depth(name, 64) for name in BACKGROUNDS]
    assert all((np.diff(depth[:, 0]) >= 0).all() and depth[-1, 0] > depth[0, 0] for depth in depths)
    assert len({depth.tobytes() for depth in depths}) == len(depths)
    assert np.corrcoef([depth.ravel() for depth in depths]).min() > 0.96


def test_frames_span_the_whole_motion_whatever_their_count() -> None:
    example = random_scene(3, moving=True)
    few, many = render_frames(example, 5), render_frames(example, 9)
    assert few.shape == (5, 128, 128, 3) and few.dtype == np.uint8
    assert (few == many[::2]).all()
    assert (render_frame_masks(example, 5)[2] == render_masks(example)[0]).all()


def test_moving_objects_stay_inside() -> None:
    for seed in range(scaled(150, least=12)):
        for mask in render_frame_masks(random_scene(seed, moving=True), 3, 64):
            assert mask.any() and not mask[[0, -1]].any() and not mask[:, [0, -1]].any()


def test_a_still_scene_has_no_frames() -> None:
    with pytest.raises(InvalidValueError, match="moving=True"):
        render_frames(random_scene(1), 8)


def test_results_are_valid_values_of_the_engine() -> None:
    Image(render_scene(random_scene(1)))
    EdgeMap(np.repeat(render_edges(random_scene(1))[..., None], 3, axis=2))
    render_scene(Scene("navy", ()))[0, 0] = 0  # a new array, not the cached background
    assert draw_background("navy", 128)[0, 0].any()
