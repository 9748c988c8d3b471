"""Text2Image and Image2Image give the pictures of the bare diffusers scripts."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.nodes import Image2Image, LoadImage, Text2Image
from tests.support.bare_scripts import same, script
from tests.support.failing_runs import refused_at_construction
from tests.support.photos import clear_photo, convert_mode, photo, picture

PIPELINES = {
    "tiny/text-to-image": ("StableDiffusionPipeline", "StableDiffusionImg2ImgPipeline"),
    "tiny/sdxl": ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
    "tiny/turbo": ("StableDiffusionXLPipeline", "StableDiffusionXLImg2ImgPipeline"),
}
DDIM: tuple[str, dict[str, Any]] = ("DDIMScheduler", {})
KARRAS = ("DPMSolverMultistepScheduler", {"use_karras_sigmas": True})
LONG = "a red star " * 25  # 75 tokens: all that these text encoders read at once


@pytest.mark.parametrize("checkpoint", PIPELINES)
@pytest.mark.parametrize(
    "fields",
    [
        {"prompt": "a red star", "steps": 2},
        {"prompt": "a cat", "negative_prompt": "a dog", "steps": 3, "seed": 7, "guidance": 3.0},
        {"prompt": "", "steps": 2, "seed": 2**63 - 1, "width": 64, "height": 104},
        {"prompt": "no guidance", "steps": 3, "guidance": 1.0, "width": 72},
        {"prompt": "guidance of zero", "steps": 1, "guidance": 0.0, "height": 64},
        {"prompt": LONG, "negative_prompt": LONG, "steps": 2, "width": 64, "height": 64},
    ],
)
def test_text_to_image_equals_the_script(
    session: Session, checkpoint: str, fields: dict[str, Any]
) -> None:
    result = run(Text2Image(checkpoint=Checkpoint(checkpoint), **fields), session=session)
    call = {"guidance_scale": fields.get("guidance", 7.5), "seed": fields.get("seed", 0)}
    rest = {k: v for k, v in fields.items() if k not in ("guidance", "seed")}
    assert same(result.numpy, script(PIPELINES[checkpoint][0], checkpoint, **call, **rest))


@pytest.mark.parametrize("checkpoint", PIPELINES)
@pytest.mark.parametrize(("name", "scheduler"), [("ddim", DDIM), ("dpm++-karras", KARRAS)])
def test_a_named_scheduler_equals_the_script_that_swaps_it(
    session: Session, checkpoint: str, name: Any, scheduler: Any
) -> None:
    node = Text2Image(
        prompt="a star", checkpoint=Checkpoint(checkpoint), scheduler=name, steps=3, seed=5
    )
    expected = script(
        PIPELINES[checkpoint][0], checkpoint, prompt="a star", scheduler=scheduler, steps=3, seed=5
    )
    if checkpoint == "tiny/text-to-image":
        assert same(run(node, session=session).numpy, expected)
    else:
        # The SDXL pipelines guide by 5 by default.
        assert not same(run(node, session=session).numpy, expected)
        assert same(run(node.replace(guidance=5.0), session=session).numpy, expected)


@pytest.mark.parametrize("checkpoint", PIPELINES)
@pytest.mark.parametrize(
    ("fields", "scheduler"),
    [
        ({"steps": 4, "strength": 0.5}, None),
        ({"steps": 2, "strength": 1.0, "seed": 9, "negative_prompt": "rain"}, None),
        ({"steps": 3, "strength": 0.34, "guidance": 1.0, "scheduler": "ddim"}, DDIM),
        ({"steps": 4, "strength": 0.8, "guidance": 4.5, "scheduler": "dpm++-karras"}, KARRAS),
    ],
)
def test_image_to_image_equals_the_script(
    session: Session, checkpoint: str, fields: dict[str, Any], scheduler: Any
) -> None:
    start = photo(96, 72)
    node = Image2Image(
        prompt="a painting", image=start, checkpoint=Checkpoint(checkpoint), **fields
    )
    call = {
        "guidance_scale": fields.get("guidance", 7.5),
        "seed": fields.get("seed", 0),
        "steps": fields["steps"],
        "strength": fields["strength"],
        "negative_prompt": fields.get("negative_prompt"),
    }
    expected = script(
        PIPELINES[checkpoint][1],
        checkpoint,
        prompt="a painting",
        image=picture(96, 72),
        scheduler=scheduler,
        **call,
    )
    assert same(run(node, session=session).numpy, expected)


def test_without_a_size_it_makes_the_checkpoints_own(session: Session) -> None:
    assert run(Text2Image(prompt="a", steps=1), session=session).size == (64, 64)


def test_seeds_differ_and_one_seed_repeats(session: Session) -> None:
    node = Text2Image(prompt="a star", steps=2, width=64, height=64)
    first, again = (run(node, session=session) for _ in range(2))
    others = [run(node.replace(seed=seed), session=session) for seed in (1, 2, 2**32 - 1)]
    assert first == again
    assert len({first, *others}) == 4


def test_of_a_seed_the_low_32_bits_count_as_in_torch(session: Session) -> None:
    node = Text2Image(prompt="a star", steps=1, width=64, height=64, seed=5)
    assert run(node, session=session) == run(node.replace(seed=2**32 + 5), session=session)
    assert "32 bits" in str(Text2Image.model_fields["seed"].description)


@pytest.mark.parametrize(
    "change",
    [
        {"prompt": "a blue house"},
        {"negative_prompt": "a blue house"},
        {"guidance": 2.0},
        {"steps": 3},
        {"scheduler": "euler"},
        {"checkpoint": "tiny/sdxl"},
    ],
)
def test_every_parameter_changes_the_picture(session: Session, change: dict[str, Any]) -> None:
    node = Text2Image(prompt="a star", steps=2, width=64, height=64)
    assert run(node, session=session) != run(node.replace(**change), session=session)


def test_bfloat16_equals_the_script_in_bfloat16(session: Session) -> None:
    checkpoint = Checkpoint("tiny/text-to-image", dtype="bfloat16")
    result = run(Text2Image(prompt="a star", steps=2, checkpoint=checkpoint), session=session)
    expected = script(
        "StableDiffusionPipeline",
        "tiny/text-to-image",
        prompt="a star",
        steps=2,
        seed=0,
        dtype="bfloat16",
    )
    assert same(result.numpy, expected)


def test_alpha_and_grey_start_pictures_equal_their_rgb(session: Session) -> None:
    clear = clear_photo(64, 64)
    node = Image2Image(prompt="a", image=clear, steps=2)
    opaque = node.replace(image=type(clear)(clear.numpy[..., :3].copy()))
    assert run(node, session=session) == run(opaque, session=session)


def test_a_picture_at_a_size_no_network_takes_is_padded_and_cut_back(session: Session) -> None:
    odd = photo(75, 53)
    result = run(Image2Image(prompt="a", image=odd, steps=3), session=session)
    pixels = np.pad(odd.numpy, ((0, 64 - 53), (0, 80 - 75), (0, 0)), mode="edge")
    expected = script(
        "StableDiffusionImg2ImgPipeline",
        "tiny/text-to-image",
        prompt="a",
        steps=3,
        seed=0,
        image=type(odd)(pixels).pil,
        strength=0.8,
    )
    assert result.size == (75, 53)
    assert same(result.numpy, expected[:53, :75])


def test_a_loaded_grey_photo_starts_a_picture(session: Session, tmp_path: Any) -> None:
    convert_mode(picture(64, 64), "L").save(path := tmp_path / "grey.png")
    result = run(Image2Image(prompt="a", image=LoadImage(path=path), steps=2), session=session)
    expected = script(
        "StableDiffusionImg2ImgPipeline",
        "tiny/text-to-image",
        prompt="a",
        steps=2,
        seed=0,
        image=picture(64, 64).convert("L").convert("RGB"),
    )
    assert same(result.numpy, expected)


def test_strength_is_refused_outside_its_range() -> None:
    for strength in (-0.1, 1.1, float("nan")):
        text = refused_at_construction(
            Image2Image, prompt="a", image=photo(64, 64), strength=strength
        )
        assert "Image2Image.strength" in text
