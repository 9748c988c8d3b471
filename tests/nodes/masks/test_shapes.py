"""Boxes, ellipses, polygons and brush strokes, drawn where they are asked for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph.nodes import Mask, MaskBox, MaskBrush, MaskEllipse, MaskPolygon
from sdgraph.nodes.masks.shapes import DrawnMask, clip_box
from sdgraph.values import Image
from tests.support.failing_runs import refused_at_construction
from tests.support.photos import photo

CANVAS = photo(40, 30)
ROWS, COLUMNS = np.mgrid[:30, :40]


def mask_pixels(node: DrawnMask, image: Image = CANVAS) -> Any:
    return node.run(image).numpy


@settings(max_examples=60)
@given(st.tuples(*[st.integers(-20, 60)] * 4).filter(lambda b: b[0] < b[2] and b[1] < b[3]))
def test_a_box_is_cut_at_the_borders_or_refused_outside(bounds: tuple[int, ...]) -> None:
    left, top, right, bottom = bounds
    marked = (left <= COLUMNS) & (right > COLUMNS) & (top <= ROWS) & (bottom > ROWS)
    node = MaskBox(image=CANVAS, box=list(bounds))
    if marked.any():
        assert (mask_pixels(node) == np.where(marked, 255, 0)).all()
        (rows,), (columns,) = ([np.flatnonzero(marked.any(axis))] for axis in (1, 0))
        assert clip_box(bounds, (40, 30)) == [columns[0], rows[0], columns[-1] + 1, rows[-1] + 1]
    else:
        for act in (lambda: node.run(CANVAS), lambda: clip_box(bounds, (40, 30))):
            with pytest.raises(ValueError, match=r"40×30\n  wanted: .* that reaches in"):
                act()


@pytest.mark.parametrize(
    ("node", "fields"),
    [
        (MaskBox(image=CANVAS, box=[3, 4, 30, 20]), {"box": [3, 4, 30, 20]}),
        (MaskEllipse(image=CANVAS, box=[3, 4, 30, 20]), {"ellipse": [3, 4, 30, 20]}),
        (
            MaskPolygon(image=CANVAS, points=[[0, 0], [39, 3], [5, 29]]),
            {"polygon": [[0, 0], [39, 3], [5, 29]]},
        ),
    ],
)
def test_it_is_the_shape_of_the_node_of_all_sources(
    node: DrawnMask, fields: dict[str, Any]
) -> None:
    pixels = mask_pixels(node)
    assert (pixels == Mask(image=CANVAS, **fields).run(CANVAS).numpy).all()
    assert pixels.any() and not pixels.all()


def test_a_dot_of_the_brush_is_a_disc() -> None:
    for radius in (1, 2, 5, 12):
        pixels = mask_pixels(MaskBrush(image=CANVAS, strokes=[[[20, 15]]], radius=radius))
        far = np.hypot(ROWS - 15, COLUMNS - 20)
        assert (pixels[far <= radius - 0.5] == 255).all()
        assert not pixels[far > radius + 0.5].any()


def test_a_stroke_reaches_as_far_as_its_radius_from_its_line() -> None:
    pixels = mask_pixels(MaskBrush(image=CANVAS, strokes=[[[8, 5], [30, 5], [30, 25]]], radius=3))
    across = np.maximum(np.maximum(8 - COLUMNS, COLUMNS - 30), 0)
    down = np.maximum(np.maximum(5 - ROWS, ROWS - 25), 0)
    far = np.minimum(np.hypot(across, ROWS - 5), np.hypot(COLUMNS - 30, down))
    assert (pixels[far <= 2.5] == 255).all()
    assert not pixels[far > 4].any()


def test_strokes_are_not_joined() -> None:
    one, other = [[5, 5], [15, 5]], [[30, 20], [38, 20]]
    parts = [
        mask_pixels(MaskBrush(image=CANVAS, strokes=[stroke], radius=2)) for stroke in (one, other)
    ]
    together = mask_pixels(MaskBrush(image=CANVAS, strokes=[one, other], radius=2))
    assert (together == np.maximum(*parts)).all()


def test_a_soft_brush_fades_from_its_hard_part_outwards() -> None:
    strokes = [[[20, 15]]]
    row = mask_pixels(MaskBrush(image=CANVAS, strokes=strokes, radius=12, hardness=0.5))[15, 20:]
    assert (row[:6] == 255).all()
    assert (np.diff(row[6:13].astype(int)) < 0).all()
    assert row[12] > 0 and not row[13:].any()
    soft = mask_pixels(
        MaskBrush(image=CANVAS, strokes=[*strokes, [[26, 15]]], radius=12, hardness=0.0)
    )
    assert soft[15, 20] == soft[15, 26] == 255


def test_a_stroke_that_begins_outside_reaches_in() -> None:
    pixels = mask_pixels(MaskBrush(image=CANVAS, strokes=[[[-3, 15]]], radius=6))
    assert pixels[15, :3].all() and not pixels[:, 5:].any()


@pytest.mark.parametrize(
    "node",
    [
        MaskBox(image=CANVAS, box=[40, 0, 50, 9]),
        MaskEllipse(image=CANVAS, box=[-9, -9, 0, 0]),
        MaskPolygon(image=CANVAS, points=[[50, 50], [60, 50], [50, 60]]),
        MaskBrush(image=CANVAS, strokes=[[[20, 99]]], radius=5),
    ],
    ids=lambda node: type(node).__name__,
)
def test_a_shape_outside_the_picture_is_refused(node: DrawnMask) -> None:
    with pytest.raises(ValueError, match=r"it marks nothing in the picture of 40×30\n  wanted"):
        node.run(CANVAS)


@pytest.mark.parametrize(
    ("cls", "fields", "words"),
    [
        (MaskBox, {"box": [3, 0, 3, 5]}, ["MaskBox.box", "holds no pixel", "left < right"]),
        (MaskEllipse, {"box": [0, 5, 3, 5]}, ["MaskEllipse.box", "top < bottom"]),
        (MaskBox, {"box": [0, 0, 5]}, ["MaskBox.box", "at least 4 items"]),
        (MaskBox, {"box": [0, 0, 5, 10**9]}, ["MaskBox.box.3", "at most 65536"]),
        (MaskBox, {"box": [0, 0, 5.5, 9]}, ["MaskBox.box.2", "a whole number"]),
        (MaskPolygon, {"points": [[0, 0], [1, 1]]}, ["MaskPolygon.points", "at least 3 items"]),
        (
            MaskPolygon,
            {"points": [[0, 0], [1, 1], [2]]},
            ["MaskPolygon.points.2", "at least 2 items"],
        ),
        (MaskBrush, {"strokes": []}, ["MaskBrush.strokes", "at least 1"]),
        (MaskBrush, {"strokes": [[[1, 1]], []]}, ["MaskBrush.strokes.1", "at least 1 items"]),
        (MaskBrush, {"strokes": [[[1, 1, 1]]]}, ["MaskBrush.strokes.0.0", "at most 2 items"]),
        (MaskBrush, {"strokes": [[[1, 1]]], "radius": 0}, ["MaskBrush.radius", "at least 1"]),
        (MaskBrush, {"strokes": [[[1, 1]]], "hardness": float("nan")}, ["MaskBrush.hardness"]),
    ],
)
def test_what_is_no_shape_is_refused(cls: Any, fields: dict[str, Any], words: list[str]) -> None:
    text = refused_at_construction(cls, image=CANVAS, **fields)
    for word in words:
        assert word in text
