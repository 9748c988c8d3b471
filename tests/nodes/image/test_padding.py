"""Padding to what networks take, and cutting back, keeps every pixel where it is."""

from __future__ import annotations

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph.errors import InvalidValueError
from sdgraph.nodes.image.padding import MIN_SIDE, Padding, check_same_size
from tests.support.photos import noisy, picture

SIDES = st.integers(1, 300)


@given(SIDES, SIDES, st.sampled_from((1, 2, 4, 8, 16, 32)))
def test_it_is_the_least_padding_to_multiples(width: int, height: int, multiple: int) -> None:
    fit = Padding.of((width, height), multiple)
    for side, padded in zip(fit.size, fit.padded, strict=True):
        assert padded >= max(side, MIN_SIDE)
        assert padded % multiple == 0
        assert padded == MIN_SIDE or padded - multiple < side


@given(SIDES, SIDES)
def test_cutting_undoes_padding(width: int, height: int) -> None:
    pixels = noisy((height, width, 3))
    fit = Padding.of((width, height), 8)
    padded = np.asarray(fit.pad(PIL.Image.fromarray(pixels)))
    assert padded.shape == (fit.padded[1], fit.padded[0], 3)
    assert (fit.cut(padded) == pixels).all()
    assert (padded[:, width - 1 :] == padded[:, width - 1 : width]).all()
    assert (padded[height - 1 :] == padded[height - 1]).all()


def test_a_picture_that_fits_is_handed_on_as_it_is() -> None:
    fitting = picture(72, 64)
    assert Padding.of(fitting.size, 8).pad(fitting) is fitting


def test_masks_and_depths_are_padded_alike() -> None:
    fit = Padding.of((3, 2), 8)
    depth = np.arange(6, dtype=np.float32).reshape(2, 3)
    padded = fit.pad_array(depth)
    assert padded.dtype == np.float32
    assert padded.shape == (64, 64)
    assert (padded[-1, -1], padded[0, -1], padded[-1, 0]) == (5, 2, 3)
    grey = fit.pad(PIL.Image.fromarray(noisy((2, 3))))
    assert (grey.mode, grey.size) == ("L", (64, 64))


def test_two_different_sizes_are_refused_and_both_named() -> None:
    check_same_size((3, 4), (3, 4), ("image", "mask"))
    with pytest.raises(InvalidValueError, match="mask\n  found:  4×3, and the image is 3×4"):
        check_same_size((3, 4), (4, 3), ("image", "mask"))
