"""Errors name a file for what it is, by its content."""

from __future__ import annotations

from pathlib import Path

import PIL.Image
import pytest

from sdgraph.errors import MediaError, Problem
from sdgraph.files import file_format
from sdgraph.media import probe_image, read_image, read_video, write_video
from tests.support.small_images import small_video


def problem_of(path: Path, *, as_video: bool = False) -> Problem:
    with pytest.raises(MediaError) as caught:
        read_video(path) if as_video else read_image(path)
    return caught.value.problems[0]


@pytest.mark.parametrize("suffix", [".mp4", ".webm"])
def test_a_video_in_the_place_of_a_picture_is_named(tmp_path: Path, suffix: str) -> None:
    write_video(small_video(), path := tmp_path / f"a{suffix}")
    problem = problem_of(path)
    assert problem.found.startswith("a video (") and problem.found.endswith("not a picture")
    assert problem.fix.startswith("load it with LoadVideo")
    with pytest.raises(MediaError, match="LoadVideo"):
        probe_image(path)


@pytest.mark.parametrize(
    ("head", "name"),
    [
        (b"\0\0\0\x18ftypheic\0\0\0\0", "a HEIC picture"),
        (b"8BPS\0\1", "a Photoshop file"),
        (b"<?xml version='1.0'?><svg width='4'>", "an SVG drawing"),
        (b"\xff\x0a\xfa", "a JPEG XL picture"),
        (b"%PDF-1.7", "a PDF"),
        (b"PK\3\4", "a ZIP archive"),
        (b"RIFF\0\0\0\0WAVEfmt ", "a sound"),
        (b"\x76\x2f\x31\1", "an OpenEXR picture"),
    ],
)
def test_what_is_not_read_is_named(tmp_path: Path, head: bytes, name: str) -> None:
    (path := tmp_path / "a.png").write_bytes(head + bytes(200))
    for as_video in (False, True):
        problem = problem_of(path, as_video=as_video)
        assert problem.found.startswith(name) and problem.fix


def test_a_tiff_that_pillow_cannot_read_is_still_a_tiff(tmp_path: Path) -> None:
    cv2 = pytest.importorskip("cv2")
    np = pytest.importorskip("numpy")
    cv2.imwrite(str(tmp_path / "a.tif"), np.full((8, 8, 3), 0.5, np.float32))
    problem = problem_of(tmp_path / "a.tif")
    assert "a TIFF picture of a kind that is not read" in problem.found


def test_a_damaged_header_is_not_another_kind(tmp_path: Path) -> None:
    PIL.Image.new("RGB", (4, 4)).save(path := tmp_path / "a.png")
    path.write_bytes(path.read_bytes()[:12])
    assert "PNG" in problem_of(path).found and "not a picture" not in problem_of(path).found


def test_texts_and_pipes_are_of_no_kind(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("words")
    assert (
        file_format(tmp_path / "a.txt") is file_format("/dev/zero") is file_format(tmp_path) is None
    )
