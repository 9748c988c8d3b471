"""A mask shown over its picture."""

from __future__ import annotations

import numpy as np
import pytest

from sdgraph import Session, run
from sdgraph.nodes import MaskOverlay
from sdgraph.values import EdgeMap, Image, Mask
from tests.support.failing_runs import refused_at_construction, refused_before_load
from tests.support.photos import clear_photo, noisy, photo, spot


@pytest.mark.parametrize("opacity", [0.0, 0.3, 1.0])
@pytest.mark.parametrize("image", [photo(40, 30), clear_photo(40, 30)], ids=["RGB", "RGBA"])
def test_the_tint_is_mixed_in_where_the_mask_is(
    session: Session, image: Image, opacity: float
) -> None:
    mask = Mask(noisy((30, 40)))
    node = MaskOverlay(image=image, mask=mask, color="#2060ff", opacity=opacity)
    result = run(node, session=session)
    share = mask.numpy[..., None] / 255 * opacity
    tint = np.array([0x20, 0x60, 0xFF, 0xFF][: image.numpy.shape[2]])
    expected = image.numpy * (1 - share) + tint * share
    assert result.numpy.shape == image.numpy.shape
    assert np.abs(result.numpy - expected).max() <= 1.5


def test_outside_the_mask_nothing_changes(session: Session) -> None:
    image, mask = photo(40, 30), spot(40, 30)
    result = run(MaskOverlay(image=image, mask=mask), session=session).numpy
    assert (result[mask.numpy == 0] == image.numpy[mask.numpy == 0]).all()
    assert (result[mask.numpy > 0] != image.numpy[mask.numpy > 0]).any(axis=1).all()


def test_over_a_control_map_it_is_a_picture(session: Session) -> None:
    result = run(MaskOverlay(image=EdgeMap(noisy((9, 8, 3))), mask=spot(8, 9)), session=session)
    assert type(result) is Image


def test_a_mask_of_another_size_is_refused() -> None:
    text = refused_before_load(MaskOverlay(image=photo(8, 9), mask=spot(9, 8)))
    assert ".mask\n  found:  the mask is 9×8, and the image is 8×9\n" in text
    assert "fix:    resize the mask" in text


def test_a_colour_or_an_opacity_that_is_none_is_refused() -> None:
    fields = {"image": photo(8, 8), "mask": spot(8, 8)}
    assert "MaskOverlay.color" in refused_at_construction(MaskOverlay, **fields, color="rot")
    assert "MaskOverlay.opacity" in refused_at_construction(MaskOverlay, **fields, opacity=1.1)
