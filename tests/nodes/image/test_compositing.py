"""Pictures laid over one another, and blended by the W3C's formulas."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph import Session, run
from sdgraph.nodes import Blend, Composite
from sdgraph.nodes.tiny_world import Scene, SceneObject, render_scene
from sdgraph.nodes.tiny_world import render_masks as truth
from sdgraph.values import Image, Mask
from tests.support.arbitrary_images import assert_unchanged, images, masks
from tests.support.failing_runs import refused_at_construction, refused_before_load
from tests.support.photos import clear_photo, noisy, photo

MODES = ["normal", "multiply", "screen", "overlay", "difference"]


def test_a_thing_is_laid_on_another_ground_by_its_mask(session: Session) -> None:
    objects = (SceneObject("star", "red", "center", 0.2),)
    star, empty = Scene("teal", objects), Scene("navy", ())
    result = run(
        Composite(
            image=Image(render_scene(empty, 64)),
            over=Image(render_scene(star, 64)),
            mask=Mask(truth(star, 64)[0]),
        ),
        session=session,
    ).numpy
    marked = truth(star, 64)[0] == 255
    assert (result[marked] == render_scene(star, 64)[marked]).all()
    assert (result[~marked] == render_scene(empty, 64)[~marked]).all()
    expected = render_scene(Scene("navy", objects), 64).astype(int)
    assert np.abs(result.astype(int) - expected).mean() < 2


@pytest.mark.parametrize("position", [(0, 0), (5, 3), (-4, -2), (18, 9), (20, 0), (-8, 0), (0, 99)])
def test_what_lies_beyond_the_picture_is_cut(session: Session, position: tuple[int, int]) -> None:
    below, above = photo(20, 10), photo(8, 8, "cat")
    result = run(Composite(image=below, over=above, position=list(position)), session=session)
    expected = below.numpy.copy()
    for row in range(8):
        for column in range(8):
            x, y = column + position[0], row + position[1]
            if 0 <= x < 20 and 0 <= y < 10:
                expected[y, x] = above.numpy[row, column]
    assert (result.numpy == expected).all()


def test_mask_and_alpha_both_thin_what_is_laid_over() -> None:
    above = Image(np.full((1, 3, 4), (200, 100, 0, 128), np.uint8))
    mask = Mask(np.array([[0, 128, 255]], np.uint8))
    below = Image(np.zeros((1, 3, 3), np.uint8))
    result = Composite(image=below, over=above, mask=mask).run(below, above, mask).numpy
    assert np.abs(result[0, :, 0].astype(int) - [0, 50, 100]).max() <= 1


def test_on_a_clear_ground_alpha_adds_up() -> None:
    below = Image(np.zeros((1, 1, 4), np.uint8))
    half = Image(np.array([[[200, 100, 0, 128]]], np.uint8))
    once = Composite(image=below, over=half).run(below, half, None)
    assert once.numpy.tolist() == [[[200, 100, 0, 128]]]
    twice = Composite(image=once, over=half).run(once, half, None).numpy[0, 0]
    assert twice[3] == 192 and np.abs(twice[:3].astype(int) - [200, 100, 0]).max() <= 1
    full = photo(1, 1)
    assert Composite(image=below, over=full).run(below, full, None).numpy[0, 0, 3] == 255


@settings(deadline=None, max_examples=80)
@given(images(), images(), st.data())
def test_any_picture_is_laid_over_any_other(one: Image, two: Image, data: st.DataObject) -> None:
    mask = data.draw(st.none() | masks(size=two.size))
    position = data.draw(st.lists(st.integers(-80, 80), min_size=2, max_size=2))
    with assert_unchanged(one, two, *([mask] if mask else [])):
        result = Composite(image=one, over=two, mask=mask, position=position).run(one, two, mask)
    assert type(result) is Image and result.numpy.shape == one.numpy.shape
    if mask is not None and not mask.numpy.any():
        clear = one.numpy.shape[2] == 4 and not one.numpy[..., 3].all()
        assert clear or (result.numpy == one.numpy).all()


def test_a_mask_of_another_size_is_refused_with_both() -> None:
    node = Composite(image=photo(20, 10), over=photo(8, 8), mask=Mask(noisy((10, 20))))
    text = refused_before_load(node)
    assert "8×8" in text and "20×10" in text


def formula(mode: str, below: Any, above: Any) -> Any:
    """The W3C's, on 0..1."""
    hard = np.where(below <= 0.5, 2 * below * above, 1 - 2 * (1 - below) * (1 - above))
    return {
        "normal": above,
        "multiply": below * above,
        "screen": below + above - below * above,
        "overlay": hard,
        "difference": np.abs(below - above),
    }[mode]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("amount", [0.0, 0.3, 1.0])
def test_it_blends_by_the_formula(session: Session, mode: Any, amount: float) -> None:
    below, above = photo(75, 53), photo(75, 53, "cat")
    result = run(Blend(image=below, over=above, mode=mode, amount=amount), session=session).numpy
    one, two = below.numpy / 255, above.numpy / 255
    expected = 255 * ((1 - amount) * one + amount * formula(mode, one, two))
    assert np.abs(result - expected).max() <= (0 if not amount else 2.5)


@pytest.mark.parametrize("mode", MODES)
def test_where_the_upper_picture_is_clear_the_lower_stays(session: Session, mode: Any) -> None:
    below, above = photo(64, 32), clear_photo(64, 32)
    result = run(Blend(image=below, over=above, mode=mode, amount=1.0), session=session).numpy
    assert (result[:, 0] == below.numpy[:, 0]).all()
    opaque = Image(above.numpy[..., :3].copy())
    full = run(Blend(image=below, over=opaque, mode=mode, amount=1.0), session=session).numpy
    assert (result[:, -1] == full[:, -1]).all()


@settings(deadline=None, max_examples=80)
@given(st.data(), st.sampled_from(MODES), st.floats(0, 1))
def test_any_two_pictures_of_a_size_are_blended(
    data: st.DataObject, mode: Any, amount: float
) -> None:
    one = data.draw(images())
    two = data.draw(images(size=one.size))
    with assert_unchanged(one, two):
        result = Blend(image=one, over=two, mode=mode, amount=amount).run(one, two)
    assert type(result) is Image and result.numpy.shape == one.numpy.shape
    if one.numpy.shape[2] == 4:
        assert (result.numpy[..., 3] == one.numpy[..., 3]).all()


def test_pictures_of_two_sizes_are_refused_with_both() -> None:
    text = refused_before_load(Blend(image=photo(20, 10), over=photo(8, 8)))
    assert "8×8" in text and "20×10" in text


@pytest.mark.parametrize("fields", [{"amount": 1.1}, {"amount": float("nan")}, {"mode": "burn"}])
def test_what_is_no_blend_is_refused(fields: dict[str, Any]) -> None:
    name = next(iter(fields))
    text = refused_at_construction(Blend, image=photo(8, 8), over=photo(8, 8), **fields)
    assert f"Blend.{name}" in text
