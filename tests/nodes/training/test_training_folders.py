"""A training replaces the folders that trainings made, and removes no file of anybody else."""

from __future__ import annotations

from pathlib import Path

import pytest

from sdgraph.errors import MediaError
from sdgraph.files import OutputFolders, write_only_in
from sdgraph.graph import Graph
from sdgraph.nodes import TinyWorld, TrainVae
from sdgraph.nodes.training.training_folders import (
    MARK,
    foreign_file_problems,
    replace_folder,
)

pytestmark = pytest.mark.quick


def make(folder: Path, **files: str) -> None:
    """Writes a folder as a training does."""
    with replace_folder(folder) as new:
        (new / "deep").mkdir()
        for name, text in files.items():
            (new / name).write_text(text)
            (new / "deep" / name).write_text(text)


def names(folder: Path) -> list[str]:
    found = (str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
    return sorted(name for name in found if not name.startswith("training"))


def test_a_folder_that_a_training_made_is_replaced(tmp_path: Path) -> None:
    make(tmp_path / "out/checkpoint", a="1", b="2")
    assert names(tmp_path / "out/checkpoint") == ["a", "b", "deep/a", "deep/b"]
    make(tmp_path / "out/checkpoint", c="3")
    assert names(tmp_path / "out/checkpoint") == ["c", "deep/c"]
    left = sorted(path.name for path in (tmp_path / "out").iterdir())
    assert left == ["checkpoint", "training"]


@pytest.mark.parametrize("name", ["mine.txt", "deep/mine.txt", "a"])
def test_a_folder_with_a_file_of_the_user_stays_as_it_is(tmp_path: Path, name: str) -> None:
    folder = tmp_path / "checkpoint"
    make(folder, a="1")
    (folder / name).write_text("the work of a year")
    with pytest.raises(MediaError, match=f"files that no training wrote \\({name}\\)"):
        make(folder, b="2")
    assert (folder / name).read_text() == "the work of a year"
    assert set(names(folder)) == {"a", "deep/a", name}


def test_a_folder_that_no_training_made_is_refused_before_the_training(tmp_path: Path) -> None:
    (tmp_path / "vae").mkdir()
    node = TrainVae(data=TinyWorld(count=2), out=tmp_path)
    assert Graph.of(node).check() == []  # an empty folder holds nothing to lose
    (tmp_path / "vae/photo.png").write_text("mine")
    (problem,) = Graph.of(node).check()
    assert problem.subject == "train_vae.out"
    assert "vae with files that no training wrote (photo.png)" in problem.found
    with pytest.raises(MediaError, match="no training wrote"):
        make(tmp_path / "vae", a="1")
    assert (tmp_path / "vae/photo.png").read_text() == "mine"


def test_what_a_killed_training_left_is_removed_and_a_folder_of_the_same_name_is_not(
    tmp_path: Path,
) -> None:
    left = tmp_path / ".checkpoint.new"
    left.mkdir()
    (left / MARK).touch()
    (left / "half").write_text("half of the weights")
    make(tmp_path / "checkpoint", a="1")
    assert not left.exists()
    left.mkdir()
    (left / "mine").write_text("mine")
    with pytest.raises(MediaError, match="no training wrote"):
        make(tmp_path / "checkpoint", a="2")
    assert (left / "mine").read_text() == "mine"


def test_a_training_that_fails_keeps_the_folder_that_was_there(tmp_path: Path) -> None:
    make(tmp_path / "checkpoint", a="1")
    with pytest.raises(ZeroDivisionError), replace_folder(tmp_path / "checkpoint"):
        raise ZeroDivisionError
    with (
        pytest.raises(MediaError, match="cannot be written"),
        replace_folder(tmp_path / "checkpoint"),
    ):
        raise OSError(28, "No space left on device")
    assert names(tmp_path / "checkpoint") == ["a", "deep/a"]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["checkpoint", "training"]


def test_a_link_in_the_place_of_the_folder_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos/a").write_text("mine")
    (tmp_path / "checkpoint").symlink_to("photos")
    (problem,) = foreign_file_problems("out", tmp_path / "checkpoint")
    assert problem.found.endswith("which is no folder")
    with pytest.raises(MediaError):
        make(tmp_path / "checkpoint", a="1")
    folders = OutputFolders.of(("the current folder", tmp_path / "photos"))
    with write_only_in(folders), pytest.raises(MediaError, match="--allow-outside"):
        make(tmp_path / "new", a="1")
    assert names(tmp_path) == ["checkpoint/a", "photos/a"] or names(tmp_path) == ["photos/a"]


def test_a_training_that_was_killed_while_it_replaced_the_folder_is_run_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "checkpoint"
    make(folder, a="1")
    with monkeypatch.context() as patched:
        patched.setattr(Path, "rename", lambda *_: 1 / 0)  # the folder is removed, no other there
        with pytest.raises(ZeroDivisionError):
            make(folder, b="22")
    make(folder, a="1")
    make(folder, c="333")
    assert names(folder) == ["c", "deep/c"]
