"""The kinds of Stable Diffusion make the bits of diffusers' own pipelines."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.events import Event, Stepped
from sdgraph.nodes import Edit, Image2Image, Text2Image, Turbo, Upscale
from sdgraph.nodes.diffusion.families import Task, family_of
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.nodes.diffusion.turbo import steps_by_name
from sdgraph.values import Image
from tests.support.failing_runs import problems_of

from .test_pipelines import PHOTO, PROMPTS, SIZE, folders, node_for, noise, warnings_of

__all__ = ["folders"]

PROMPT = {"prompt": PROMPTS["prompt"]}
PICTURE = {"image": PHOTO.rgb}
EDIT = {**PROMPTS, **PICTURE, "image_guidance_scale": 1.5}

CASES: dict[tuple[str, Task], dict[str, Any]] = {
    ("instruct-pix2pix", "edit"): {**EDIT, "guidance_scale": 7.5},
    ("instruct-pix2pix-xl", "edit"): {**EDIT, **SIZE, "guidance_scale": 5.0},
    ("latent-consistency", "text-to-image"): {**PROMPT, **SIZE, "guidance_scale": 8.5},
    ("latent-consistency", "image-to-image"): {
        **PROMPT,
        **PICTURE,
        "strength": 0.6,
        "guidance_scale": 8.5,
    },
    ("sdxl-refiner", "image-to-image"): {
        **PROMPTS,
        **PICTURE,
        "strength": 0.6,
        "guidance_scale": 7.5,
    },
    ("x4-upscaler", "upscale"): {**PROMPTS, **PICTURE, "noise_level": 20, "guidance_scale": 9.0},
}
"""The arguments of the pipeline's call for each checkpoint and task."""


def by_diffusers(folder: Path, task: Task, **arguments: Any) -> Any:
    """The pixels of a pipeline that diffusers loads itself."""
    import diffusers
    import torch

    family = family_of(Checkpoint(folder))
    assert family is not None
    pipe = getattr(diffusers, family.pipelines[task]).from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    made = pipe(
        num_inference_steps=3,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
        **arguments,
    )
    return to_pixels(made.images[0])


def upscale(checkpoint: Checkpoint, image: Image = PHOTO) -> Upscale:
    fields: dict[str, Any] = {**PROMPTS, "steps": 3, "seed": 5}
    return Upscale(checkpoint=checkpoint, image=image, **fields)


def test_an_enlarged_picture_has_four_times_the_sides(folders: Any) -> None:
    checkpoint = Checkpoint(folders("x4-upscaler"))
    node = upscale(checkpoint, Image(noise(34, 42, 3)))
    seen: list[Event] = []
    made = run(node, session=Session(device="cpu", store=None), on_event=seen.append)
    assert made.size == (168, 136) == node.planned_size()
    steps = [(event.step, event.total) for event in seen if isinstance(event, Stepped)]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    second_order = upscale(checkpoint).replace(scheduler="heun")
    seen.clear()
    run(second_order, session=Session(device="cpu", store=None), on_event=seen.append)
    steps = [(event.step, event.total) for event in seen if isinstance(event, Stepped)]
    assert steps == [(1, 3), (2, 3), (3, 3)]
    text = problems_of(node_for("text-to-image", checkpoint))
    assert "Stable Diffusion x4 upscaler is for Upscale; for Text2Image take" in text


@pytest.mark.parametrize(("name", "task"), CASES)
def test_it_makes_what_diffusers_makes(folders: Any, name: str, task: Task) -> None:
    checkpoint = Checkpoint(folders(name))
    node = upscale(checkpoint) if task == "upscale" else node_for(task, checkpoint)
    assert not problems_of(node)
    made = run(node, session=Session(device="cpu", store=None))
    assert made.numpy.std() > 10, "it shows something"
    assert (made.numpy == by_diffusers(folders(name), task, **CASES[name, task])).all()


def test_the_picture_is_followed_as_image_guidance_says(folders: Any) -> None:
    folder = folders("instruct-pix2pix")
    node = node_for("edit", Checkpoint(folder), image_guidance=3.0)
    made = run(node, session=Session(device="cpu", store=None))
    arguments = {**CASES["instruct-pix2pix", "edit"], "image_guidance_scale": 3.0}
    assert (made.numpy == by_diffusers(folder, "edit", **arguments)).all()
    assert node_for("edit", Checkpoint(folder)).chosen_fields() == {
        "guidance": 7.5,
        "image_guidance": 1.5,
    }
    assert not warnings_of(node)
    (line,) = warnings_of(node.replace(guidance=1.0, negative_prompt=""))
    assert "3 with guidance 1" in line
    kontext = node_for("edit", Checkpoint(folders("flux-kontext")), image_guidance=3.0)
    text = problems_of(kontext)
    assert "3 for FLUX.1 Kontext, which takes none" in text
    assert "InstructPix2Pix XL and InstructPix2Pix" in text


def test_a_refiner_goes_over_pictures_alone_and_takes_a_score(folders: Any) -> None:
    folder = folders("sdxl-refiner")
    node = node_for("image-to-image", Checkpoint(folder), aesthetic_score=8.0)
    assert isinstance(node, Image2Image) and "text_encoder" not in node.parts()
    assert not warnings_of(node)
    made = run(node, session=Session(device="cpu", store=None))
    arguments = {**CASES["sdxl-refiner", "image-to-image"], "aesthetic_score": 8.0}
    assert (made.numpy == by_diffusers(folder, "image-to-image", **arguments)).all()
    long = node.replace(prompt="a (red:1.2) star " * 40)
    assert run(long, session=Session(device="cpu", store=None)) != made
    text = problems_of(node_for("text-to-image", Checkpoint(folder)))
    assert "a SDXL checkpoint for Image2Image and Inpaint" in text
    assert "for example stabilityai/stable-diffusion-xl-base-1.0" in text
    other = node_for("image-to-image", Checkpoint("tiny/text-to-image"), aesthetic_score=8.0)
    assert "8 for tiny/text-to-image, which reads none" in problems_of(other)


def test_a_latent_consistency_model_has_no_negative_prompt(folders: Any) -> None:
    node = node_for("text-to-image", Checkpoint(folders("latent-consistency")), steps=None)
    assert not node.is_guided
    assert node.chosen_fields() == {"steps": 4, "guidance": 8.5}
    (line,) = warnings_of(node)
    assert "latent-consistency, which has no effect" in line


@pytest.mark.parametrize(
    ("name", "steps", "guidance"),
    [
        ("flux-schnell", 4, 0.0),
        ("flux", 8, 3.5),
        ("flux2-klein", 4, 0.0),
        ("z-image", 9, 0.0),
        ("stable-diffusion-3", 4, 0.0),
        ("latent-consistency", 4, 8.5),
    ],
)
def test_turbo_takes_what_a_distilled_checkpoint_needs(
    folders: Any, name: str, steps: int, guidance: float
) -> None:
    checkpoint = Checkpoint(folders(name))
    node = Turbo(prompt="a red star", checkpoint=checkpoint, width=64, height=64)
    assert node.chosen_fields() == {"steps": steps, "guidance": guidance}
    assert not problems_of(node)
    if name == "flux2-klein":
        return
    start = Turbo(prompt="a red star", checkpoint=checkpoint, image=PHOTO, strength=0.1)
    assert start.chosen_fields() == {"steps": max(steps, 10), "guidance": guidance}
    assert not problems_of(start)


def test_turbo_makes_what_text_to_image_makes_of_the_same_settings(folders: Any) -> None:
    session = Session(device="cpu", store=None)
    for name in ("flux-schnell", "latent-consistency"):
        fields: dict[str, Any] = {"prompt": "a", "checkpoint": Checkpoint(folders(name)), **SIZE}
        assert run(Turbo(**fields), session=session) == run(Text2Image(**fields), session=session)


def test_the_name_of_a_distilled_model_tells_its_steps() -> None:
    for name, steps in (
        ("ByteDance/SDXL-Lightning/sdxl_lightning_2step_unet.safetensors", 2),
        ("Hyper-SDXL-8steps", 8),
        ("latent-consistency/lcm-sdxl", 4),
        ("stabilityai/sdxl-turbo", None),
        ("footsteps", None),
    ):
        assert steps_by_name(name) == steps


def test_a_checkpoint_for_other_tasks_says_which_and_names_its_kin(folders: Any) -> None:
    fill = node_for("edit", Checkpoint(folders("flux-fill")))
    text = problems_of(fill)
    assert "FLUX.1 Fill is for Inpaint; for Edit take FLUX.1 Kontext" in text
    kontext = node_for("text-to-image", Checkpoint(folders("flux-kontext")))
    assert "FLUX.1 Kontext is for Edit and Inpaint; for Text2Image take FLUX.1" in problems_of(
        kontext
    )
    assert isinstance(fill, Edit)
