"""Pictures resized, cropped and padded."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
import PIL.Image
import PIL.ImageOps
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph import Session, run
from sdgraph.nodes import Canny, Crop, Pad, Resize
from sdgraph.nodes.tiny_world import Scene, SceneObject, render_masks, render_scene
from sdgraph.values import EdgeMap, Image
from tests.support.arbitrary_images import assert_unchanged, images
from tests.support.failing_runs import refused_at_construction, refused_before_load
from tests.support.photos import clear_photo, photo

LANCZOS = PIL.Image.Resampling.LANCZOS
SIDES = st.integers(1, 600)


@pytest.mark.parametrize("make", [photo, clear_photo])
def test_stretched_it_equals_pillow(session: Session, make: type) -> None:
    image = make(75, 53)
    result = run(Resize(image=image, width=40, height=90), session=session)
    assert (result.numpy == np.asarray(image.pil.resize((40, 90), LANCZOS))).all()


@pytest.mark.parametrize("box", [(40, 40), (200, 30), (75, 53), (10, 400)])
def test_inside_and_filled_it_equals_pillow(session: Session, box: tuple[int, int]) -> None:
    image = photo(75, 53)
    result = run(Resize(image=image, width=box[0], height=box[1], mode="fit"), session=session)
    filled = run(Resize(image=image, width=box[0], height=box[1], mode="fill"), session=session)
    assert (result.numpy == np.asarray(PIL.ImageOps.contain(image.pil, box, LANCZOS))).all()
    assert (filled.numpy == np.asarray(PIL.ImageOps.fit(image.pil, box, LANCZOS))).all()
    assert filled.size == box


@settings(deadline=None, max_examples=60)
@given(SIDES, SIDES, SIDES, SIDES)
def test_inside_a_box_it_touches_two_sides_and_keeps_its_proportions(
    width: int, height: int, right: int, below: int
) -> None:
    image = Image(np.zeros((height, width, 3), np.uint8))
    result = Resize(image=image, width=right, height=below, mode="fit").run(image)
    assert result.width == right or result.height == below
    assert result.width <= right and result.height <= below
    exact = (result.width * height / width, result.height * width / height)
    assert abs(exact[0] - result.height) <= max(1, height / width) and exact[1] > 0


@pytest.mark.parametrize("mode", ["stretch", "fit", "fill"])
@pytest.mark.parametrize("size", [(1, 1), (500, 3), (3, 500)])
def test_the_thinnest_pictures_keep_a_pixel(
    session: Session, mode: Literal["stretch", "fit", "fill"], size: tuple[int, int]
) -> None:
    result = run(Resize(image=photo(*size), width=16, height=16, mode=mode), session=session)
    assert min(result.size) >= 1
    assert max(result.size) == 16


def test_one_colour_stays_that_colour(session: Session) -> None:
    image = Image(np.full((31, 17, 4), (200, 10, 60, 90), np.uint8))
    result = run(Resize(image=image, width=64, height=64), session=session).numpy
    assert np.abs(result.astype(int) - image.numpy[0, 0]).max() <= 1


def test_a_resized_edge_map_is_a_picture_and_no_map(session: Session) -> None:
    result = run(Resize(image=Canny(image=photo(64, 64)), width=32, height=32), session=session)
    assert type(result) is Image
    assert not isinstance(result, EdgeMap)


@pytest.mark.parametrize("side", [0, -1, 16_385, 64.0])
def test_a_side_that_is_none_is_refused(side: object) -> None:
    fields = {"image": photo(8, 8), "width": side, "height": 64}
    assert "Resize.width" in refused_at_construction(Resize, **fields)


@pytest.mark.parametrize(
    ("mode", "size"), [("stretch", (104, 48)), ("fill", (104, 48)), ("fit", (64, 48))]
)
def test_sides_become_multiples(
    session: Session, mode: Literal["stretch", "fit", "fill"], size: tuple[int, int]
) -> None:
    node = Resize(image=photo(75, 53), width=101, height=50, mode=mode, multiple=8)
    assert run(node, session=session).size == size


@settings(deadline=None, max_examples=60)
@given(images(), SIDES, SIDES, st.integers(1, 64), st.sampled_from(["stretch", "fit", "fill"]))
def test_any_picture_gets_sides_that_are_multiples(
    image: Image, width: int, height: int, multiple: int, mode: Any
) -> None:
    node = Resize(image=image, width=width, height=height, mode=mode, multiple=multiple)
    with assert_unchanged(image):
        result = node.run(image)
    assert type(result) is Image and result.numpy.shape[2] == image.numpy.shape[2]
    assert all(side % multiple == 0 and side >= multiple for side in result.size)
    for side, expected in zip(result.size, (width, height), strict=True):
        assert (
            side <= max(expected, multiple)
            if mode == "fit"
            else (abs(side - expected) <= multiple / 2 or side == multiple)
        )


def test_a_crop_is_that_part_of_the_picture(session: Session) -> None:
    image = clear_photo(75, 53)
    box = run(Crop(image=image, box=[10, 20, 30, 53]), session=session)
    assert (box.numpy == image.numpy[20:53, 10:30]).all() and box.size == (20, 33)
    middle = run(Crop(image=image, width=25, height=13), session=session)
    assert (middle.numpy == image.numpy[20:33, 25:50]).all()
    assert run(Crop(image=image, height=13), session=session).size == (75, 13)


def test_a_crop_of_where_a_thing_is_shows_it_and_padding_puts_it_back(session: Session) -> None:
    scene = Scene("gray", (SceneObject("square", "blue", "right", 0.15),))
    rows, columns = np.nonzero(render_masks(scene, 64)[0])
    left, top, right, bottom = columns.min(), rows.min(), columns.max() + 1, rows.max() + 1
    image = Image(render_scene(scene, 64))
    part = Crop(image=image, box=[int(n) for n in (left, top, right, bottom)])
    padded = Pad(
        image=part, left=int(left), top=int(top), right=int(64 - right), bottom=int(64 - bottom)
    )
    result = run(padded, session=session).numpy
    assert result.shape == (64, 64, 3)
    marked = render_masks(scene, 64)[0] > 0
    assert (result[marked] == image.numpy[marked]).all() and not result[0].any()


@settings(deadline=None, max_examples=60)
@given(images(), st.data())
def test_any_part_of_any_picture_is_cut_out(image: Image, data: st.DataObject) -> None:
    left, top = (data.draw(st.integers(0, side - 1)) for side in image.size)
    right = data.draw(st.integers(left + 1, image.width))
    bottom = data.draw(st.integers(top + 1, image.height))
    with assert_unchanged(image):
        result = Crop(image=image, box=[left, top, right, bottom]).run(image)
    assert type(result) is Image and (result.numpy == image.numpy[top:bottom, left:right]).all()


def test_a_part_beyond_the_picture_is_refused_with_both_sizes() -> None:
    for fields, part in (({"box": [0, 0, 9, 5]}, "9×5"), ({"width": 9}, "9×8")):
        text = refused_before_load(Crop(image=photo(8, 8), **fields))
        assert "8×8" in text and part in text and "Pad" in text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, "no part"),
        ({"box": [0, 0, 4, 4], "width": 4}, "both a box and a size"),
        ({"box": [4, 0, 4, 4]}, "holds no pixel"),
        ({"box": [-1, 0, 4, 4]}, "from 0"),
        ({"box": [0, 0, 4]}, "4 items"),
        ({"width": 0}, "at least 1"),
    ],
)
def test_what_is_no_part_is_refused(fields: dict[str, Any], words: str) -> None:
    assert words in refused_at_construction(Crop, image=photo(8, 8), **fields)


@settings(deadline=None, max_examples=60)
@given(images(), *[st.integers(0, 90)] * 4, st.sampled_from(["color", "edge", "reflect"]))
def test_any_picture_is_padded_as_numpy_pads_it(
    image: Image, left: int, top: int, right: int, bottom: int, mode: Any
) -> None:
    sides: dict[str, Any] = {"left": left, "top": top, "right": right, "bottom": bottom}
    with assert_unchanged(image):
        result = Pad(image=image, **sides, mode=mode).run(image)
    assert type(result) is Image
    assert result.size == (image.width + left + right, image.height + top + bottom)
    if mode != "color":
        around = ((top, bottom), (left, right), (0, 0))
        assert (result.numpy == np.pad(image.numpy, around, mode)).all()
    inner = result.numpy[top : top + image.height, left : left + image.width]
    assert (inner == image.numpy).all()


def test_padding_up_to_a_size_keeps_the_picture_in_the_middle(session: Session) -> None:
    image = photo(5, 4)
    result = run(Pad(image=image, width=10, height=7, color="red"), session=session).numpy
    assert result.shape == (7, 10, 3) and (result[1:5, 2:7] == image.numpy).all()
    assert (result[0] == (255, 0, 0)).all() and (result[:, 7:] == (255, 0, 0)).all()


def test_a_clear_colour_gives_the_picture_alpha(session: Session) -> None:
    result = run(Pad(image=photo(4, 4), left=2, color="#0a0b0c00"), session=session).numpy
    assert result[0].tolist()[0] == [10, 11, 12, 0] and (result[:, 2:, 3] == 255).all()
    opaque = run(Pad(image=clear_photo(4, 4), top=1, color="white"), session=session).numpy
    assert (opaque[0] == 255).all() and opaque.shape == (5, 4, 4)


def test_padding_to_less_than_the_picture_is_refused() -> None:
    text = refused_before_load(Pad(image=photo(8, 9), height=8))
    assert "found:  8" in text and "wanted: at least 9" in text and "Crop" in text


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"width": 9, "left": 1}, "both width and left or right"),
        ({"height": 9, "bottom": 1}, "both height and top or bottom"),
        ({"color": "no such colour"}, "Pad.color"),
        ({"left": -1}, "at least 0"),
        ({"mode": "wrap"}, "Pad.mode"),
    ],
)
def test_what_is_no_padding_is_refused(fields: dict[str, Any], words: str) -> None:
    assert words in refused_at_construction(Pad, image=photo(8, 8), **fields)


def test_a_picture_of_sixteen_thousand_pixels_is_resized_cropped_and_padded() -> None:
    image = Image(np.zeros((2, 16_000, 3), np.uint8))
    assert Resize(image=image, width=64, height=64, mode="fit").run(image).size == (64, 1)
    assert Crop(image=image, width=1).run(image).size == (1, 2)
    assert Pad(image=image, top=1, mode="reflect").run(image).size == (16_000, 3)
