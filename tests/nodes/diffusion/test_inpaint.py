"""Inpaint: the script's picture inside the mask, the input's bits outside."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from sdgraph import Checkpoint, Session, run, values
from sdgraph.nodes import Inpaint, Mask
from sdgraph.nodes.diffusion.inpaint import paste_masked
from sdgraph.values import Image
from tests.nodes.diffusion.sampling.test_schedulers import CLASSES
from tests.support.bare_scripts import same, script
from tests.support.effort import each_nth
from tests.support.failing_runs import failure, refused_at_construction, refused_before_load
from tests.support.photos import clear_photo, noisy, photo, picture, spot

PIPELINES = {
    "tiny/inpaint": "StableDiffusionInpaintPipeline",
    "tiny/text-to-image": "StableDiffusionInpaintPipeline",
    "tiny/sdxl": "StableDiffusionXLInpaintPipeline",
    "tiny/turbo": "StableDiffusionXLInpaintPipeline",
}


@pytest.mark.parametrize("checkpoint", PIPELINES)
@pytest.mark.parametrize(
    "fields",
    [
        {"steps": 2, "strength": 1.0},
        {"steps": 4, "strength": 0.6, "seed": 11, "negative_prompt": "a dog"},
        {"steps": 3, "strength": 0.99, "guidance": 1.0, "scheduler": "dpm++"},
        {"steps": 2, "strength": 1.0, "guidance": 3.5, "scheduler": "euler-ancestral"},
    ],
)
def test_inside_it_is_the_scripts_and_outside_the_inputs(
    session: Session, checkpoint: str, fields: dict[str, Any]
) -> None:
    image, mask = photo(96, 72), spot(96, 72)
    node = Inpaint(
        prompt="a cat", image=image, mask=mask, checkpoint=Checkpoint(checkpoint), **fields
    )
    result = run(node, session=session).numpy
    expected = script(
        PIPELINES[checkpoint],
        checkpoint,
        prompt="a cat",
        image=picture(96, 72),
        mask_image=mask.pil,
        width=96,
        height=72,
        steps=fields["steps"],
        strength=fields["strength"],
        seed=fields.get("seed", 0),
        guidance_scale=fields.get("guidance", 7.5),
        negative_prompt=fields.get("negative_prompt"),
        scheduler=CLASSES[fields["scheduler"]] if "scheduler" in fields else None,
    )
    marked = mask.numpy == 255
    assert same(result[marked], expected[marked])
    assert same(result[~marked], image.numpy[~marked])


@pytest.mark.parametrize("checkpoint", ["tiny/inpaint", "tiny/text-to-image", "tiny/sdxl"])
@pytest.mark.parametrize("size", each_nth([(75, 53), (1, 2), (129, 7), (2, 90), (65, 64)], 2))
@pytest.mark.parametrize("make", [photo, clear_photo])
@pytest.mark.parametrize("crop", each_nth([None, 0, 9], 2))
def test_outside_the_mask_every_size_and_mode_keeps_its_bits(
    session: Session, checkpoint: str, size: tuple[int, int], make: Any, crop: int | None
) -> None:
    image, mask = make(*size), spot(*size)
    node = Inpaint(
        prompt="a",
        image=image,
        mask=mask,
        padding_mask_crop=crop,
        steps=1,
        checkpoint=Checkpoint(checkpoint),
    )
    result = run(node, session=session)
    outside = mask.numpy == 0
    assert result.numpy.shape == image.numpy.shape
    assert (result.numpy[outside] == image.numpy[outside]).all()
    assert (result.numpy[~outside, :3] != image.numpy[~outside, :3]).any()


def test_what_is_painted_into_transparency_can_be_seen(session: Session) -> None:
    image = clear_photo(64, 64)
    mask = Mask(image=image, alpha=True)
    result = run(Inpaint(prompt="a", image=image, mask=mask, steps=1), session=session)
    marked = run(mask, session=session).numpy
    assert (result.numpy[..., 3] == np.maximum(image.numpy[..., 3], marked)).all()
    assert (result.numpy[marked == 255, 3] == 255).all()


def test_a_feathered_mask_blends_the_two(session: Session) -> None:
    image = photo(64, 64)
    soft = Mask(box=[16, 16, 48, 48], width=64, height=64, feather=4)
    result = run(Inpaint(prompt="a", image=image, mask=soft, steps=2), session=session).numpy
    share = run(soft, session=session).numpy[..., None] / 255
    expected = script(
        "StableDiffusionInpaintPipeline",
        "tiny/inpaint",
        prompt="a",
        steps=2,
        seed=0,
        image=image.pil,
        mask_image=run(soft, session=session).pil,
        width=64,
        height=64,
    )
    blend = image.numpy * (1 - share) + expected * share
    assert np.unique(share).size > 10
    assert np.abs(result - blend).max() <= 0.5 + 1e-9
    assert same(result[share[..., 0] == 0], image.numpy[share[..., 0] == 0])
    assert same(result[share[..., 0] == 1], expected[share[..., 0] == 1])


@given(
    hnp.arrays(np.uint8, (3, 4, 3)), hnp.arrays(np.uint8, (3, 4, 3)), hnp.arrays(np.uint8, (3, 4))
)
def test_pasting_rounds_to_the_nearest_and_keeps_both_ends(kept: Any, new: Any, mask: Any) -> None:
    pasted = paste_masked(Image(kept), new, values.Mask(mask)).numpy
    exact = (kept * (255.0 - mask[..., None]) + new * (mask[..., None] * 1.0)) / 255
    assert np.abs(pasted - exact).max() <= 0.5 + 1e-9
    assert (pasted[mask == 0] == kept[mask == 0]).all()
    assert (pasted[mask == 255] == new[mask == 255]).all()


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.integers(0, 127))
def test_a_mask_that_marks_nothing_is_refused(value: int) -> None:
    mask = values.Mask(np.full((64, 64), value, np.uint8))
    node = Inpaint(prompt="a", image=photo(64, 64), mask=mask, steps=1)
    error = failure(node, _SESSION)
    assert "a mask that marks nothing" in str(error)
    assert "invert: true" in str(error)


_SESSION = Session(device="cpu", store=None)


def test_the_least_white_pixel_is_enough(session: Session) -> None:
    marked = np.zeros((64, 64), np.uint8)
    marked[40, 20] = 128
    image = photo(64, 64)
    node = Inpaint(prompt="a", image=image, mask=values.Mask(marked), steps=1)
    result = run(node, session=session).numpy
    assert (result[marked == 0] == image.numpy[marked == 0]).all()


def test_a_mask_of_another_size_is_refused_with_both_sizes() -> None:
    node = Inpaint(prompt="a", image=photo(64, 64), mask=spot(64, 72), steps=1)
    text = refused_before_load(node)
    assert ".mask\n  found:  the mask is 64×72, and the image is 64×64" in text
    assert "resize the mask" in text


@pytest.mark.parametrize("least", [128, 255])
def test_a_mask_that_marks_all_is_refused(session: Session, least: int) -> None:
    mask = values.Mask(np.full((64, 80), least, np.uint8))
    node = Inpaint(prompt="a", image=photo(80, 64), mask=mask, steps=1)
    text = str(failure(node, session))
    assert "a mask that marks all of the picture of 80×64" in text
    assert "Text2Image" in text


@pytest.mark.parametrize("crop", [None, 3])
def test_the_least_black_pixel_is_enough(session: Session, crop: int | None) -> None:
    marked = np.full((64, 80), 255, np.uint8)
    marked[40, 20] = 0
    image = Image(noisy((64, 80, 3)))
    node = Inpaint(prompt="a", image=image, mask=values.Mask(marked), steps=1)
    result = run(node.replace(padding_mask_crop=crop), session=session).numpy
    assert (result[40, 20] == image.numpy[40, 20]).all()
    assert (result != image.numpy).any()


def test_without_a_picture_or_a_mask_it_says_which_is_missing() -> None:
    assert "Inpaint.mask" in refused_at_construction(Inpaint, prompt="a", image=photo(64, 64))
    assert "Inpaint.image" in refused_at_construction(Inpaint, prompt="a", mask=spot(64, 64))


def test_a_picture_as_mask_is_refused() -> None:
    picture_ = photo(64, 64)
    text = refused_at_construction(Inpaint, prompt="a", image=picture_, mask=picture_)
    assert "Inpaint.mask" in text
    assert "a Mask" in text
