"""A mask file is read by its brightness, unless that is surely not what is meant."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sdgraph.errors import InvalidValueError
from sdgraph.nodes import Mask, MaskFromFile
from tests.support.photos import noisy


def save(path: Path, pixels: Any) -> Path:
    PIL.Image.fromarray(pixels).save(path)
    return path


@pytest.mark.parametrize("cls", [Mask, MaskFromFile])
def test_a_photo_with_erased_parts_is_refused_before_the_run(cls: Any, tmp_path: Path) -> None:
    pixels = np.dstack([noisy((8, 8, 3)), np.full((8, 8), 255, np.uint8)])
    pixels[:4, :, 3] = 0
    node = cls(path=save(tmp_path / "photo.png", pixels))
    (problem,) = node.check()
    assert problem.subject == "path" and "MaskFromAlpha" in problem.fix
    with pytest.raises(InvalidValueError, match="transparent parts"):
        node.run(None) if cls is Mask else node.run()


@pytest.mark.parametrize("case", ["grey with alpha", "even alpha", "no alpha"])
def test_other_pictures_are_read_by_their_brightness(case: str, tmp_path: Path) -> None:
    grey = noisy((8, 8))
    pixels = np.dstack([grey, grey, grey, np.full((8, 8), 255, np.uint8)])
    if case == "grey with alpha":
        pixels[:4, :, 3] = 0
    elif case == "even alpha":
        pixels[0, 0, :3] = (255, 0, 0)
    node = MaskFromFile(
        path=save(tmp_path / "mask.png", pixels[..., : 3 if case == "no alpha" else 4])
    )
    assert list(node.check()) == []
    assert (node.run().numpy[1:] == grey[1:]).all()
