"""Metadata that a picture's format cannot hold is in a sidecar, which is for that file alone."""

from __future__ import annotations

import json
from pathlib import Path

import PIL.Image
import pytest

from sdgraph.errors import MediaError
from sdgraph.media import read_provenance, write_image, write_sidecar, write_video
from sdgraph.media.sidecar import sidecar_path
from tests.support.small_images import gradient, small_video

PICTURE = PIL.Image.fromarray(gradient())


def test_a_sidecar_can_be_read_by_a_person_and_by_us(tmp_path: Path) -> None:
    path, text = tmp_path / "a.bmp", '{"sdgraph_record": 2, "prompt": "größe \\udc80"}'
    write_image(PICTURE, path, provenance=text)
    data = json.loads((tmp_path / "a.bmp.sdgraph.json").read_text("utf-8"))
    assert data["file"] == "a.bmp"
    assert data["record"]["prompt"].startswith("größe")
    assert read_provenance(path) == text


def test_a_sidecar_goes_where_its_picture_goes(tmp_path: Path) -> None:
    write_image(PICTURE, tmp_path / "a.bmp", provenance="how")
    moved = (tmp_path / "a.bmp").rename(tmp_path / "b.bmp")
    assert read_provenance(moved) is None
    sidecar_path(tmp_path / "a.bmp").rename(sidecar_path(moved))
    assert read_provenance(moved) == "how"


def test_a_sidecar_of_what_the_file_held_before_is_refused(tmp_path: Path) -> None:
    write_image(PICTURE, path := tmp_path / "a.bmp", provenance="how")
    PICTURE.rotate(90).save(path)
    with pytest.raises(MediaError, match="has changed since its sidecar was written"):
        read_provenance(path)


@pytest.mark.parametrize("text", ["", "{}", "[]", "nonsense"])
def test_a_damaged_sidecar_is_said(tmp_path: Path, text: str) -> None:
    write_image(PICTURE, path := tmp_path / "a.bmp", provenance="how")
    sidecar_path(path).write_text(text)
    with pytest.raises(MediaError, match="a damaged file"):
        read_provenance(path)


@pytest.mark.parametrize("suffix", [".bmp", ".gif", ".png"])
@pytest.mark.parametrize("text", [None, ""])
def test_saving_without_metadata_removes_an_earlier_sidecar(
    tmp_path: Path, suffix: str, text: str | None
) -> None:
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"old")
    write_sidecar(path, "how")
    write_image(PICTURE, path, provenance=text)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    if suffix == ".gif":
        write_sidecar(path, "how")
        write_video(small_video(count=2), path, provenance=text)
        assert [file.name for file in tmp_path.iterdir()] == [path.name]


FOREIGN = ["", "{}", "nonsense", '{"file": "a.bmp", "sha256": "0", "record": 1}', "[1]"]


@pytest.mark.parametrize("text", FOREIGN)
def test_a_file_that_is_no_sidecar_of_sdgraph_is_left_alone(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.bmp"
    sidecar_path(path).write_text(text)
    with pytest.raises(MediaError, match="a file that sdgraph did not write"):
        write_image(PICTURE, path, provenance="how")
    assert not path.exists()
    write_image(PICTURE, path)
    write_image(PICTURE, tmp_path / "a.png", provenance="how")
    assert path.exists() and sidecar_path(path).read_text() == text


def test_a_sidecar_that_is_a_link_to_another_file_leaves_that_file_alone(tmp_path: Path) -> None:
    other, path = tmp_path / "other.json", tmp_path / "a.bmp"
    other.write_text('{"mine": true}')
    sidecar_path(path).symlink_to(other)
    with pytest.raises(MediaError, match="did not write"):
        write_image(PICTURE, path, provenance="how")
    assert other.read_text() == '{"mine": true}'
