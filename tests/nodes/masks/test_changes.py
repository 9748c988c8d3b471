"""Masks grown, shrunk, feathered, turned round and resized."""

from __future__ import annotations

import cv2
import numpy as np
import PIL.Image
import pytest

from sdgraph import Session, run
from sdgraph.nodes import MaskFeather, MaskGrow, MaskInvert, MaskResize
from sdgraph.nodes.tiny_world import random_scene, render_masks
from sdgraph.values import Mask
from tests.support.failing_runs import refused_at_construction
from tests.support.photos import noisy, photo

GREY = Mask(noisy((30, 40)))


@pytest.mark.parametrize("by", [1, 3, 9, 70])
def test_growing_a_thing_marks_all_within_that_distance(session: Session, by: int) -> None:
    truth = render_masks(random_scene(4, objects=1))[0]
    result = run(MaskGrow(mask=Mask(truth), by=by), session=session).numpy
    far = cv2.distanceTransform(255 - truth, cv2.DIST_L2, cv2.DIST_MASK_PRECISE)
    assert (result[far <= by - 0.5] == 255).all()
    assert not result[far > by + 1.5].any()


@pytest.mark.parametrize("mask", [GREY, Mask(render_masks(random_scene(4))[0])])
def test_shrinking_is_growing_the_outside(session: Session, mask: Mask) -> None:
    shrunk = run(MaskGrow(mask=mask, by=-3), session=session)
    turned = MaskInvert(mask=MaskGrow(mask=MaskInvert(mask=mask), by=3))
    assert shrunk == run(turned, session=session)
    assert (shrunk.numpy <= mask.numpy).all() and (shrunk.numpy < mask.numpy).any()


def test_growing_without_measure_ends_soon() -> None:
    spot = np.zeros((200, 200), np.uint8)
    spot[0, 0] = 255
    node = MaskGrow(mask=Mask(spot), by=4096)
    assert node.run(Mask(spot)).numpy.all()
    assert not node.replace(by=-4096).run(Mask(255 - spot)).numpy.any()


def test_growing_by_nothing_changes_nothing() -> None:
    assert MaskGrow(mask=GREY, by=0).run(GREY) == GREY


@pytest.mark.parametrize("radius", [0.01, 3, 1024])
def test_feathering_is_a_gaussian_blur(session: Session, radius: float) -> None:
    result = run(MaskFeather(mask=GREY, radius=radius), session=session).numpy
    assert (result == cv2.GaussianBlur(GREY.numpy, (0, 0), radius)).all()


def test_turning_round_twice_is_nothing(session: Session) -> None:
    turned = run(MaskInvert(mask=GREY), session=session)
    assert (turned.numpy == 255 - GREY.numpy).all()
    assert run(MaskInvert(mask=turned), session=session) == GREY


@pytest.mark.parametrize("size", [(40, 30), (1, 1), (20, 77), (80, 60)])
def test_resizing_takes_the_size_of_a_picture(session: Session, size: tuple[int, int]) -> None:
    result = run(MaskResize(mask=GREY, image=photo(*size)), session=session)
    expected = PIL.Image.fromarray(GREY.numpy).resize(size, PIL.Image.Resampling.BILINEAR)
    assert result.size == size
    assert (result.numpy == np.asarray(expected)).all()


@pytest.mark.parametrize("radius", [0.0, -1.0, 1025.0, float("nan")])
def test_a_radius_that_blurs_nothing_is_refused(radius: float) -> None:
    text = refused_at_construction(MaskFeather, mask=GREY, radius=radius)
    assert "MaskFeather.radius" in text
