"""Errors of reading and writing media files say what to do."""

from __future__ import annotations

import errno
from pathlib import Path

import PIL.Image
import pytest

from sdgraph.errors import MediaError
from sdgraph.media import read_image, write_image
from tests.support.small_images import gradient


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
