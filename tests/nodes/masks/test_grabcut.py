"""Subjects cut out of boxes by their colours."""

from __future__ import annotations

import cv2
import numpy as np
import numpy.typing as npt
import pytest

from sdgraph import Session, run
from sdgraph.nodes import MaskGrabCut
from sdgraph.nodes.tiny_world import random_scene, render_masks, render_scene
from sdgraph.values import Image
from tests.support.failing_runs import failure, refused_at_construction
from tests.support.photos import photo


def box_around(truth: npt.NDArray[np.uint8]) -> list[int]:
    """A box around an object, with some of the background inside."""
    rows, columns = np.nonzero(truth)
    left, top = columns.min() - 6, rows.min() - 6
    return [int(edge) for edge in (left, top, columns.max() + 7, rows.max() + 7)]


@pytest.mark.parametrize("seed", range(6))
def test_a_thing_in_its_box_is_cut_out(session: Session, seed: int) -> None:
    example = random_scene(seed, objects=1)
    (truth,) = render_masks(example)
    node = MaskGrabCut(image=Image(render_scene(example)), box=box_around(truth))
    result = run(node, session=session).numpy > 0
    assert (result & (truth > 0)).sum() / (result | (truth > 0)).sum() > 0.85


def test_the_same_picture_gives_the_same_mask_whatever_ran_before() -> None:
    image = photo(60, 50, "cat")
    node = MaskGrabCut(image=image, box=[10, 5, 50, 45], iterations=2)
    results = []
    for seed in (1, 2, 3):
        cv2.setRNGSeed(seed)
        results.append(node.run(image))
    assert results[0] == results[1] == results[2]


def test_the_mask_stays_inside_the_box(session: Session) -> None:
    node = MaskGrabCut(image=photo(60, 50, "coffee"), box=[-5, 5, 40, 99])
    result = run(node, session=session).numpy
    assert result.shape == (50, 60)
    assert not result[:5].any() and not result[:, 40:].any()


@pytest.mark.parametrize(
    ("box", "words"),
    [
        ([0, 0, 60, 50], "[0, 0, 60, 50], which holds all of the picture of 60×50"),
        ([-9, -9, 99, 99], "holds all of the picture of 60×50"),
        ([60, 0, 70, 9], "[60, 0, 70, 9], which lies outside the picture of 60×50"),
    ],
)
def test_a_box_that_parts_nothing_is_refused(session: Session, box: list[int], words: str) -> None:
    assert words in str(failure(MaskGrabCut(image=photo(60, 50), box=box), session))


def test_one_pixel_has_no_ground(session: Session) -> None:
    text = str(failure(MaskGrabCut(image=photo(1, 1), box=[0, 0, 1, 1]), session))
    assert "leaves some of the background out" in text


def test_a_box_without_pixels_is_refused() -> None:
    text = refused_at_construction(MaskGrabCut, image=photo(9, 9), box=[5, 5, 5, 6])
    assert "MaskGrabCut.box" in text
