"""A picture carries the text of how it was made, where its format has a field for it."""

from __future__ import annotations

from pathlib import Path

import PIL.Image

from sdgraph.media import read_image, read_provenance, write_image
from sdgraph.media.sidecar import sidecar_path
from tests.support.small_images import PICTURES, gradient


def test_a_picture_without_provenance_has_none_and_takes_over_no_foreign_comment(
    tmp_path: Path,
) -> None:
    for suffix in PICTURES:
        assert (
            write_image(PIL.Image.fromarray(gradient()), path := tmp_path / f"a{suffix}") is False
        )
        assert read_provenance(path) is None
    write_image(PIL.Image.fromarray(gradient()), tmp_path / "old.gif", provenance="old")
    with PIL.Image.open(tmp_path / "old.gif") as old:
        write_image(old, tmp_path / "new.gif")
        write_image(old, tmp_path / "new.jpg")
    assert read_provenance(tmp_path / "new.gif") is None
    assert b"sdgraph" not in (tmp_path / "new.jpg").read_bytes()


def test_provenance_too_long_for_jpeg_goes_into_a_sidecar(tmp_path: Path) -> None:
    picture, long = PIL.Image.fromarray(gradient()), "x" * 70_000
    assert write_image(picture, tmp_path / "a.jpg", provenance=long) is False
    assert read_image(tmp_path / "a.jpg").size == (32, 24)
    assert read_provenance(tmp_path / "a.jpg") == long
    for suffix in (".png", ".webp", ".tif", ".gif"):
        assert write_image(picture, path := tmp_path / f"a{suffix}", provenance=long) is True
        assert read_provenance(path) == long
        assert not sidecar_path(path).exists()


def test_a_stray_byte_of_a_command_line_is_spelled_out(tmp_path: Path) -> None:
    for suffix in (".png", ".jpg"):
        path = tmp_path / f"a{suffix}"
        write_image(PIL.Image.fromarray(gradient()), path, provenance="a\udc80b")
        assert read_provenance(path) == "a\\udc80b"
