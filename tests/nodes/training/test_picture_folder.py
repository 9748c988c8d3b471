"""Folders of pictures as training data: captions, and files that cannot be read or are others."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from sdgraph import Session
from sdgraph.errors import InvalidValueError, InvalidWorkflowError
from sdgraph.graph import Graph
from sdgraph.nodes import (
    PictureFolder,
    TinyWorld,
    TrainControlNet,
    TrainDepth,
    TrainDepthToImage,
    TrainInpaint,
    TrainText2Image,
    TrainText2Video,
)
from sdgraph.nodes.training.picture_folder import FolderDataset
from sdgraph.values import Checkpoint
from tests.support.photos import save_in_mode

pytestmark = pytest.mark.quick

BASE = Checkpoint("tiny/text-to-image")


def write_example(
    folder: Path, name: str, size: tuple[int, int] = (40, 30), words: str | None = None
) -> Path:
    """A picture in a folder, with its caption in a text file of the same name."""
    path = folder / name
    Image.new("RGB", size, (200, 10, 10)).save(path)
    if words is not None:
        path.with_suffix(".txt").write_text(words, encoding="utf-8")
    return path


def test_a_caption_is_in_a_text_file_beside_its_picture_or_as_asked_for(
    tmp_path: Path,
) -> None:
    write_example(tmp_path, "b.png", words=" a Straße by night \n")
    write_example(tmp_path, "a sunny day.jpg")
    (tmp_path / "notes.txt").write_text("no picture's")
    data = FolderDataset(tmp_path, 32, "file_name")
    assert data.captions == ("a sunny day", "a Straße by night")
    assert not data.skipped
    assert FolderDataset(tmp_path, 32, "empty").captions == ("", "a Straße by night")


def test_pictures_are_cut_to_their_middle_square(tmp_path: Path) -> None:
    wide = np.zeros((20, 60, 3), np.uint8)
    wide[:, 20:40] = 255
    Image.fromarray(wide).save(tmp_path / "wide.png")
    data = FolderDataset(tmp_path, 32, "empty")
    assert data.pictures.shape == (1, 32, 32, 3)
    assert data.pictures.min() > 200


def test_pictures_of_every_mode_are_read(tmp_path: Path, mode: str) -> None:
    save_in_mode(Image.new("RGB", (40, 30), (200, 10, 10)), mode, tmp_path)
    data = FolderDataset(tmp_path, 32, "empty")
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
        FolderDataset(tmp_path, 32, "empty")


def test_a_folder_is_known_by_its_pixels_and_captions(tmp_path: Path) -> None:
    folders = []
    for name, words in (("one", "a"), ("same", "a"), ("other", "b")):
        (tmp_path / name).mkdir()
        write_example(tmp_path / name, "x.png", words=words)
        folders.append(FolderDataset(tmp_path / name, 32).content)
    assert folders[0] == folders[1] != folders[2]
    assert FolderDataset(tmp_path / "one", 48).content != folders[0]


def test_pictures_without_a_caption_are_counted_and_named_before_a_run(tmp_path: Path) -> None:
    for name in "abcdef":
        write_example(tmp_path, f"{name}.png", words="a red star" if name < "c" else None)
    (problem,) = PictureFolder(path=str(tmp_path), side=32).check()
    assert problem.found == "4 of 6 pictures without a caption file: c.png, d.png, e.png and 1 more"
    assert "captions: file_name" in problem.fix and "captions: empty" in problem.fix
    with pytest.raises(InvalidValueError, match="4 of 6 pictures without a caption file"):
        FolderDataset(tmp_path, 32)
    for captions in ("file_name", "empty"):
        node = PictureFolder(path=str(tmp_path), side=32, captions=captions)
        assert list(node.check()) == list(node.warnings()) == []


def test_what_is_no_picture_is_counted_and_named_as_a_warning(tmp_path: Path) -> None:
    write_example(tmp_path, "a.png", words="a red star")
    for name in ("b.heic", "c.psd", "alone.txt", "a.json", ".hidden"):
        (tmp_path / name).write_text("no picture")
    (tmp_path / "more").mkdir()
    (warning,) = Graph.of(PictureFolder(path=str(tmp_path), side=32)).warnings()
    assert "5 entries of" in warning.found
    assert "a.json, alone.txt, b.heic and 2 more" in warning.found


def folder(tmp_path: Path, words: str = "a red star on a navy background") -> PictureFolder:
    write_example(tmp_path, "a.png", words=words)
    return PictureFolder(path=str(tmp_path), side=32)


@pytest.mark.parametrize(
    ("training", "fields", "words"),
    [
        (TrainControlNet, {"base": BASE, "kind": "depth"}, "whose pictures have no depth"),
        (TrainDepth, {}, "whose pictures have no depth"),
        (TrainDepthToImage, {"base": BASE}, "whose pictures have no depth"),
        (TrainText2Video, {"base": BASE}, "whose pictures stand still"),
    ],
)
def test_a_training_that_needs_more_than_pictures_refuses_a_folder_before_a_run(
    tmp_path: Path, training: Any, fields: dict[str, Any], words: str
) -> None:
    node = training(data=folder(tmp_path), out=str(tmp_path / "out"), **fields)
    (problem,) = node.check()
    assert problem.subject == "data" and words in problem.found
    moving = node.replace(data=TinyWorld(count=4, side=32, moving=True))
    assert list(moving.check()) == []


def test_scenes_that_stand_still_are_no_data_for_videos(tmp_path: Path) -> None:
    node = TrainText2Video(data=TinyWorld(count=4), base=BASE, out=str(tmp_path / "out"))
    assert "TinyWorld, whose pictures stand still" in str(*node.check())


@pytest.mark.parametrize(
    ("training", "fields"),
    [
        (TrainText2Image, {"base": BASE}),
        (TrainText2Image, {"vae": BASE}),
        (TrainText2Image, {"vae": BASE, "like": BASE}),
        (TrainInpaint, {"base": BASE}),
        (TrainControlNet, {"base": BASE}),
    ],
)
def test_captions_with_words_that_a_small_tokenizer_lacks_are_refused_before_a_run(
    tmp_path: Path, training: Any, fields: dict[str, Any]
) -> None:
    good = training(data=folder(tmp_path), out=str(tmp_path / "out"), **fields)
    assert list(good.check()) == []
    bad = good.replace(data=folder(tmp_path, "A lighthouse, a Straße and 2 red stars"))
    (problem,) = bad.check()
    assert problem.subject == "data"
    assert "does not know: lighthouse, stars, straße" in problem.found


def test_captions_over_a_base_that_is_not_here_are_not_judged(tmp_path: Path) -> None:
    base = Checkpoint("someone/else")
    node = TrainInpaint(data=folder(tmp_path, "a lighthouse"), base=base, out=str(tmp_path / "o"))
    assert list(node.check()) == []
