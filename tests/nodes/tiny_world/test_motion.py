"""The motion measured in clips."""

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


def test_the_motion_of_clips_is_measured_right() -> None:
    right = jumps = 0
    count = scaled(200)
    for seed in range(count):
        example = random_scene(seed, moving=True, held_out=seed % 2 == 1)
        clip_frames = np.stack([degrade(frame, seed) for frame in render_frames(example, 7, 64)])
        measured = measure_motion(clip_frames, parse_caption(describe_scene(example)))
        right += measured.name == example.motion and measured.present >= 0.85
        jumps += measured.jump < 64 * TRAVEL / 6 + 1.5
    assert right >= 0.99 * count and jumps >= 0.99 * count


@pytest.mark.parametrize("name", MOTIONS)
def test_distance_growth_and_turn_are_measured(name: str) -> None:
    measured = measure_motion(clip(name))
    assert measured.name == name and measured.present == 1
    far = TRAVEL if name.startswith("moving") else 0
    assert np.hypot(*measured.way) == pytest.approx(far, abs=0.01)
    growth = {"growing": GROWTH, "shrinking": 1 / GROWTH}.get(name, 1)
    assert measured.growth == pytest.approx(growth, rel=0.04)
    assert measured.turn == pytest.approx(TURN if name == "turning" else 0, abs=8)
    assert measured.jump == pytest.approx(far * 128 / 11, abs=0.5)


def test_shuffled_frames_jump_farther() -> None:
    for seed in range(12):
        clip_frames = clip("moving left", count=8)
        mixed = np.random.default_rng(seed).permutation(clip_frames)
        assert measure_motion(mixed).jump >= 1.5 * measure_motion(clip_frames).jump


def test_a_still_clip_does_not_move_and_an_empty_one_shows_nothing() -> None:
    still = np.repeat(clip("growing")[:1], 6, axis=0)
    assert measure_motion(still).name is None and measure_motion(still).jump < 0.01
    from sdgraph.nodes.tiny_world import render_scene

    empty = np.stack([render_scene(Scene("navy", ()))] * 4)
    measured = measure_motion(empty)
    assert measured.name is None and measured.present == 0


def test_frames_of_another_object_are_not_right() -> None:
    clip_frames = clip("moving up")
    clip_frames[:3] = clip("moving up", shape="cross")[:3]
    measured = measure_motion(
        clip_frames, parse_caption("a red star moving up on a teal background")
    )
    assert measured.present == pytest.approx(0.75) and measured.name == "moving up"
    assert (
        measure_motion(
            clip_frames, parse_caption("a blue star moving up on a teal background")
        ).present
        == 0
    )


def test_one_frame_has_no_motion() -> None:
    assert measure_motion(clip("growing")[:1]).name is None
