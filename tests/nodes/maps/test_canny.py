"""Canny equals OpenCV's."""

from __future__ import annotations

import cv2
import numpy as np
import pytest

from sdgraph import Session, run
from sdgraph.nodes import Canny
from sdgraph.values import EdgeMap, Image
from tests.support.failing_runs import refused_at_construction
from tests.support.photos import clear_photo, noisy, photo


@pytest.mark.parametrize("name", ["astronaut", "cat", "coffee"])
@pytest.mark.parametrize("size", [(1, 1), (75, 53), (300, 3), (128, 128)])
@pytest.mark.parametrize("limits", [(10, 250), (100, 200), (0, 0), (0, 1000), (50, 50)])
def test_it_equals_opencv(
    session: Session, name: str, size: tuple[int, int], limits: tuple[int, int]
) -> None:
    image = photo(*size, name)
    result = run(Canny(image=image, low=limits[0], high=limits[1]), session=session)
    expected = cv2.Canny(image.numpy, *limits)
    assert type(result) is EdgeMap
    assert result.size == size
    assert (result.numpy == expected[..., None]).all()


def test_a_photo_has_edges_and_black_has_none(session: Session) -> None:
    result = run(Canny(image=photo(128, 128)), session=session).numpy
    assert set(np.unique(result)) == {0, 255}
    black = Image(np.zeros((64, 64, 3), np.uint8))
    assert not run(Canny(image=black), session=session).numpy.any()


def test_alpha_is_ignored(session: Session) -> None:
    clear = clear_photo(64, 64)
    opaque = Image(clear.numpy[..., :3].copy())
    assert run(Canny(image=clear), session=session) == run(Canny(image=opaque), session=session)


def test_a_view_into_a_larger_array_is_taken(session: Session) -> None:
    view = noisy((64, 128, 3))[::-1, ::2]
    result = run(Canny(image=Image(view)), session=session)
    assert (result.numpy[..., 0] == cv2.Canny(np.ascontiguousarray(view), 100, 200)).all()


def test_low_above_high_is_refused() -> None:
    text = refused_at_construction(Canny, image=photo(8, 8), low=201, high=200)
    assert "Canny.low" in text
    assert "low 201 above high 200" in text


@pytest.mark.parametrize("low", [-1, 1001, 1.5, True, "10"])
def test_a_threshold_that_is_none_is_refused(low: object) -> None:
    fields = {"image": photo(8, 8), "low": low, "high": 1000}
    assert "Canny.low" in refused_at_construction(Canny, **fields)
