"""Soft edges are as steep as the picture, scribbles run along them."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sdgraph import Session, run
from sdgraph.nodes import Scribble, SoftEdges
from sdgraph.nodes.maps.gradients import colour_gradients
from sdgraph.nodes.tiny_world import edge_f1, random_scene, render_edges, render_scene
from sdgraph.values import Image, ScribbleMap, SoftEdgeMap
from tests.support.failing_runs import refused_at_construction
from tests.support.photos import clear_photo, noisy, photo


def step(height: int, *, side: int = 64) -> Image:
    """Black at the left, grey of that height at the right."""
    pixels = np.zeros((side, side, 3), np.uint8)
    pixels[:, side // 2 :] = height
    return Image(pixels)


@pytest.mark.parametrize("smoothing", [0.5, 1.0, 2.0, 5.0])
@pytest.mark.parametrize("height", [255, 100, 20])
def test_a_step_is_as_steep_as_it_is_high_whatever_the_smoothing(
    smoothing: float, height: int
) -> None:
    right, down = colour_gradients(step(height).numpy, smoothing)
    assert not down.any()
    assert (np.abs(right[:, 31:33] - height) <= 1).all()
    assert (
        colour_gradients(step(height).numpy.transpose(1, 0, 2), smoothing)[1]
        == right.transpose(1, 0, 2)
    ).all()


def test_soft_edges_are_bright_at_a_step_and_fade_next_to_it(session: Session) -> None:
    result = run(SoftEdges(image=step(255), smoothing=2.0, contrast=1.0), session=session)
    assert type(result) is SoftEdgeMap
    row = result.numpy[20, :, 0].astype(int)
    assert row[31] == row[32] == 255
    assert (np.diff(row[32:38]) < 0).all()
    assert not row[:24].any() and not row[41:].any()


def test_contrast_says_which_step_is_white(session: Session) -> None:
    node = SoftEdges(image=step(51), contrast=0.2)
    assert run(node, session=session).numpy.max() == 255
    assert run(node.replace(contrast=0.4), session=session).numpy.max() in (127, 128)


def test_more_smoothing_makes_wider_lines(session: Session) -> None:
    node = SoftEdges(image=step(255), contrast=1.0)
    wide = [
        (run(node.replace(smoothing=s), session=session).numpy[20, :, 0] > 64).sum()
        for s in (1.0, 3.0, 6.0)
    ]
    assert wide[0] < wide[1] < wide[2]


def test_an_edge_of_one_colour_counts_as_much_as_a_grey_one(session: Session) -> None:
    pixels = np.zeros((32, 32, 3), np.uint8)
    pixels[:, 16:, 2] = 200
    grey = np.zeros((32, 32, 3), np.uint8)
    grey[:, 16:] = 200
    edge_maps = [run(SoftEdges(image=Image(array)), session=session) for array in (pixels, grey)]
    assert edge_maps[0] == edge_maps[1]


@pytest.mark.parametrize("number", range(8))
def test_both_run_along_the_edges_of_the_tiny_world(session: Session, number: int) -> None:
    example, truth = random_scene(number), render_edges(random_scene(number), 128)
    image = Image(render_scene(example, 128))
    soft = run(SoftEdges(image=image, smoothing=1.0), session=session).numpy[..., 0]
    assert soft[truth > 0].mean() > 100
    assert soft[cv2.dilate(truth, np.ones((13, 13), np.uint8)) == 0].mean() < 40
    result = run(Scribble(image=image, smoothing=1.0, thickness=1), session=session).numpy[..., 0]
    assert edge_f1(result, truth, tolerance=2) > 0.8


def test_a_scribble_is_white_on_black_and_as_thick_as_given(session: Session) -> None:
    for thickness in (1, 4, 7, 12):
        result = run(Scribble(image=step(255), thickness=thickness), session=session)
        assert type(result) is ScribbleMap
        assert set(np.unique(result.numpy)) == {0, 255}
        assert ((result.numpy[..., 0] > 0).sum(axis=1) == thickness).all()
        assert result.numpy[20, 31:33].max() == 255


def test_a_weak_line_is_drawn_only_where_it_goes_on_from_a_strong_one(session: Session) -> None:
    weak = Scribble(image=step(40), low=0.1, high=0.3)
    assert not run(weak, session=session).numpy.any()
    fading = step(40).numpy.copy()
    fading[:, 32:] = np.linspace(200, 40, 64)[:, None, None]
    result = run(weak.replace(image=Image(fading)), session=session).numpy
    assert result[2, 28:37].any() and result[62, 28:37].any()


@pytest.mark.parametrize("cls", [SoftEdges, Scribble])
@pytest.mark.parametrize("size", [(1, 1), (75, 53), (300, 3)])
def test_it_has_the_pictures_size_and_three_equal_channels(
    session: Session, cls: type[SoftEdges] | type[Scribble], size: tuple[int, int]
) -> None:
    result = run(cls(image=photo(*size)), session=session)
    assert result.size == size and result.numpy.shape[2] == 3
    assert (result.numpy == result.numpy[..., :1]).all()


@pytest.mark.parametrize("cls", [SoftEdges, Scribble])
def test_one_colour_has_no_lines_and_alpha_is_ignored(
    session: Session, cls: type[SoftEdges] | type[Scribble]
) -> None:
    flat = Image(np.full((64, 48, 3), 200, np.uint8))
    assert not run(cls(image=flat), session=session).numpy.any()
    clear = clear_photo(64, 64)
    opaque = Image(clear.numpy[..., :3])
    assert run(cls(image=clear), session=session) == run(cls(image=opaque), session=session)


def test_a_view_into_a_larger_array_is_taken(session: Session) -> None:
    view = noisy((64, 128, 3))[::-1, ::2]
    copy = Image(np.ascontiguousarray(view))
    for cls in (SoftEdges, Scribble):
        result = run(cls(image=Image(view)), session=session)
        assert result == run(cls(image=copy), session=session)


def test_low_above_high_is_refused() -> None:
    text = refused_at_construction(Scribble, image=photo(8, 8), low=0.5, high=0.2)
    assert "Scribble.low" in text and "low 0.5 above high 0.2" in text


@pytest.mark.parametrize(
    ("cls", "fields"),
    [
        (SoftEdges, {"smoothing": 0.4}),
        (SoftEdges, {"smoothing": float("nan")}),
        (SoftEdges, {"contrast": 0.0}),
        (Scribble, {"thickness": 0}),
        (Scribble, {"high": 1.1}),
    ],
)
def test_a_parameter_that_is_none_is_refused(
    cls: type[SoftEdges] | type[Scribble], fields: dict[str, float]
) -> None:
    (name,) = fields
    text = refused_at_construction(cls, image=photo(8, 8), **fields)
    assert f"{cls.__name__}.{name}" in text
