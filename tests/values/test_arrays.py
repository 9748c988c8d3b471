"""An array inside a value is its own copy, and is read-only."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from sdgraph.values import DepthMap, Image, Mask, Video
from tests.support.small_images import photo


@pytest.mark.parametrize(
    ("make", "array"),
    [
        (lambda array: Image(array).numpy, photo()),
        (lambda array: Image(array).numpy, photo()[:, ::-1]),
        (lambda array: Mask(array).numpy, photo()[..., 0]),
        (lambda array: Mask(array).numpy, photo()[..., 0] > 99),
        (lambda array: DepthMap(array).depth, photo()[..., 0].astype(np.float32)),
        (lambda array: DepthMap(array).numpy, photo()[..., 0].astype(np.float32)),
        (lambda array: Video(array, 8).frames, photo()[None]),
        (lambda array: Video(array, 8)[0].numpy, photo()[None]),
    ],
)
def test_a_value_shares_no_memory_that_a_caller_can_write(
    make: Callable[[npt.NDArray[Any]], npt.NDArray[Any]], array: npt.NDArray[Any]
) -> None:
    view = array[...]
    view.setflags(write=False)  # read-only itself, but a view of what is not
    for given_array in (array, view):
        held = make(given_array)
        assert not np.shares_memory(held, array)
        with pytest.raises(ValueError, match="read-only"):
            held[...] = 0
        with pytest.raises(ValueError, match="WRITEABLE"):
            held.setflags(write=True)


def test_an_array_that_nobody_can_write_is_not_copied() -> None:
    pixels = photo()
    pixels.setflags(write=False)
    assert np.shares_memory(Image(pixels).numpy, pixels)
    video = Video(photo()[None], 8)
    assert np.shares_memory(video[0].numpy, video.frames)


def test_a_shape_is_part_of_the_content() -> None:
    assert Image(photo(4, 6)) != Image(photo(4, 6).reshape(6, 4, 3))
    assert Video(photo()[None], 8) != Video(photo()[None], 9)
