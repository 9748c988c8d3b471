"""Training data: scenes, and folders with any files in them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from sdgraph import Session, run
from sdgraph.errors import InvalidNodeError, InvalidValueError, InvalidWorkflowError
from sdgraph.graph import Graph
from sdgraph.nodes import PictureFolder, TinyWorld
from sdgraph.nodes.tiny_world import Scene, describe_scene, is_held_out, random_scene, render_scene
from sdgraph.nodes.training.data import FolderDataset, WorldDataset
from tests.support.photos import save_in_mode

pytestmark = pytest.mark.quick


def write_example(
    folder: Path, name: str, size: tuple[int, int] = (40, 30), words: str | None = None
) -> Path:
    """A picture in a folder, with its caption in a text file of the same name."""
    path = folder / name
    Image.new("RGB", size, (200, 10, 10)).save(path)
    if words is not None:
        path.with_suffix(".txt").write_text(words, encoding="utf-8")
    return path


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


def test_the_nodes_give_what_they_name(tmp_path: Path, session: Session) -> None:
    assert run(TinyWorld(count=3, seed=4, side=32), session=session).captions == tuple(
        describe_scene(random_scene(4 + number)) for number in range(3)
    )
    write_example(tmp_path, "a.png", words="a red wall")
    result = run(PictureFolder(path=str(tmp_path), side=32), session=session)
    assert result.captions == ("a red wall",)


def test_a_caption_is_in_a_text_file_next_to_its_picture_or_is_its_name(tmp_path: Path) -> None:
    write_example(tmp_path, "b.png", words=" a Straße by night \n")
    write_example(tmp_path, "a sunny day.jpg")
    (tmp_path / "notes.txt").write_text("no picture's")
    data = FolderDataset(tmp_path, 32)
    assert data.captions == ("a sunny day", "a Straße by night")
    assert not data.skipped


def test_pictures_are_cut_to_their_middle_square(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    data = FolderDataset(tmp_path, 32)
    assert data.pictures.shape == (1, 32, 32, 3)
    assert data.pictures.min() > 200


def test_pictures_of_every_mode_are_read(tmp_path: Path, mode: str) -> None:
    save_in_mode(Image.new("RGB", (40, 30), (200, 10, 10)), mode, tmp_path)
    data = FolderDataset(tmp_path, 32)
    assert (data.pictures.shape, dict(data.skipped)) == ((1, 32, 32, 3), {})


def test_a_picture_that_cannot_be_read_is_left_out_counted_and_named(tmp_path: Path) -> None:
    for number in range(5):
        write_example(tmp_path, f"{number}.png", words=f"wall {number}")
    (tmp_path / "2.png").write_bytes(b"no picture")
    (tmp_path / "3.png").write_bytes((tmp_path / "3.png").read_bytes()[:40])
    (tmp_path / "4.png").write_bytes(b"")
    data = FolderDataset(tmp_path, 32)
    assert data.captions == ("wall 0", "wall 1")
    assert list(data.skipped) == ["2.png", "3.png", "4.png"]
    assert "not a picture" in data.skipped["2.png"]
    assert all(why for why in data.skipped.values())


def test_a_picture_whose_caption_is_no_text_is_left_out_and_named(tmp_path: Path) -> None:
    write_example(tmp_path, "a.png", words="a wall")
    write_example(tmp_path, "b.png").with_suffix(".txt").write_bytes(b"a wall \xff\xfe")
    data = FolderDataset(tmp_path, 32)
    assert data.captions == ("a wall",)
    assert list(data.skipped) == ["b.png"]
    assert "its caption b.txt cannot be read" in data.skipped["b.png"]


def test_a_folder_without_pictures_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("a caption alone")
    with pytest.raises(InvalidValueError, match=r"(?s)no picture in .*wanted: some of \.png"):
        FolderDataset(tmp_path, 32)


@pytest.mark.parametrize(
    ("name", "message"), [("empty", "no picture in"), ("none", "no such folder")]
)
def test_a_folder_without_pictures_is_reported_before_a_run(
    name: str, message: str, tmp_path: Path, session: Session
) -> None:
    (tmp_path / "empty").mkdir()
    node = PictureFolder(path=str(tmp_path / name), side=32)
    with pytest.raises(InvalidWorkflowError, match=message):
        session.plan(Graph.of(node))


def test_a_folder_whose_pictures_are_all_unreadable_is_refused(tmp_path: Path) -> None:
    for name in ("a.png", "b.jpg"):
        (tmp_path / name).write_bytes(b"no picture")
    with pytest.raises(
        InvalidValueError, match=r"none of 2 pictures can be read \(a\.png: .*b\.jpg: "
    ):
        FolderDataset(tmp_path, 32)


def test_a_folder_is_known_by_its_pixels_and_captions(tmp_path: Path) -> None:
    folders = []
    for name, words in (("one", "a"), ("same", "a"), ("other", "b")):
        (tmp_path / name).mkdir()
        write_example(tmp_path / name, "x.png", words=words)
        folders.append(FolderDataset(tmp_path / name, 32).content)
    assert folders[0] == folders[1] != folders[2]
    assert FolderDataset(tmp_path / "one", 48).content != folders[0]
