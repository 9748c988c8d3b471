"""An array that is given away is taken over without a copy; any other one is copied."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from sdgraph.values import Image, Mask, array_ownership

needs_counts = pytest.mark.skipif(
    not array_ownership._UNNAMED, reason="this Python does not tell unnamed arrays apart"
)


def black() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    return np.zeros((4, 5, 3), np.uint8)


@needs_counts
def test_an_array_without_a_name_is_not_copied(monkeypatch: pytest.MonkeyPatch) -> None:
    addresses = []

    def make() -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
        array = black()
        addresses.append(array.ctypes.data)
        return array

    for _ in range(50):  # also once Python has adapted to the call
        image = Image(make())
        assert image.numpy.ctypes.data == addresses[-1] and not image.numpy.flags.writeable


def test_an_array_with_a_name_stays_the_callers() -> None:
    for _ in range(50):
        array = black()
        image = Image(array)
        array[:] = 255
        assert not image.numpy.any() and array.all()


def test_an_array_in_a_list_stays_the_callers() -> None:
    arrays = [black() for _ in range(50)]
    images = [*map(Image, arrays)]
    images += [Image(array) for array in arrays] + [Image(arrays[n]) for n in range(50)]
    for array in arrays:
        array[:] = 255
    assert not any(image.numpy.any() for image in images)


def test_an_array_with_a_view_stays_the_callers() -> None:
    def with_view() -> tuple[Image, np.ndarray[tuple[int, ...], np.dtype[np.uint8]]]:
        array = black()
        view = array[1:]
        return Image(array), view

    image, view = with_view()
    view[:] = 255
    assert not image.numpy.any()


@pytest.mark.parametrize(
    "make",
    [
        lambda array: Image(array[:]),
        lambda array: Image(array[:, ::-1]),
        lambda array: Image(pixels=array),
        lambda array: Mask(array[..., 0]),
        lambda array: Image(*[array]),
        lambda array: Image(pixels=array),
        lambda array: (lambda pixels: Image(pixels))(array),
        lambda array: (lambda *arguments: Image(*arguments))(array),
        lambda array: (lambda *arguments, **more: Image(*arguments, **more))(array),
    ],
)
def test_whatever_the_call_looks_like_a_kept_array_stays_the_callers(
    make: Callable[[np.ndarray[tuple[int, ...], np.dtype[np.uint8]]], Image | Mask],
) -> None:
    for _ in range(20):
        array = black()
        value = make(array)
        array[:] = 255
        assert not value.numpy.any()
