"""Pictures like another one by Stable Diffusion that reads pictures, with diffusers' own bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, Session, plan, run
from sdgraph.nodes import Text2Image, Variation
from sdgraph.nodes.diffusion.families import Task
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from tests.support.failing_runs import problems_of

from .test_edit_pipelines import OTHER, folders
from .test_pipelines import PHOTO, SIZE

__all__ = ["folders"]


def variation(folder: Path, **fields: Any) -> Variation:
    settings: dict[str, Any] = {"steps": 3, "seed": 5, "image": PHOTO, **SIZE, **fields}
    return Variation(checkpoint=Checkpoint(folder), **settings)


@pytest.mark.parametrize(("name", "task"), [("image-variation", "variation")])
@pytest.mark.parametrize("guidance", [7.5, 1.0])
def test_it_makes_what_diffusers_makes(
    folders: Any, name: str, task: Task, guidance: float
) -> None:
    import diffusers
    import torch

    folder = folders(name)
    node = variation(folder, guidance=guidance)
    assert node.task() == task and not problems_of(node)
    cls = getattr(diffusers, node.family.pipelines[task])
    pipe = cls.from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    made = pipe(
        PHOTO.rgb,
        num_inference_steps=3,
        guidance_scale=guidance,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
        **SIZE,
    ).images
    session = Session(device="cpu", store=None)
    ours = run(node, session=session)
    assert (ours.numpy == to_pixels(made[0])).all() and ours.numpy.std() > 10
    assert run(node.replace(image=OTHER), session=session) != ours


def test_it_loads_what_reads_the_picture_and_no_text_encoder(folders: Any) -> None:
    node = variation(folders("image-variation"), width=None, height=None, steps=None)
    (step,) = plan(node).steps
    assert {use.name for use in step.uses} == {"vae", "unet", "image_encoder", "feature_extractor"}
    assert node.chosen_fields() == {"steps": 50, "guidance": 7.5, "width": 64, "height": 64}


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"prompt": "a star"}, "a text for Stable Diffusion Image Variation"),
        ({"redux": Checkpoint("random/flux-redux")}, "one for Stable Diffusion Image Variation"),
        ({"image": [PHOTO, OTHER]}, "2 pictures for Stable Diffusion Image Variation"),
    ],
)
def test_what_it_does_not_read_is_refused_before_any_load(
    folders: Any, fields: dict[str, Any], words: str
) -> None:
    text = problems_of(variation(folders("image-variation"), **fields))
    assert words in text and text.count("found:") == 1


def test_flux_needs_what_reads_the_picture(folders: Any) -> None:
    text = problems_of(variation(folders("flux")))
    assert "none for FLUX.1" in text and "add `redux:" in text


def test_other_nodes_say_which_node_takes_it(folders: Any) -> None:
    text = problems_of(Text2Image(prompt="a", checkpoint=Checkpoint(folders("image-variation"))))
    assert "Stable Diffusion Image Variation is for Variation" in text
