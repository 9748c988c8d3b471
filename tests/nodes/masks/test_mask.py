"""Masks from every source, of the promised size, grown, blurred and turned round."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph import Session, run, values
from sdgraph.nodes import Mask
from sdgraph.values import Image
from tests.support.failing_runs import failure, refused_at_construction, refused_before_load
from tests.support.photos import clear_photo, noisy, photo

SIZE: dict[str, Any] = {"width": 40, "height": 30}


def mask_pixels(session: Session, **fields: Any) -> Any:
    return run(Mask(**fields), session=session).numpy


def test_a_box_is_white_inside_its_bounds_only(session: Session) -> None:
    pixels = mask_pixels(session, box=[5, 6, 15, 26], **SIZE)
    expected = np.zeros((30, 40), np.uint8)
    expected[6:26, 5:15] = 255
    assert (pixels == expected).all()


@settings(max_examples=40, deadline=None)
@given(st.tuples(*[st.integers(-20, 60)] * 4).filter(lambda b: b[0] < b[2] and b[1] < b[3]))
def test_any_box_is_cut_at_the_borders(box: tuple[int, ...]) -> None:
    left, top, right, bottom = box
    result = Mask(box=list(box), **SIZE).run(None).numpy
    rows, columns = np.mgrid[:30, :40]
    marked = (columns >= left) & (columns < right) & (rows >= top) & (rows < bottom)
    assert (result == np.where(marked, 255, 0)).all()


def test_an_ellipse_touches_its_box_and_leaves_its_corners(session: Session) -> None:
    pixels = mask_pixels(session, ellipse=[4, 2, 36, 28], **SIZE)
    rows, columns = np.nonzero(pixels)
    assert (columns.min(), rows.min(), columns.max(), rows.max()) == (4, 2, 35, 27)
    assert not pixels[2, 4] and not pixels[27, 35]
    assert pixels[15, 20] == 255
    assert abs(pixels.mean() / 255 * 1200 - np.pi * 16 * 13) < 40


def test_a_polygon_is_filled(session: Session) -> None:
    pixels = mask_pixels(session, polygon=[[0, 0], [39, 0], [0, 29]], **SIZE)
    assert pixels[2, 2] == 255 and pixels[28, 38] == 0
    assert abs(pixels.mean() / 255 - 0.5) < 0.05


def test_a_colour_marks_where_the_image_has_it(session: Session) -> None:
    pixels = np.zeros((4, 4, 3), np.uint8)
    pixels[0] = (255, 0, 0)
    pixels[1] = (255, 32, 0)
    pixels[2] = (255, 33, 0)
    image = Image(pixels)
    for name in ("red", "#ff0000", "#f00", "rgb(255,0,0)"):
        marked = mask_pixels(session, image=image, color=name)
        assert marked[:, 0].tolist() == [255, 255, 0, 0]
    assert mask_pixels(session, image=image, color="red", tolerance=0)[:, 0].tolist() == [
        255,
        0,
        0,
        0,
    ]
    assert mask_pixels(session, image=image, color="red", tolerance=255).all()


def test_alpha_marks_what_is_transparent(session: Session) -> None:
    image = clear_photo(40, 30)
    assert (mask_pixels(session, image=image, alpha=True) == 255 - image.numpy[..., 3]).all()


def test_alpha_of_an_opaque_picture_is_refused(session: Session) -> None:
    text = str(failure(Mask(image=photo(8, 8), alpha=True), session))
    assert "image\n  found:  no alpha channel" in text


def test_a_file_is_its_brightness(session: Session, photo_file: Path) -> None:
    from sdgraph.media import read_image

    if read_image(photo_file).mode == "RGBA":  # colours, and an alpha that varies
        assert "MaskFromAlpha" in refused_before_load(Mask(path=photo_file))
        return
    pixels = mask_pixels(session, path=photo_file)
    assert (pixels == values.Mask.from_pil(read_image(photo_file)).numpy).all()
    assert pixels.shape == (53, 75)


def test_a_file_takes_the_size_of_the_image_or_the_given_one(
    session: Session, tmp_path: Path
) -> None:
    PIL.Image.fromarray(noisy((20, 10))).save(path := tmp_path / "mask.png")
    shapes = [
        mask_pixels(session, path=path).shape,
        mask_pixels(session, path=path, image=photo(33, 44)).shape,
        mask_pixels(session, path=path, **SIZE).shape,
        mask_pixels(session, path=path, image=photo(33, 44), **SIZE).shape,
    ]
    assert shapes == [(20, 10), (44, 33), (30, 40), (30, 40)]


def test_a_shape_takes_the_size_of_the_image(session: Session) -> None:
    assert mask_pixels(session, box=[0, 0, 5, 5], image=photo(33, 44)).shape == (44, 33)


def test_what_an_image_shows_is_scaled_to_a_given_size(session: Session) -> None:
    image = Image(np.dstack([noisy((10, 10, 3)), np.full((10, 10), 0, np.uint8)]))
    assert mask_pixels(session, image=image, alpha=True, **SIZE).shape == (30, 40)


def test_resizing_a_mask_of_one_value_keeps_it(session: Session, tmp_path: Path) -> None:
    PIL.Image.new("L", (7, 9), 255).save(path := tmp_path / "white.png")
    assert (mask_pixels(session, path=path, **SIZE) == 255).all()


@pytest.mark.parametrize("by", [1, 3, 9])
def test_growing_marks_what_is_within_a_disc_and_shrinking_undoes_it(
    session: Session, by: int
) -> None:
    point = mask_pixels(session, box=[20, 15, 21, 16], **SIZE, grow=by)
    rows, columns = np.mgrid[:30, :40]
    far = np.hypot(rows - 15, columns - 20)
    assert point[far <= by - 0.5].all()
    assert not point[far > by + 0.8].any()
    box = {"box": [12, 12, 28, 18], **SIZE}
    grown = mask_pixels(session, **box, grow=by)
    assert (grown >= mask_pixels(session, **box)).all()
    disc = cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (2 * by + 1, 2 * by + 1))
    assert (cv2.erode(grown, disc) >= mask_pixels(session, **box)).all()


def test_shrinking_is_growing_the_outside(session: Session) -> None:
    box = {"box": [10, 8, 30, 24], **SIZE}
    shrunk = mask_pixels(session, **box, grow=-3)
    assert shrunk.any()
    outside = cv2.dilate(
        255 - mask_pixels(session, **box), cv2.getStructuringElement(cv2.MORPH_ELLIPSE, (7, 7))
    )
    assert (shrunk == 255 - outside).all()


def test_shrinking_keeps_what_touches_the_border(session: Session) -> None:
    assert mask_pixels(session, box=[0, 0, 40, 30], **SIZE, grow=-5).all()


def test_growing_far_is_still_a_disc(session: Session) -> None:
    grown = mask_pixels(session, box=[256, 256, 257, 257], width=512, height=512, grow=200)
    rows, columns = np.mgrid[:512, :512]
    far = np.hypot(rows - 256, columns - 256)
    assert (grown[far <= 198] == 255).all()
    assert not grown[far > 202].any()


def test_growing_without_measure_ends_soon_and_fills_all(session: Session) -> None:
    assert mask_pixels(session, box=[0, 0, 1, 1], width=200, height=200, grow=4096).all()
    assert not mask_pixels(session, box=[0, 0, 199, 199], width=200, height=200, grow=-4096).any()


@pytest.mark.parametrize("radius", [0.01, 0.5, 3, 1024])
def test_feathering_blurs_evenly_and_keeps_the_sum(session: Session, radius: float) -> None:
    hard = mask_pixels(session, box=[10, 8, 30, 24], **SIZE)
    soft = mask_pixels(session, box=[10, 8, 30, 24], **SIZE, feather=radius)
    assert (soft == cv2.GaussianBlur(hard, (0, 0), radius)).all()
    assert abs(soft.mean() - hard.mean()) < 12


def test_feathering_comes_after_growing_and_inverting_last(session: Session) -> None:
    box: dict[str, Any] = {"box": [10, 8, 30, 24], **SIZE}
    plain = mask_pixels(session, **box, grow=4, feather=2)
    assert (mask_pixels(session, **box, grow=4, feather=2, invert=True) == 255 - plain).all()
    grown = mask_pixels(session, **box, grow=4)
    assert (plain == cv2.GaussianBlur(grown, (0, 0), 2)).all()


def test_the_smallest_mask_takes_all_of_it(session: Session) -> None:
    fields: dict[str, Any] = {"box": [0, 0, 1, 1], "width": 1, "height": 1}
    assert mask_pixels(session, **fields, grow=2, feather=2).tolist() == [[255]]
    assert mask_pixels(session, **fields, invert=True).tolist() == [[0]]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({}, ["Mask.path", "no source", "exactly one of path, box, ellipse, polygon"]),
        ({"box": [0, 0, 1, 1], "ellipse": [0, 0, 1, 1], **SIZE}, ["Mask.ellipse", "box and ellip"]),
        ({"color": "red", **SIZE}, ["Mask.color", "no image"]),
        ({"alpha": True, **SIZE}, ["Mask.alpha", "no image"]),
        ({"box": [0, 0, 1, 1]}, ["Mask.box", "a shape without a canvas"]),
        ({"box": [0, 0, 1, 1], "width": 4}, ["width"]),
        ({"box": [0, 0, 1, 1], "image": photo(8, 8), "height": 4}, ["Mask.width", "together"]),
        ({"box": [3, 0, 3, 5], **SIZE}, ["Mask.box", "holds no pixel"]),
        ({"box": [3, 5, 9, 5], **SIZE}, ["Mask.box", "top < bottom"]),
        ({"ellipse": [9, 0, 3, 5], **SIZE}, ["Mask.ellipse", "left < right"]),
        ({"box": [0, 0, 5], **SIZE}, ["Mask.box"]),
        ({"box": [0.5, 0, 5, 5], **SIZE}, ["Mask.box"]),
        ({"polygon": [[0, 0], [1, 1]], **SIZE}, ["Mask.polygon"]),
        ({"polygon": [[0, 0], [1, 1], [2]], **SIZE}, ["Mask.polygon", "[x, y]"]),
        ({"color": "no such colour", "image": photo(8, 8)}, ["Mask.color", "#rrggbb"]),
        ({"box": [0, 0, 1, 1], **SIZE, "feather": -1.0}, ["Mask.feather"]),
        ({"box": [0, 0, 1, 1], **SIZE, "tolerance": 256}, ["Mask.tolerance"]),
    ],
)
def test_what_is_no_mask_is_refused(fields: dict[str, Any], words: list[str]) -> None:
    text = refused_at_construction(Mask, **fields)
    for word in words:
        assert word in text


def test_a_file_that_is_no_picture_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (path := tmp_path / "mask.png").write_text("no picture")
    text = refused_before_load(Mask(path=path))
    assert "mask.path" in text
    assert str(path) in text
