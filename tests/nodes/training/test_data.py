"""Training data of the tiny world: scenes with captions and ground truth."""

from __future__ import annotations

import numpy as np
import pytest

from sdgraph import Session, run
from sdgraph.errors import InvalidNodeError
from sdgraph.nodes import TinyWorld
from sdgraph.nodes.tiny_world import Scene, describe_scene, is_held_out, random_scene, render_scene
from sdgraph.nodes.training.data import WorldDataset

pytestmark = pytest.mark.quick


def _has_held_out(example: Scene) -> bool:
    return any(is_held_out(obj.shape, obj.colour, example.background) for obj in example.objects)


def test_scenes_have_their_pictures_and_captions() -> None:
    data = WorldDataset(5, 7, 32)
    assert data.pictures.shape == (5, 32, 32, 3)
    assert data.pictures.dtype == np.uint8
    assert np.array_equal(data.pictures[2], render_scene(random_scene(9), 32))
    assert data.captions[2] == describe_scene(random_scene(9))
    assert len(data) == 5


def test_no_scene_for_training_is_held_out_and_all_examples_are() -> None:
    data = WorldDataset(200, 0, 32)
    assert not any(_has_held_out(scene) for scene in data.scenes)
    examples = data.examples(8)
    assert isinstance(examples, WorldDataset)
    assert all(_has_held_out(scene) for scene in examples.scenes)


def test_scenes_are_known_by_their_content() -> None:
    one = WorldDataset(4, 0, 32)
    assert one.content == WorldDataset(4, 0, 32).content
    others = [WorldDataset(5, 0, 32), WorldDataset(4, 1, 32), WorldDataset(4, 0, 48)]
    others += [WorldDataset(4, 0, 32, moving=True), WorldDataset(4, 0, 32, held_out=True)]
    assert len({dataset.content for dataset in [one, *others]}) == 6


def test_scenes_of_some_motions_are_those_among_all() -> None:
    expected = ("moving right", "growing")
    data = WorldDataset(20, 0, 32, moving=True, motions=expected)
    among = WorldDataset(200, 0, 32, moving=True).scenes
    assert data.scenes == [example for example in among if example.motion in expected][:20]
    assert data.content != WorldDataset(20, 0, 32, moving=True).content
    assert {scene.motion for scene in data.examples(8).scenes} <= set(expected)  # type: ignore[attr-defined]


def test_a_picture_of_a_motion_shows_the_time_that_is_asked_for() -> None:
    from sdgraph.nodes.tiny_world import render_frames

    clip = render_frames(random_scene(3, moving=True), 5, 32)
    for time, number in ((0.0, 0), (0.5, 2), (1.0, 4)):
        dataset = WorldDataset(1, 3, 32, moving=True, time=time)
        assert np.array_equal(dataset.pictures[0], clip[number])
    start = WorldDataset(1, 3, 32, moving=True, time=0.0)
    assert start.content != WorldDataset(1, 3, 32, moving=True).content


def test_motions_are_of_scenes_that_move_and_known() -> None:
    with pytest.raises(InvalidNodeError, match="set moving: true"):
        TinyWorld(motions=["growing"])
    with pytest.raises(InvalidNodeError, match="did you mean 'growing'"):
        TinyWorld(moving=True, motions=["grow"])


def test_pairs_are_drawn_by_a_scenes_number_alone() -> None:
    data = WorldDataset(300, 50, 32, pairs=0.8)
    counts = [len(scene.objects) for scene in data.scenes]
    assert 0.72 < counts.count(2) / 300 < 0.88
    assert data.scenes[40:] == WorldDataset(260, 90, 32, pairs=0.8).scenes
    for share, objects in ((0.0, 1), (1.0, 2)):
        scenes = WorldDataset(40, 0, 32, pairs=share).scenes
        assert {len(example.objects) for example in scenes} == {objects}
    examples = data.examples(60)
    assert isinstance(examples, WorldDataset)
    assert examples.scenes == WorldDataset(60, 5_000_000, 32, held_out=True, pairs=0.8).scenes


def test_pairs_are_in_the_content_only_where_they_are_set() -> None:
    plain = WorldDataset(4, 0, 32).content
    assert plain == "12305e08dfa9957b2722631fbe23f75f"
    assert len({plain, *(WorldDataset(4, 0, 32, pairs=p).content for p in (0.0, 0.35, 1.0))}) == 4


def test_pairs_do_not_move() -> None:
    with pytest.raises(
        InvalidNodeError, match=r"(?s)pairs 0.5 of scenes that move.*one object each"
    ):
        TinyWorld(moving=True, pairs=0.5)


def test_the_node_gives_what_it_names(session: Session) -> None:
    data = run(TinyWorld(count=3, seed=4, side=32), session=session)
    assert data.captions == tuple(describe_scene(random_scene(4 + number)) for number in range(3))
