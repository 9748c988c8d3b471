"""The part around a mask: within the picture, around what is marked, at a size networks take."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sdgraph import Session, run
from sdgraph.nodes import Inpaint
from sdgraph.nodes.region import Region, marked_box
from sdgraph.nodes.world import Scene, Thing, judge, parse, render
from sdgraph.values import Image, Mask

sides = st.integers(1, 4000)


@given(sides, sides, st.data())
def test_the_box_holds_what_is_marked_and_stays_in_the_picture(
    width: int, height: int, data: st.DataObject
) -> None:
    left, top = data.draw(st.integers(0, width - 1)), data.draw(st.integers(0, height - 1))
    right = data.draw(st.integers(left + 1, width))
    bottom = data.draw(st.integers(top + 1, height))
    padding = data.draw(st.integers(0, 500))
    multiple = data.draw(st.sampled_from([8, 16, 64]))
    region = Region.around(
        (left, top, right, bottom), (width, height), padding, (512, 512), multiple
    )
    x0, y0, x1, y1 = region.box
    assert 0 <= x0 <= max(0, left - padding) and min(width, right + padding) <= x1 <= width
    assert 0 <= y0 <= max(0, top - padding) and min(height, bottom + padding) <= y1 <= height
    assert all(side >= 64 and side % multiple == 0 for side in region.worked)
    wide, high = x1 - x0, y1 - y0
    assert wide >= min(width, high // 2) and high >= min(height, wide // 2)
    if min(wide, high) * 2 >= max(wide, high):
        assert 0.8 < (region.worked[0] / region.worked[1]) / (wide / high) < 1.25


def test_the_box_of_a_mask_is_that_of_its_pixels() -> None:
    pixels = np.zeros((30, 40), np.uint8)
    pixels[5:9, 7] = 255
    pixels[20, 31] = 1
    assert marked_box(Mask(pixels)) == (7, 5, 32, 21)


def test_a_small_mask_in_a_large_picture_is_painted_at_the_checkpoints_own_size() -> None:
    """Four scenes side by side make a picture four times as wide as what the network knows."""
    scene = Scene("gray", (Thing("circle", "red", "center", 0.18),))
    wide = np.concatenate([render(scene, 64)] * 4, axis=1)
    area = np.zeros(wide.shape[:2], np.uint8)
    area[14:50, 64 + 14 : 64 + 50] = 255
    node = Inpaint(
        image=Image(wide), mask=Mask(area), padding_mask_crop=14, steps=20, guidance=3.0,
        prompt="a cyan star in the center on a gray background",
    )  # fmt: skip
    made = run(node, session=Session(device="cpu", store=None)).numpy
    assert (made[area == 0] == wide[area == 0]).all()
    assert judge(made[:, 64:128], parse("a cyan star in the center on a gray background")).all
