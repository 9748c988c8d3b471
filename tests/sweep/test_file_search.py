"""Files are found by patterns, and a search that would lead through a whole disk ends."""

from __future__ import annotations

import glob
from pathlib import Path

import pytest

from sdgraph.errors import InvalidWorkflowError
from sdgraph.language import Input
from sdgraph.sweep import file_search, parse_input
from sdgraph.sweep.file_search import TooManyFilesError, find_files

FILES = ("a.png", "b.jpg", "x/a.png", "x/y/a.png", "x/y/c.png", "x/.hidden/a.png", ".a.png", "a/a")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in FILES:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    return tmp_path


@pytest.mark.parametrize(
    "pattern",
    ["*.png", "?.*", "**/*.png", "x/**/*.png", "*/*/a.png", "**/y/*", "**", "x/**", ".*", "*/a",
     "**/**/c.png", "nothing/*.png", "x/.h*/*", "[ab].png"],
)  # fmt: skip
def test_the_files_that_match_are_those_of_a_shell(folder: Path, pattern: str) -> None:
    if "[" in pattern:
        (folder / "[ab].png").write_text("")  # brackets are no signs here
        assert [*find_files(folder / "?ab].png", 100)] == [folder / "[ab].png"]
        return
    names = glob.glob(str(folder / pattern), recursive=True)  # noqa: PTH207  what it is compared with
    expected = {Path(name) for name in names if Path(name).is_file()}
    assert set(find_files(folder / pattern, 100)) == expected


def test_a_loop_of_links_is_walked_once(folder: Path) -> None:
    (folder / "x" / "back").symlink_to(folder)
    assert len([*find_files(folder / "**" / "c.png", 100)]) == 1


def test_a_search_ends_after_so_many_files(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(file_search, "MAX_ENTRIES", 5)
    with pytest.raises(TooManyFilesError, match="more than 5 files and folders"):
        list(find_files(folder / "**" / "*.webp", 100))
    with pytest.raises(InvalidWorkflowError, match="name a folder that is nearer"):
        parse_input(Input("photo", "Path"), str(folder / "**" / "*.webp"))
    monkeypatch.undo()
    with pytest.raises(TooManyFilesError, match="more than 2 files match"):
        list(find_files(folder / "**" / "*.png", 2))
