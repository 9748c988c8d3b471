"""The scored tasks are of held-out combinations only, possible, and the same every time."""

from __future__ import annotations

from itertools import pairwise

import cv2
import numpy as np
import pytest

from sdgraph.nodes.tiny_world import Scene, is_held_out, render_masks

from .scenes import (
    FIRST,
    SIDE,
    background_changes,
    colour_changes,
    inpainting_tasks,
    moving_scenes,
    still_scenes,
)

pytestmark = pytest.mark.quick

PLAIN = {"navy", "gray", "black", "brown", "teal"}


def is_all_held_out(scene: Scene) -> bool:
    return all(is_held_out(obj.shape, obj.colour, scene.background) for obj in scene.objects)


def looks(scene: Scene) -> list[tuple[str, str]]:
    return [(obj.shape, obj.colour) for obj in scene.objects]


def geometry(scene: Scene) -> list[tuple[object, ...]]:
    return [(obj.shape, obj.place, obj.size, obj.angle, obj.shift) for obj in scene.objects]


def test_no_scene_shows_a_combination_that_training_shows() -> None:
    scenes = [*still_scenes(100), *moving_scenes(50)]
    scenes += [scene for task in inpainting_tasks(100) for scene in (task.source, task.wanted)]
    for change in (*colour_changes(100), *background_changes(100)):
        scenes += [change.source, change.wanted]
    assert all(map(is_all_held_out, scenes))


def test_a_count_is_kept_and_more_begin_with_the_same() -> None:
    for make in (still_scenes, moving_scenes, colour_changes, background_changes):
        few, more = make(7), make(12)
        assert len(few) == 7 and few == more[:7] and len(set(more)) == 12
    assert [task.wanted for task in inpainting_tasks(7)] == [
        task.wanted for task in inpainting_tasks(9)
    ][:7]
    assert FIRST == 6_000_000, "samples along a training begin at 5,000,000 and end before"


def test_an_inpainting_task_replaces_one_object_at_its_place() -> None:
    for task in inpainting_tasks(100):
        pairs = list(zip(looks(task.source), looks(task.wanted), strict=True))
        (changed,) = [n for n, (before, after) in enumerate(pairs) if before != after]
        assert pairs[changed][1] not in looks(task.source)
        assert task.wanted.objects[changed].middle == task.source.objects[changed].middle
        assert task.wanted.tells_place and task.wanted.background == task.source.background


def test_a_mask_covers_its_object_and_keeps_away_from_the_other() -> None:
    for task in inpainting_tasks(100):
        pairs = zip(
            looks(task.source), looks(task.wanted), render_masks(task.source, SIDE), strict=True
        )
        around = np.ones((3, 3), np.uint8)
        for before, after, own_mask in pairs:
            if before == after:
                # Not even the smooth rim of the one that stays.
                assert not (task.mask[cv2.dilate(own_mask, around) > 0]).any()
            else:
                assert task.mask[own_mask > 0].all() and task.mask.sum() > 1.2 * own_mask.sum()


def test_masks_are_outlines_and_boxes_by_turns() -> None:
    def full(mask: np.ndarray) -> bool:
        _, _, width, height = cv2.boundingRect(mask)
        return bool(np.count_nonzero(mask) == width * height)

    single = [
        (n, task) for n, task in enumerate(inpainting_tasks(60)) if len(task.source.objects) == 1
    ]
    kinds = [(n % 2 == 1, full(task.mask)) for n, task in single]
    # The outline of an upright square is a box but for its corners.
    assert all(boxed == filled for boxed, filled in kinds)
    assert any(boxed != other for (boxed, _), (other, _) in pairwise(kinds))


def test_every_colour_is_new_and_the_background_has_the_same_edges() -> None:
    for change in colour_changes(100):
        before, after = change.source, change.wanted
        assert geometry(before) == geometry(after)
        assert not set(looks(before)) & set(looks(after))
        assert (
            after.background == before.background or {before.background, after.background} <= PLAIN
        )
    is_changed = [
        change.source.background != change.wanted.background for change in colour_changes(100)
    ]
    assert sum(is_changed) > 50


def test_a_background_change_keeps_the_objects() -> None:
    for change in background_changes(100):
        assert geometry(change.source) == geometry(change.wanted)
        assert change.source.background != change.wanted.background
