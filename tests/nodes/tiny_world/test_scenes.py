"""Scenes are reproducible, held-out combinations stay out of training, and objects fit."""

from __future__ import annotations

import pytest

from sdgraph.errors import InvalidValueError
from sdgraph.nodes.tiny_world import (
    BACKGROUNDS,
    COLOURS,
    MOTIONS,
    PLACES,
    SHAPES,
    Scene,
    SceneObject,
    is_held_out,
    random_scene,
    render_masks,
)
from sdgraph.nodes.tiny_world.scenes import TRAVEL
from tests.support.effort import scaled
from tests.support.processes import forked

COMBINATIONS = [(s, c, b) for s in SHAPES for c in COLOURS for b in BACKGROUNDS]


def combinations(example: Scene) -> list[tuple[str, str, str]]:
    return [(obj.shape, obj.colour, example.background) for obj in example.objects]


@pytest.mark.parametrize("moving", [False, True])
@pytest.mark.parametrize("held_out", [False, True])
def test_held_out_combinations_appear_only_if_requested(held_out: bool, moving: bool) -> None:
    for seed in range(scaled(2_000, least=12)):
        for combination in combinations(random_scene(seed, held_out=held_out, moving=moving)):
            assert is_held_out(*combination) == held_out


def test_about_an_eighth_is_held_out_and_every_word_is_on_both_sides() -> None:
    out = [combination for combination in COMBINATIONS if is_held_out(*combination)]
    shown = [combination for combination in COMBINATIONS if not is_held_out(*combination)]
    assert 0.10 < len(out) / len(COMBINATIONS) < 0.14
    for side in (out, shown):
        assert {combination[0] for combination in side} == set(SHAPES)
        assert {combination[1] for combination in side} == set(COLOURS)
        assert {combination[2] for combination in side} == set(BACKGROUNDS)


def test_every_training_combination_and_every_place_appears() -> None:
    examples = [random_scene(seed) for seed in range(6_000)]
    shown = {combination for example in examples for combination in combinations(example)}
    assert shown == {combination for combination in COMBINATIONS if not is_held_out(*combination)}
    assert {obj.place for example in examples for obj in example.objects} == set(PLACES)
    assert {len(example.objects) for example in examples} == {1, 2}


def test_no_two_scenes_are_equal_and_a_seed_is_always_the_same() -> None:
    examples = [random_scene(seed, held_out=out) for seed in range(500) for out in (False, True)]
    assert len(set(examples)) == len(examples)
    assert examples == [
        random_scene(seed, held_out=out) for seed in range(500) for out in (False, True)
    ]


def test_a_seed_is_the_same_scene_in_another_process_and_version() -> None:
    code = "from sdgraph.nodes.tiny_world import random_scene as r; print(r(7), r(8, moving=True))"
    result = forked("-c", code)
    assert result.stdout.strip() == f"{random_scene(7)} {random_scene(8, moving=True)}"
    (obj,) = random_scene(7, objects=1).objects
    assert (obj.shape, obj.colour, obj.place) == ("cross", "yellow", "right")


def test_objects_are_complete_and_do_not_touch() -> None:
    for seed in range(scaled(300, least=12)):
        object_masks = render_masks(random_scene(seed, objects=2), 64)
        assert not (object_masks[0] & object_masks[1]).any()
        for mask in object_masks:
            assert not mask[[0, -1]].any() and not mask[:, [0, -1]].any()


def test_every_motion_appears_and_round_objects_never_turn() -> None:
    examples = [random_scene(seed, moving=True) for seed in range(400)]
    assert {example.motion for example in examples} == set(MOTIONS)
    turning = {example.objects[0].shape for example in examples if example.motion == "turning"}
    assert turning == {"square", "triangle", "star", "cross"}


def test_a_moving_object_covers_the_whole_distance() -> None:
    example = Scene("navy", (SceneObject("star", "red", "center", 0.15),), "moving right")
    (start,), (end,) = example.at(0).objects, example.at(1).objects
    assert end.middle[0] - start.middle[0] == pytest.approx(TRAVEL)
    assert end.middle[1] == start.middle[1]


def test_unknown_words_and_counts_are_refused_with_the_allowed_ones() -> None:
    with pytest.raises(InvalidValueError, match="did you mean 'star'"):
        SceneObject("stars", "red", "center", 0.2)
    with pytest.raises(InvalidValueError, match="one of navy"):
        Scene("gold", ())
    with pytest.raises(InvalidValueError, match="1, or 2"):
        random_scene(1, objects=3)
    with pytest.raises(InvalidValueError, match="1, or 2"):
        random_scene(1, objects=2, moving=True)
    with pytest.raises(InvalidValueError, match="at least 0"):
        random_scene(-1)
    two = (SceneObject("star", "red", "left", 0.15), SceneObject("ring", "blue", "right", 0.15))
    with pytest.raises(InvalidValueError, match="one object"):
        Scene("navy", two, "growing")
