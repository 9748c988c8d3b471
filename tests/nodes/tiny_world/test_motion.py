"""Motion read from clips."""

from __future__ import annotations

import numpy as np
import pytest

from sdgraph.nodes.tiny_world import (
    MOTIONS,
    Scene,
    SceneObject,
    describe_scene,
    measure_motion,
    parse_caption,
    random_scene,
    render_frames,
)
from sdgraph.nodes.tiny_world.scenes import GROWTH, TRAVEL, TURN
from tests.support.effort import scaled
from tests.support.tiny_world_images import degrade


def clip(name: str, *, shape: str = "star", count: int = 12, side: int = 128) -> np.ndarray:
    return render_frames(
        Scene("teal", (SceneObject(shape, "red", "center", 0.155, 4.0),), name), count, side
    )


def test_the_motion_of_clips_is_read_right() -> None:
    right = jumps = 0
    count = scaled(200)
    for seed in range(count):
        example = random_scene(seed, moving=True, held_out=seed % 2 == 1)
        frames_shown = np.stack([degrade(frame, seed) for frame in render_frames(example, 7, 64)])
        motion_read = measure_motion(frames_shown, parse_caption(describe_scene(example)))
        right += motion_read.name == example.motion and motion_read.present >= 0.85
        jumps += motion_read.jump < 64 * TRAVEL / 6 + 1.5
    assert right >= 0.99 * count and jumps >= 0.99 * count


@pytest.mark.parametrize("name", MOTIONS)
def test_how_far_how_large_how_much_turned(name: str) -> None:
    motion_read = measure_motion(clip(name))
    assert motion_read.name == name and motion_read.present == 1
    far = TRAVEL if name.startswith("moving") else 0
    assert np.hypot(*motion_read.way) == pytest.approx(far, abs=0.01)
    growth = {"growing": GROWTH, "shrinking": 1 / GROWTH}.get(name, 1)
    assert motion_read.growth == pytest.approx(growth, rel=0.04)
    assert motion_read.turn == pytest.approx(TURN if name == "turning" else 0, abs=8)
    assert motion_read.jump == pytest.approx(far * 128 / 11, abs=0.5)


def test_shuffled_frames_jump_farther() -> None:
    for seed in range(12):
        frames_shown = clip("moving left", count=8)
        mixed = np.random.default_rng(seed).permutation(frames_shown)
        assert measure_motion(mixed).jump >= 1.5 * measure_motion(frames_shown).jump


def test_a_still_clip_does_not_move_and_an_empty_one_shows_nothing() -> None:
    still = np.repeat(clip("growing")[:1], 6, axis=0)
    assert measure_motion(still).name is None and measure_motion(still).jump < 0.01
    from sdgraph.nodes.tiny_world import render_scene

    empty = np.stack([render_scene(Scene("navy", ()))] * 4)
    motion_read = measure_motion(empty)
    assert motion_read.name is None and motion_read.present == 0


def test_frames_of_another_object_are_not_right() -> None:
    frames_shown = clip("moving up")
    frames_shown[:3] = clip("moving up", shape="cross")[:3]
    motion_read = measure_motion(
        frames_shown, parse_caption("a red star moving up on a teal background")
    )
    assert motion_read.present == pytest.approx(0.75) and motion_read.name == "moving up"
    assert (
        measure_motion(
            frames_shown, parse_caption("a blue star moving up on a teal background")
        ).present
        == 0
    )


def test_one_frame_has_no_motion() -> None:
    assert measure_motion(clip("growing")[:1]).name is None
