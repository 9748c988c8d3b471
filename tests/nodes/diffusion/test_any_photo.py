"""A real photo of any size and mode goes through every system and keeps its size."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Node, Session, run
from sdgraph.nodes import (
    Canny,
    ControlNet,
    DepthToImage,
    Image2Image,
    Inpaint,
    LoadImage,
    Mask,
    Resize,
    Text2Video,
    Turbo,
)
from tests.support.effort import each_nth
from tests.support.failing_runs import failure
from tests.support.photos import MODES, photo, picture, save_in_mode

SIZES = [
    (1, 1),
    (1, 2),
    (2, 1),
    (7, 5),
    (63, 65),
    (64, 64),
    (75, 53),
    (129, 127),
    (500, 3),
    (3, 260),
]

MASKED = ("inpaint", "control_mask")
"""Those that paint a part only; a picture of one pixel has no part that stays."""


def systems(image: Node[Any] | Any) -> dict[str, Node[Any]]:
    """Every system that starts from a picture, over one picture."""
    mask = Mask(image=image, box=[0, 0, 1, 1])
    edges = Canny(image=image)
    return {
        "inpaint": Inpaint(prompt="a", image=image, mask=mask, steps=1),
        "control": ControlNet(prompt="a", control=edges, steps=1),
        "control_image": ControlNet(prompt="a", control=edges, image=image, steps=2),
        "control_mask": ControlNet(prompt="a", control=edges, image=image, mask=mask, steps=2),
        "turbo": Turbo(prompt="a", image=image, steps=2),
        "depth": DepthToImage(prompt="a", image=image, steps=2),
        "image": Image2Image(prompt="a", image=image, steps=2),
    }


@pytest.mark.parametrize("size", each_nth(SIZES, 2))
@pytest.mark.parametrize("name", each_nth(["astronaut", "coffee"], 2))
def test_every_size_is_kept(session: Session, size: tuple[int, int], name: str) -> None:
    for system, node in systems(photo(*size, name)).items():
        if size == (1, 1) and system in MASKED:
            assert "marks all of the picture of 1×1" in str(failure(node, session))
            continue
        result = run(node, session=session)
        assert result.size == size, system
        assert result.numpy.dtype == np.uint8


@pytest.mark.parametrize("mode", each_nth(MODES, 2))
def test_every_mode_goes_through_every_system(session: Session, tmp_path: Path, mode: str) -> None:
    path = save_in_mode(picture(75, 53, "cat"), mode, tmp_path)
    loaded = LoadImage(path=path)
    result = run(loaded, session=session).numpy
    for system, node in systems(loaded).items():
        painted = run(node, session=session)
        assert painted.size == (75, 53), system
        if system in MASKED:
            assert painted.numpy.shape == result.shape
            assert (painted.numpy[1:] == result[1:]).all(), system
        else:
            assert painted.numpy.shape == (53, 75, 3), system


def test_a_photo_goes_from_a_file_to_a_video_sized_by_it(session: Session, tmp_path: Path) -> None:
    path = save_in_mode(picture(75, 53), "I;16", tmp_path)
    small = run(Resize(image=LoadImage(path=path), width=48, height=32), session=session)
    video = Text2Video(prompt="a", steps=1, frames=2, width=small.width, height=small.height)
    assert run(video, session=session).size == (48, 32)
