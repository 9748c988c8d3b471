"""Pictures and videos: a file that is neither is refused with a fix."""

from __future__ import annotations

import io
import warnings
from pathlib import Path
from typing import Literal

import PIL.Image
import pytest

from sdgraph.errors import MediaError
from sdgraph.media import (
    probe_image,
    read_image,
    read_provenance,
    read_video,
    write_image,
    write_video,
)
from sdgraph.media.record_scan import scan_record
from tests.support.small_images import gradient, small_video


def broken_files(folder: Path) -> dict[str, Path]:
    """A path for each thing that can be wrong with a file."""
    jpeg = io.BytesIO()
    PIL.Image.fromarray(gradient(99, 99)).save(jpeg, "JPEG")
    (folder / "cut.jpg").write_bytes(jpeg.getvalue()[:700])
    (folder / "text.png").write_text("no picture at all")
    (folder / "empty.png").write_bytes(b"")
    return {
        "cut": folder / "cut.jpg",
        "text": folder / "text.png",
        "empty": folder / "empty.png",
        "folder": folder,
        "missing": folder / "txt.png",
        "below a file": folder / "text.png" / "a.png",
    }


@pytest.mark.parametrize(
    ("case", "words"),
    [
        ("cut", "damaged"),
        ("text", "not a picture"),
        ("empty", "not a picture"),
        ("folder", "found:  a folder"),
        ("missing", "no such file"),
        ("below a file", "no such file"),
    ],
)
def test_what_is_no_picture_is_refused_with_a_way_out(
    tmp_path: Path, case: str, words: str
) -> None:
    path = broken_files(tmp_path)[case]
    with pytest.raises(MediaError, match=words) as caught:
        read_image(path)
    assert str(path) in str(caught.value) and "fix:" in str(caught.value)
    with pytest.raises(MediaError):
        read_video(path)
    if case != "cut":  # whose header is whole
        for reader in (probe_image, read_provenance):
            with pytest.raises(MediaError):
                reader(path)


@pytest.mark.parametrize("policy", ["error", "ignore"])
@pytest.mark.parametrize("limit", [500, 200])  # beyond the limit Pillow warns, beyond twice raises
def test_a_decompression_bomb_is_refused_with_its_size_and_the_limit(
    tmp_path: Path, limit: int, policy: Literal["error", "ignore"], monkeypatch: pytest.MonkeyPatch
) -> None:
    write_image(PIL.Image.fromarray(gradient()), path := tmp_path / "a.png")
    monkeypatch.setattr(PIL.Image, "MAX_IMAGE_PIXELS", limit)
    for reader in (read_image, probe_image, read_provenance):
        with (
            warnings.catch_warnings(),
            pytest.raises(MediaError, match=rf"a\.png\n.*(768|32×24) pixels\n.*at most {limit} "),
        ):
            warnings.simplefilter(policy)
            reader(path)


def test_an_unknown_suffix_is_answered_with_the_known(tmp_path: Path) -> None:
    with pytest.raises(MediaError, match=r"'.pgn'\n.*\.png, \.jpg"):
        write_image(PIL.Image.fromarray(gradient()), tmp_path / "a.pgn")
    with pytest.raises(MediaError, match=r"''\n.*\.mp4, \.webm, \.gif"):
        write_video(small_video(), tmp_path / "a")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp"])
def test_a_record_is_found_without_opening_the_picture(
    tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / f"a{suffix}"
    text = "größe 🦊 " * 500
    write_image(PIL.Image.fromarray(gradient(99, 99)), path, provenance=text)
    monkeypatch.setattr(PIL.Image, "open", None)
    assert scan_record(path) == read_provenance(path) == text


@pytest.mark.parametrize("suffix", [".png", ".jpg", ".webp", ".tif", ".gif"])
def test_a_damaged_or_foreign_record_is_not_found_quickly(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"a{suffix}"
    PIL.Image.fromarray(gradient()).save(path)
    assert scan_record(path) is None
    write_image(PIL.Image.fromarray(gradient()), path, provenance="a record")
    whole = path.read_bytes()
    for end in range(0, len(whole), 7):
        path.write_bytes(whole[:end])
        assert scan_record(path) in (None, "a record")
    if suffix == ".png":
        path.write_bytes(whole.replace(b"a record", b"A record"))
        assert scan_record(path) is None
