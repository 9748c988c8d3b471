"""Holes filled, and the largest part alone."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pytest
import skimage.measure
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sdgraph import Session, run
from sdgraph.nodes import MaskFillHoles, MaskLargest
from sdgraph.nodes.tiny_world import random_scene, render_masks
from sdgraph.values import Mask
from tests.support.failing_runs import failure


def without_holes(pixels: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """All that is not joined to the outside by the sides of black pixels."""
    outside = skimage.measure.label(np.pad(pixels, 1) == 0, connectivity=1)
    return np.where(outside == outside[0, 0], np.uint8(0), np.uint8(255))[1:-1, 1:-1]


HARD = arrays.arrays(
    np.uint8,
    arrays.array_shapes(min_dims=2, max_dims=2, max_side=12),
    elements=st.sampled_from([0, 255]),
    fill=st.nothing(),
)


def test_a_ring_becomes_a_disc(session: Session) -> None:
    example = random_scene(1, objects=1)
    ring = replace(example, objects=(replace(example.objects[0], shape="ring"),))
    result = run(MaskFillHoles(mask=Mask(render_masks(ring)[0])), session=session).numpy
    assert (result == without_holes(render_masks(ring)[0])).all()
    assert result.sum() > 1.3 * render_masks(ring)[0].sum()


@given(HARD)
def test_holes_are_those_that_labelling_finds(pixels: npt.NDArray[np.uint8]) -> None:
    result = MaskFillHoles(mask=Mask(pixels)).run(Mask(pixels)).numpy
    assert (result == without_holes(pixels)).all()


def test_soft_borders_stay_and_what_is_less_than_half_painted_is_a_hole() -> None:
    rows, columns = np.mgrid[-4:5, -4:5]
    from_within = np.array([127, 255, 128, 40, 0], np.uint8)
    soft = from_within[np.maximum(abs(rows), abs(columns))]
    result = MaskFillHoles(mask=Mask(soft)).run(Mask(soft)).numpy
    assert result[4, 4] == 255
    assert (np.delete(result.ravel(), 40) == np.delete(soft.ravel(), 40)).all()


@pytest.mark.parametrize("seed", range(4))
def test_of_two_things_the_larger_stays(session: Session, seed: int) -> None:
    one, other = render_masks(random_scene(seed, objects=2))
    larger = max(one, other, key=lambda mask: int(mask.sum()))
    assert (run(MaskLargest(mask=Mask(one | other)), session=session).numpy == larger).all()


@given(HARD.filter(lambda pixels: bool(pixels.any())))
def test_the_largest_part_is_the_one_that_scikit_image_finds(pixels: npt.NDArray[np.uint8]) -> None:
    labels = skimage.measure.label(pixels > 0, connectivity=2)
    areas = np.bincount(labels.ravel())[1:]
    result = MaskLargest(mask=Mask(pixels)).run(Mask(pixels)).numpy
    (label,) = np.unique(labels[result > 0])
    assert areas[label - 1] == areas.max()
    assert (result == np.where(labels == label, 255, 0)).all()


def test_of_two_of_one_size_the_higher_one_stays_and_faint_pixels_belong_to_it() -> None:
    pixels = np.array([[0, 0, 0, 0, 9], [7, 0, 0, 0, 255], [255, 0, 0, 0, 0]], np.uint8)
    result = MaskLargest(mask=Mask(pixels)).run(Mask(pixels)).numpy
    assert result.tolist() == [[0, 0, 0, 0, 9], [0, 0, 0, 0, 255], [0, 0, 0, 0, 0]]


def test_an_empty_mask_has_no_largest_part(session: Session) -> None:
    text = str(failure(MaskLargest(mask=Mask(np.zeros((3, 4), np.uint8))), session))
    assert "an empty one of 4×3, which has no largest part\n  wanted: " in text
