"""The measures: the truth scores all there is to score, and what is wrong scores low."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from sdgraph.nodes.tiny_world import (
    Pixels,
    Scene,
    SceneObject,
    render_depth,
    render_edges,
    render_frames,
    render_scene,
)
from tests.support.effort import scaled

from .metrics import (
    ClipScore,
    clip_score,
    decibels,
    depth_agreement,
    edge_agreement,
    is_object_right,
    is_unchanged_outside,
    judge_against,
)
from .scenes import (
    SIDE,
    InpaintingTask,
    background_changes,
    colour_changes,
    inpainting_tasks,
    moving_scenes,
    still_scenes,
)

pytestmark = pytest.mark.quick

SCENE = Scene(
    "navy", (SceneObject("star", "red", "left", 0.16), SceneObject("ring", "cyan", "right", 0.16))
)


def shift(picture: Pixels, by: int) -> Pixels:
    return np.roll(picture, by, axis=1)


def paint_scene(task: InpaintingTask, after: Scene) -> Pixels:
    """The source with what another scene shows where the mask is white."""
    white = task.mask[..., None] > 0
    return np.where(white, render_scene(after, SIDE), render_scene(task.source, SIDE))


def clip(motion: str, shape: str = "star", colour: str = "red") -> Pixels:
    return render_frames(
        Scene("teal", (SceneObject(shape, colour, "center", 0.155),), motion), 8, SIDE
    )


def expected(motion: str) -> Scene:
    return Scene("teal", (SceneObject("star", "red", "center", 0.155),), motion, tells_place=False)


def test_decibels_are_those_of_the_mean_squared_error() -> None:
    picture = render_scene(SCENE, SIDE)
    assert decibels(picture, picture) == math.inf
    assert decibels(picture.astype(np.float32) + 1, picture) == pytest.approx(48.13, abs=0.01)
    black, white = np.zeros((4, 4, 3), np.uint8), np.full((4, 4, 3), 255, np.uint8)
    assert decibels(black, white) == pytest.approx(0)


def test_held_out_scenes_are_right_by_their_own_captions() -> None:
    scenes = still_scenes(scaled(60, least=10))
    assert all(judge_against(render_scene(scene, SIDE), scene).all for scene in scenes)


@pytest.mark.parametrize("part", ["colour", "shape", "place", "background"])
def test_what_is_other_than_asked_is_wrong(part: str) -> None:
    star, ring = SCENE.objects
    other = {
        "colour": replace(SCENE, objects=(replace(star, colour="blue"), ring)),
        "shape": replace(SCENE, objects=(replace(star, shape="square"), ring)),
        "place": replace(SCENE, objects=(replace(star, place="top"), ring)),
        "background": replace(SCENE, background="gray"),
    }[part]
    measured = judge_against(render_scene(other, SIDE), SCENE)
    assert not getattr(measured, part)
    assert not measured.all
    assert is_object_right(measured) == (part == "background")


def test_a_third_object_leaves_the_asked_ones_right_but_not_all() -> None:
    more = replace(SCENE, objects=(*SCENE.objects, SceneObject("square", "white", "bottom", 0.13)))
    measured = judge_against(render_scene(more, SIDE), SCENE)
    assert is_object_right(measured) and not measured.all


def test_inpainting_is_right_where_the_expected_object_is_in_the_mask() -> None:
    tasks = inpainting_tasks(scaled(60, least=10))
    done = [paint_scene(task, task.wanted) for task in tasks]
    assert all(judge_against(one, task.wanted).all for one, task in zip(done, tasks, strict=True))
    left = [judge_against(render_scene(task.source, SIDE), task.wanted) for task in tasks]
    assert not any(is_object_right(judged) for judged in left)
    empty = [paint_scene(task, Scene(task.source.background, ())) for task in tasks]
    missed = [judge_against(one, task.wanted) for one, task in zip(empty, tasks, strict=True)]
    assert not any(is_object_right(judged) for judged in missed)


def test_one_pixel_of_another_shade_outside_the_mask_is_not_kept() -> None:
    task = inpainting_tasks(1)[0]
    source = render_scene(task.source, SIDE)
    picture = paint_scene(task, task.wanted)
    assert is_unchanged_outside(picture, source, task.mask)
    row, column = np.argwhere(task.mask == 0)[0]
    picture[row, column, 1] ^= 1
    assert not is_unchanged_outside(picture, source, task.mask)


def test_edges_may_be_one_pixel_off_and_not_three() -> None:
    for change in colour_changes(30):
        truth = render_scene(change.wanted, SIDE)
        assert edge_agreement(truth, change.source) > 0.98
        assert judge_against(truth, change.wanted).colour
        assert not judge_against(render_scene(change.source, SIDE), change.wanted).colour
    picture = render_scene(SCENE, SIDE)
    assert edge_agreement(picture, SCENE) == 1
    assert edge_agreement(shift(picture, 1), SCENE) == 1
    assert edge_agreement(shift(picture, 3), SCENE) < 0.65
    assert edge_agreement(render_scene(Scene("navy", ()), SIDE), SCENE) == 0


def test_edges_that_are_only_partly_there_lose_as_many_as_are_missing() -> None:
    half = Scene("navy", SCENE.objects[:1])
    share = (render_edges(half, SIDE) > 0).sum() / (render_edges(SCENE, SIDE) > 0).sum()
    # All that is there is right, so precision is 1 and recall the share.
    assert edge_agreement(render_scene(half, SIDE), SCENE) == pytest.approx(
        2 * share / (1 + share), abs=1e-9
    )


def test_depth_agrees_with_itself_at_any_scale_and_not_with_its_opposite() -> None:
    true = render_depth(SCENE, SIDE)
    assert depth_agreement(true, SCENE) == pytest.approx(1)
    assert depth_agreement(true * 7 - 2, SCENE) == pytest.approx(1)
    assert depth_agreement(-true, SCENE) == pytest.approx(-1)
    assert depth_agreement(render_depth(Scene("navy", ()), SIDE), SCENE) < 0.8
    for change in background_changes(30):
        assert depth_agreement(render_depth(change.wanted, SIDE), change.source) > 0.97


def test_true_clips_are_right_in_all() -> None:
    for scene in moving_scenes(scaled(12, least=3)):
        measured = clip_score(render_frames(scene, 16, SIDE), scene)
        assert measured.object_right == 1 and measured.motion_right and measured.jump <= 1


@pytest.mark.parametrize("motion", ["moving left", "moving down", "growing", "shrinking"])
def test_a_clip_played_backwards_moves_otherwise(motion: str) -> None:
    measured = clip_score(clip(motion)[::-1].copy(), expected(motion))
    assert measured.object_right == 1 and not measured.motion_right


def test_a_clip_that_stands_still_does_not_move_as_asked() -> None:
    still = np.repeat(clip("turning")[:1], 8, axis=0)
    assert not clip_score(still, expected("turning")).motion_right


def test_frames_of_another_object_are_wrong() -> None:
    assert clip_score(clip("growing", colour="white"), expected("growing")).object_right == 0
    assert clip_score(clip("growing", shape="cross"), expected("growing")).object_right == 0
    mixed = np.concatenate([clip("growing")[:6], clip("growing", colour="white")[6:]])
    assert clip_score(mixed, expected("growing")).object_right == 0.75


def test_frames_out_of_order_jump() -> None:
    mixed = clip("moving left")[[0, 4, 1, 5, 2, 6, 3, 7]]
    assert clip_score(mixed, expected("moving left")).jump > 2
    hopping = clip("turning")
    hopping[4] = shift(hopping[4], 6)
    measured = clip_score(hopping, expected("turning"))
    assert measured == ClipScore(1, True, measured.jump) and measured.jump == pytest.approx(
        6, abs=0.5
    )


def test_an_object_that_vanishes_has_jumped_farther_than_any() -> None:
    gone = clip("moving left")
    gone[3] = render_scene(Scene("teal", ()), SIDE)
    measured = clip_score(gone, expected("moving left"))
    assert measured.jump == math.inf and measured.object_right == pytest.approx(7 / 8)
