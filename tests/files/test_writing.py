"""Files are written whole or not at all, and errors of the disk are plain."""

from __future__ import annotations

import errno
import sys
from collections.abc import Callable
from io import FileIO
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from sdgraph.errors import MediaError
from sdgraph.files import (
    atomic_write,
)
from sdgraph.media import write_image, write_video
from tests.support.processes import forked
from tests.support.small_images import gradient, small_video


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
    out = forked("-c", code, str(tmp_path / name))
    assert out.returncode == 0, out.stderr
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
