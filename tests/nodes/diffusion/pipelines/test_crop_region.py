"""The crop around a mask: inside the picture, around the marked part, at a size networks take."""

from __future__ import annotations

from typing import Any

import numpy as np
import PIL.Image
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sdgraph import Checkpoint, Session, run
from sdgraph.nodes import Canny, ControlNet, Inpaint
from sdgraph.nodes.diffusion.inpaint import paste_masked
from sdgraph.nodes.diffusion.pipelines.crop_region import CropRegion, marked_box
from sdgraph.nodes.tiny_world import (
    Scene,
    SceneObject,
    judge_picture,
    parse_caption,
    render_depth,
    render_scene,
)
from sdgraph.values import DepthMap, Image, Mask
from tests.support.effort import each_nth

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
    region = CropRegion.around_box(
        (left, top, right, bottom), (width, height), padding, (512, 512), multiple
    )
    x0, y0, x1, y1 = region.box
    assert 0 <= x0 <= max(0, left - padding) and min(width, right + padding) <= x1 <= width
    assert 0 <= y0 <= max(0, top - padding) and min(height, bottom + padding) <= y1 <= height
    assert all(side >= 64 and side % multiple == 0 for side in region.working_size)
    wide, high = x1 - x0, y1 - y0
    assert wide >= min(width, high // 2) and high >= min(height, wide // 2)
    assert region.working_size[0] * region.working_size[1] <= 512 * 512, (
        "no more than the plan allows for"
    )
    if min(wide, high) * 2 >= max(wide, high):
        assert 0.8 < (region.working_size[0] / region.working_size[1]) / (wide / high) < 1.25


def test_the_box_of_a_mask_is_that_of_its_pixels() -> None:
    pixels = np.zeros((30, 40), np.uint8)
    pixels[5:9, 7] = 255
    pixels[20, 31] = 1
    assert marked_box(Mask(pixels)) == (7, 5, 32, 21)


def test_a_network_of_the_shortest_side_is_shown_a_square() -> None:
    region = CropRegion.around_box((10, 10, 90, 20), (256, 256), 8, (64, 64), 8)
    assert region == CropRegion((2, 0, 98, 96), (64, 64))


def test_a_thin_stroke_is_still_marked_where_the_picture_is_made_smaller() -> None:
    pixels = np.zeros((2000, 2000), np.uint8)
    pixels[10:1990, 1000] = 255
    small = np.asarray(CropRegion((0, 0, 2000, 2000), (512, 512)).crop_mask(Mask(pixels)))
    assert (small[4:508].max(axis=1) == 255).all()
    assert (small.max(axis=0) == 255).sum() == 1


def test_a_pixel_that_is_not_painted_is_not_marked_where_the_picture_is_made_smaller() -> None:
    soft = Mask(np.full((200, 200), 127, np.uint8))
    assert np.asarray(CropRegion((0, 0, 200, 200), (64, 64)).crop_mask(soft)).max() == 0


@given(
    hnp.arrays(
        np.uint8, st.tuples(st.integers(1, 20), st.integers(1, 20), st.sampled_from([3, 4]))
    ),
    st.data(),
)
def test_whatever_is_painted_in_the_box_the_rest_keeps_its_bits(
    pixels: Any, data: st.DataObject
) -> None:
    marked = data.draw(hnp.arrays(np.uint8, pixels.shape[:2]).filter(np.any))
    image, mask = Image(pixels), Mask(marked)
    padding = data.draw(st.integers(0, 8))
    region = CropRegion.around_box(marked_box(mask), image.size, padding, (64, 64), 8)
    cropped = np.asarray(region.crop(image.rgb))
    assert cropped.shape == (*region.working_size[::-1], 3)
    assert region.crop_mask(mask).size == region.working_size
    pasted = paste_masked(image, region.paste(image, 255 - cropped), mask)
    assert (pasted.numpy[marked == 0] == pixels[marked == 0]).all()
    assert (image.numpy == pixels).all()


SIDES = {32: "larger", 64: "as it is", 128: "smaller"}


@pytest.mark.parametrize("side", each_nth(SIDES, 2), ids=SIDES.get)
@pytest.mark.parametrize(
    ("expected", "background"),
    [("cyan star", "gray"), ("yellow square", "teal"), ("red cross", "black")],
)
def test_a_small_mask_in_a_large_picture_is_painted_at_the_checkpoints_own_size(
    session: Session, side: int, expected: str, background: str
) -> None:
    """A picture of 256×256 tiled with a scene, of which one is repainted."""
    scene = Scene(background, (SceneObject("circle", "white", "center", 0.18),))
    before = np.tile(render_scene(scene, side), (256 // side, 256 // side, 1))
    room = side * 14 // 64
    area = np.zeros(before.shape[:2], np.uint8)
    area[side + room : 2 * side - room, room : side - room] = 255
    prompt = f"a {expected} in the center on a {background} background"
    node = Inpaint(
        image=Image(before),
        mask=Mask(area),
        padding_mask_crop=room,
        steps=20,
        guidance=3.0,
        prompt=prompt,
    )
    result = run(node, session=session)
    assert (result.numpy[area == 0] == before[area == 0]).all()
    cell = result.pil.crop((0, side, side, 2 * side)).resize((64, 64), PIL.Image.Resampling.LANCZOS)
    assert judge_picture(np.asarray(cell), parse_caption(prompt)).all


@pytest.mark.parametrize("side", each_nth(SIDES, 2), ids=SIDES.get)
@pytest.mark.parametrize("kind", ["edges", "depth"])
def test_control_maps_are_followed_around_the_mask(session: Session, side: int, kind: str) -> None:
    """The maps have another shape than the picture."""
    before, expected = (
        Scene("gray", (SceneObject(shape, "white", "center", 0.18),))
        for shape in ("circle", "star")
    )
    often = 256 // side
    pixels = np.tile(render_scene(before, side), (often, often, 1))
    room = side * 14 // 64
    area = np.zeros(pixels.shape[:2], np.uint8)
    area[side + room : 2 * side - room, room : side - room] = 255
    prompt = "a cyan star in the center on a gray background"
    node = ControlNet(
        control=Canny(image=Image(np.tile(render_scene(expected, side), (often, often, 1))))
        if kind == "edges"
        else DepthMap(np.tile(render_depth(expected, side), (often, often))),
        image=Image(pixels),
        mask=Mask(area),
        padding_mask_crop=room,
        strength=1.0,
        prompt=prompt,
        steps=20,
        guidance=3.0,
        checkpoint=Checkpoint("tiny/inpaint"),
    )
    result = run(node, session=session)
    assert (result.numpy[area == 0] == pixels[area == 0]).all()
    cell = result.pil.crop((0, side, side, 2 * side)).resize((64, 64), PIL.Image.Resampling.LANCZOS)
    assert judge_picture(np.asarray(cell), parse_caption(prompt)).all
