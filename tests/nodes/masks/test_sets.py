"""Masks combined as sets, hard and soft."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from sdgraph import Session, run
from sdgraph.nodes import MaskIntersect, MaskInvert, MaskSubtract, MaskUnion
from sdgraph.nodes.tiny_world import random_scene, render_masks
from sdgraph.values import Mask
from tests.support.failing_runs import refused_at_construction, refused_before_load
from tests.support.photos import noisy, spot

THREE = st.lists(arrays.arrays(np.uint8, (5, 4)).map(Mask), min_size=3, max_size=3)


def test_the_things_of_a_scene_are_joined_and_parted(session: Session) -> None:
    one, other = (Mask(mask) for mask in render_masks(random_scene(2, objects=2)))
    union = MaskUnion(masks=[one, other])
    assert (run(union, session=session).numpy == one.numpy | other.numpy).all()
    assert run(MaskSubtract(mask=union, less=other), session=session) == one
    assert not run(MaskIntersect(masks=[one, other]), session=session).numpy.any()
    assert run(MaskIntersect(masks=[union, one]), session=session) == one


@given(THREE)
def test_they_keep_the_laws_of_sets(three: Any) -> None:
    a, b, c = three
    union, intersection = MaskUnion(masks=three), MaskIntersect(masks=three)
    assert union.run(three) == union.run([c, a, b]) == union.run([union.run([a, b]), c])
    assert union.run([a, a]) == a == intersection.run([a, union.run([a, b])])
    turned = [MaskInvert(mask=mask).run(mask) for mask in three]
    assert intersection.run(three) == MaskInvert(mask=a).run(union.run(turned))
    left = MaskSubtract(mask=a, less=b).run(a, b).numpy
    assert (left == np.maximum(a.numpy.astype(int) - b.numpy, 0)).all()


@pytest.mark.parametrize("cls", [MaskUnion, MaskIntersect])
def test_masks_of_two_sizes_are_refused(cls: Any) -> None:
    node = cls(masks=[spot(8, 9), spot(8, 9), spot(9, 8)])
    text = refused_before_load(node)
    assert (
        ".masks\n  found:  the mask number 3 is 9×8, and the first mask is 8×9\n  wanted: one size"
        in text
    )


def test_what_is_taken_away_must_have_the_same_size() -> None:
    text = refused_before_load(MaskSubtract(mask=spot(8, 9), less=Mask(noisy((1, 2)))))
    assert (
        ".less\n  found:  the mask to subtract is 2×1, and the mask is 8×9\n  wanted: one size"
        in text
    )


@pytest.mark.parametrize("cls", [MaskUnion, MaskIntersect])
def test_one_mask_alone_is_refused(cls: Any) -> None:
    assert "at least 2 items" in refused_at_construction(cls, masks=[spot(8, 8)])
