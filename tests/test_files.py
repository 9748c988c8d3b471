"""Files are written whole or not at all, and every failure is reported with a fix."""

from __future__ import annotations

import errno
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from sdgraph.errors import MediaError
from sdgraph.files import (
    UnsuitableFileError,
    atomic_write,
    describe_path,
    expand_home,
    is_file,
    is_folder,
    names_in,
    open_regular_file,
    read_bytes,
    read_text,
)
from sdgraph.media import read_image, write_image, write_video
from tests.support.small_images import gradient, small_video


def test_a_missing_picture_is_answered_with_the_nearest_name(tmp_path: Path) -> None:
    write_image(PIL.Image.fromarray(gradient()), tmp_path / "portrait.png")
    with pytest.raises(MediaError, match=r"did you mean 'portrait.png'\?"):
        read_image(tmp_path / "potrait.png")


def test_a_file_that_may_not_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def forbid(*_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    write_image(PIL.Image.fromarray(gradient()), tmp_path / "a.png")
    monkeypatch.setattr(PIL.Image, "open", forbid)
    with pytest.raises(MediaError, match=r"without read permission"):
        read_image(tmp_path / "a.png")


def test_atomic_write_makes_folders_and_shows_only_whole_files(tmp_path: Path) -> None:
    path = tmp_path / "new" / "er" / "a.png"
    with atomic_write(path) as temporary:
        assert temporary.parent == path.parent and temporary.name.startswith(".")
        assert temporary.suffix == ".png" and not path.exists()
        temporary.write_text("whole")
    assert path.read_text() == "whole" and list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError, SystemExit])
def test_atomic_write_leaves_the_old_file_when_anything_goes_wrong(
    tmp_path: Path, error: type[BaseException]
) -> None:
    (tmp_path / "a.png").write_text("old")
    with pytest.raises(error), atomic_write(tmp_path / "a.png") as temporary:
        temporary.write_text("half")
        raise error
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.png", "old")]


@pytest.mark.parametrize(
    ("number", "words"),
    [
        (errno.ENOSPC, "full disk"),
        (errno.EDQUOT, "full disk"),
        (errno.EROFS, "cannot be written to"),
        (errno.EACCES, "cannot be written to"),
        (errno.EIO, "an error"),
    ],
)
def test_a_disk_that_fails_is_said_with_a_way_out(
    tmp_path: Path, number: int, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Failing(FileIO):
        def write(self, data: Any) -> int:
            super().write(bytes(data)[: len(data) // 2])
            raise OSError(number, "the disk says no")

    monkeypatch.setattr(Path, "open", lambda path, mode: Failing(path, mode))
    writers: list[Callable[[], bool]] = [
        lambda: write_image(PIL.Image.fromarray(gradient()), tmp_path / "a.png"),
        lambda: write_video(small_video(), tmp_path / "a.gif"),
    ]
    for write in writers:
        with pytest.raises(MediaError, match=rf"a\.\w+\n  found: .*{words}.*\n.*\n  fix: "):
            write()
    assert not list(tmp_path.iterdir())


@pytest.mark.skipif(sys.platform == "win32", reason="limits file sizes by resource")
@pytest.mark.parametrize("name", ["a.png", "a.tif", "a.gif", "a.mp4", "a.webm", "video.gif"])
def test_a_disk_that_runs_full_leaves_nothing_behind(tmp_path: Path, name: str) -> None:
    code = """
import resource, sys, numpy
from sdgraph import errors, media, values
pixels = numpy.random.default_rng(0).integers(0, 256, (4, 96, 96, 3), numpy.uint8)
resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))
try:
    if sys.argv[1].endswith(("mp4", "webm", "video.gif")):
        media.write_video(values.Video(pixels, 8), sys.argv[1])
    else:
        media.write_image(values.Image(pixels[0]).pil, sys.argv[1])
except errors.MediaError as error:
    print(error)
"""
    command = [sys.executable, "-c", code, str(tmp_path / name)]
    out = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "full disk" in out.stdout and "free some space" in out.stdout
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_is_said_with_a_way_out(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "folder.png").mkdir()
    picture = PIL.Image.fromarray(gradient())
    for below in ("file/a.png", "file/deeper/a.png"):
        with pytest.raises(MediaError, match=r"cannot be written to"):
            write_image(picture, tmp_path / below)
    with pytest.raises(MediaError, match=r"found:  a folder"):
        write_image(picture, tmp_path / "folder.png")
    with pytest.raises(MediaError, match=r"cannot be written to"):
        write_video(small_video(), tmp_path / "file" / "a.mp4")


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


def test_names_in_what_is_no_folder_are_none(tmp_path: Path) -> None:
    (tmp_path / "b").touch()
    (tmp_path / "a").touch()
    assert names_in(tmp_path) == ["a", "b"]
    assert [names_in(path) for path in (tmp_path / "a", "x" * 300, "a\0b")] == [[], [], []]


@pytest.fixture
def pipe(tmp_path: Path) -> Path:
    """A named pipe that nothing is written to: opening it to read would wait for ever."""
    os.mkfifo(path := tmp_path / "pipe")
    return path


def test_only_plain_files_are_opened(pipe: Path, tmp_path: Path) -> None:
    with pytest.raises(UnsuitableFileError, match="a named pipe, not a plain file"):
        open_regular_file(pipe)
    with pytest.raises(UnsuitableFileError, match="a device, not a plain file"):
        open_regular_file("/dev/zero")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s"))
        with pytest.raises(UnsuitableFileError, match="a socket, not a plain file"):
            read_bytes(tmp_path / "s", 10)
    with pytest.raises(IsADirectoryError):
        read_text(tmp_path, 10)
    (tmp_path / "link").symlink_to(pipe)
    with pytest.raises(UnsuitableFileError, match="a named pipe"):
        read_text(tmp_path / "link", 10)


def test_a_file_is_read_up_to_its_limit(tmp_path: Path) -> None:
    (path := tmp_path / "a.txt").write_bytes(b"\xef\xbb\xbfa word")
    assert read_text(path, 9) == "a word"
    with pytest.raises(UnsuitableFileError, match="9 bytes, where 8 are allowed"):
        read_text(path, 8)
    with pytest.raises(UnsuitableFileError, match="more than 100 bytes, where 100 are allowed"):
        read_bytes("/proc/self/maps", 100)  # says that it has no bytes
