"""Resize in its three modes."""

from __future__ import annotations

from typing import Literal

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph import Session, run
from sdgraph.nodes import Canny, Resize
from sdgraph.values import EdgeMap, Image

from .failing import refused_at_construction
from .photos import clear_photo, photo

LANCZOS = PIL.Image.Resampling.LANCZOS
SIDES = st.integers(1, 600)


@pytest.mark.parametrize("make", [photo, clear_photo])
def test_stretched_it_equals_pillow(session: Session, make: type) -> None:
    image = make(75, 53)
    made = run(Resize(image=image, width=40, height=90), session=session)
    assert (made.numpy == np.asarray(image.pil.resize((40, 90), LANCZOS))).all()


@pytest.mark.parametrize("box", [(40, 40), (200, 30), (75, 53), (10, 400)])
def test_inside_and_filled_it_equals_pillow(session: Session, box: tuple[int, int]) -> None:
    image = photo(75, 53)
    inside = run(Resize(image=image, width=box[0], height=box[1], mode="fit"), session=session)
    filled = run(Resize(image=image, width=box[0], height=box[1], mode="fill"), session=session)
    assert (inside.numpy == np.asarray(PIL.ImageOps.contain(image.pil, box, LANCZOS))).all()
    assert (filled.numpy == np.asarray(PIL.ImageOps.fit(image.pil, box, LANCZOS))).all()
    assert filled.size == box


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES, SIDES, SIDES)
def test_inside_a_box_it_touches_two_sides_and_keeps_its_proportions(
    width: int, height: int, right: int, below: int
) -> None:
    image = Image(np.zeros((height, width, 3), np.uint8))
    made = Resize(image=image, width=right, height=below, mode="fit").run(image)
    assert made.width == right or made.height == below
    assert made.width <= right and made.height <= below
    exact = (made.width * height / width, made.height * width / height)
    assert abs(exact[0] - made.height) <= max(1, height / width) and exact[1] > 0


@pytest.mark.parametrize("mode", ["stretch", "fit", "fill"])
@pytest.mark.parametrize("size", [(1, 1), (500, 3), (3, 500)])
def test_the_thinnest_pictures_keep_a_pixel(
    session: Session, mode: Literal["stretch", "fit", "fill"], size: tuple[int, int]
) -> None:
    made = run(Resize(image=photo(*size), width=16, height=16, mode=mode), session=session)
    assert min(made.size) >= 1
    assert max(made.size) == 16


def test_one_colour_stays_that_colour(session: Session) -> None:
    image = Image(np.full((31, 17, 4), (200, 10, 60, 90), np.uint8))
    made = run(Resize(image=image, width=64, height=64), session=session).numpy
    assert np.abs(made.astype(int) - image.numpy[0, 0]).max() <= 1


def test_a_resized_edge_map_is_a_picture_and_no_map(session: Session) -> None:
    made = run(Resize(image=Canny(image=photo(64, 64)), width=32, height=32), session=session)
    assert type(made) is Image
    assert not isinstance(made, EdgeMap)


@pytest.mark.parametrize("side", [0, -1, 16_385, 64.0])
def test_a_side_that_is_none_is_refused(side: object) -> None:
    fields = {"image": photo(8, 8), "width": side, "height": 64}
    assert "Resize.width" in refused_at_construction(Resize, **fields)
