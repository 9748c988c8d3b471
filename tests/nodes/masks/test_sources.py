"""Masks from files, from transparency and from colours."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from sdgraph import Session, run, values
from sdgraph.media import read_image
from sdgraph.nodes import MaskFromAlpha, MaskFromColor, MaskFromFile
from sdgraph.nodes.tiny_world import COLOURS, random_scene, render_masks, render_scene
from sdgraph.values import Image
from tests.support.failing_runs import failure, refused_at_construction, refused_before_load
from tests.support.photos import clear_photo, photo


def test_a_file_is_its_brightness(session: Session, photo_file: Path) -> None:
    if read_image(photo_file).mode == "RGBA":  # colours, and an alpha that varies
        assert "MaskFromAlpha" in refused_before_load(MaskFromFile(path=photo_file))
        return
    result = run(MaskFromFile(path=photo_file), session=session)
    assert result == values.Mask.from_pil(read_image(photo_file))
    assert result.size == (75, 53)


def test_a_file_that_is_no_picture_is_refused_before_anything_runs(tmp_path: Path) -> None:
    (path := tmp_path / "mask.png").write_text("no picture")
    text = refused_before_load(MaskFromFile(path=path))
    assert "mask_from_file.path" in text and str(path) in text


def test_alpha_marks_what_is_transparent(session: Session) -> None:
    image = clear_photo(40, 30)
    result = run(MaskFromAlpha(image=image), session=session)
    assert (result.numpy == 255 - image.numpy[..., 3]).all()


def test_alpha_of_an_opaque_picture_is_refused(session: Session) -> None:
    text = str(failure(MaskFromAlpha(image=photo(8, 8)), session))
    assert "image\n  found:  no alpha channel" in text


@pytest.mark.parametrize("seed", range(8))
def test_the_colour_of_a_thing_marks_the_thing(session: Session, seed: int) -> None:
    example = random_scene(seed, objects=1)
    (obj,) = example.objects
    color = "#{:02x}{:02x}{:02x}".format(*COLOURS[obj.colour])
    node = MaskFromColor(image=Image(render_scene(example)), color=color, tolerance=20)
    result, truth = run(node, session=session).numpy > 0, render_masks(example)[0] > 0
    assert (result & truth).sum() / (result | truth).sum() > 0.9


@pytest.mark.parametrize("channels", [3, 4])
@pytest.mark.parametrize("tolerance", [0, 1, 32, 254, 255])
def test_every_channel_must_be_within_the_tolerance(channels: int, tolerance: int) -> None:
    pixels = np.random.default_rng(1).integers(0, 256, (60, 50, channels), np.uint8)
    pixels[0, 0, :3] = (255, 0, 0)
    near = np.abs(pixels[..., :3].astype(int) - (255, 0, 0)).max(axis=2) <= tolerance
    for name in ("red", "#ff0000", "#f00", "rgb(255,0,0)", "#ff000080"):
        image = Image(pixels)
        result = MaskFromColor(image=image, color=name, tolerance=tolerance).run(image)
        assert (result.numpy == np.where(near, 255, 0)).all()


def test_a_colour_that_is_nowhere_is_refused(session: Session) -> None:
    node = MaskFromColor(image=Image(np.zeros((3, 4, 3), np.uint8)), color="lime", tolerance=9)
    text = str(failure(node, session))
    assert "lime\n  found:  it marks nothing in the picture of 4×3\n  wanted: a colour" in text


def test_an_unknown_colour_is_refused() -> None:
    text = refused_at_construction(MaskFromColor, image=photo(8, 8), color="no such colour")
    assert "MaskFromColor.color" in text and "#rrggbb" in text
