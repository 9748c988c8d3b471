"""Paths: homes are written out, and what is at a path is named."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdgraph.files import (
    describe_path,
    expand_home,
    is_file,
    is_folder,
)


def test_a_home_folder_is_written_out_and_that_of_nobody_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable in ("HOME", "USERPROFILE"):
        monkeypatch.setenv(variable, str(tmp_path))
    assert expand_home("~/a.png") == tmp_path / "a.png"
    assert expand_home(Path("~nobody-of-that-name/a.png")) == Path("~nobody-of-that-name/a.png")


@pytest.mark.parametrize(
    ("name", "wanted", "found"),
    [
        ("none", "file", "no such file"),
        ("none", "folder", "no such folder"),
        (".", "file", "a folder"),
        ("a.txt", "folder", "a file, no folder"),
        ("a.txt/b", "folder", "no such folder: a.txt is a file, no folder"),
        ("gone", "file", "a link to a file that is gone"),
        ("loop", "file", "a link that leads to itself"),
        ("x" * 300, "file", "a name that is too long for a file"),
        ("a\0b", "file", "a path with a NUL character"),
        ("pipe", "file", "a named pipe, not a plain file"),
    ],
)
def test_a_path_is_named_for_what_is_there(
    name: str, wanted: str, found: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.txt").touch()
    Path("gone").symlink_to("nothing")
    Path("loop").symlink_to("loop")
    os.mkfifo("pipe")
    assert describe_path(name, wanted) == found
    assert (is_file(name), is_folder(name)) == (False, name == ".") or name == "a.txt"
