"""FLUX.1 Canny and Depth follow a control map without a ControlNet, with diffusers' own bits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, plan, run
from sdgraph.nodes import ControlNet, Text2Image
from sdgraph.nodes.diffusion.families import FAMILIES, Task, family_of, likely_family
from sdgraph.nodes.diffusion.inpaint import paste_masked
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.values import EdgeMap
from tests.support.failing_runs import problems_of

from .test_controlnet_pipelines import (
    EDGES,
    FROM_A_PICTURE,
    MASK,
    PHOTO,
    POSE,
    REPAINTED,
    SIZE,
    folders,
)

__all__ = ["folders"]

PICTURES: dict[Task, dict[str, Any]] = {
    "controlnet": {},
    "controlnet-image": FROM_A_PICTURE,
    "controlnet-inpaint": REPAINTED,
}


def node_for(folder: Path, **fields: Any) -> ControlNet:
    common: dict[str, Any] = {"prompt": "a red star", "control": EDGES, "steps": 2, "seed": 5}
    return ControlNet(**{"checkpoint": Checkpoint(folder), **common, **fields})


def by_diffusers(folder: Path, cls: str, **call: Any) -> Any:
    import diffusers
    import torch

    pipe = getattr(diffusers, cls).from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False)
    images = pipe(
        prompt="a red star",
        **SIZE,
        control_image=EDGES.rgb,
        guidance_scale=30.0,
        num_inference_steps=2,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
        **call,
    ).images
    return to_pixels(images[0])


@pytest.mark.parametrize(
    ("name", "task"), [("flux-control", task) for task in PICTURES], ids=PICTURES
)
def test_it_makes_what_diffusers_makes(folders: Any, name: str, task: Task) -> None:
    folder = folders(name)
    node = node_for(folder, **PICTURES[task])
    call = {
        "controlnet": {},
        "controlnet-image": {"image": PHOTO.rgb, "strength": 0.7},
        "controlnet-inpaint": {"image": PHOTO.rgb, "mask_image": MASK.pil, "strength": 0.8},
    }[task]
    expected = by_diffusers(folder, node.family.pipelines[task], **call)
    if task == "controlnet-inpaint":
        expected = paste_masked(PHOTO, expected, MASK).numpy
    session = Session(device="cpu", store=None)
    made = run(node, session=session)
    assert (made.numpy == expected).all() and made.numpy.std() > 10
    other = EdgeMap(np.zeros_like(EDGES.numpy))
    assert run(node.replace(control=other), session=session) != made, "it reads the map"


def test_its_usual_steps_and_guidance_are_those_of_its_authors(folders: Any) -> None:
    node = node_for(folders("flux-control"), steps=None)
    assert node.chosen_fields() == {"steps": 50, "guidance": 30.0}
    assert not [use for step in plan(node).steps for use in step.uses if "controlnet" in use.name]


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"scale": 0.7}, "which reads the control map itself"),
        ({"end": 0.5}, "start 0, end 0.5 for FLUX.1 Control"),
        ({"control": [EDGES, POSE]}, "2 control maps for FLUX.1 Control"),
        ({**REPAINTED, "control": None}, "none for FLUX.1 Control"),
        ({"reference": PHOTO, "ip_adapter": "a/b", "image_encoder": "a/c"}, "are not supported"),
    ],
)
def test_what_it_does_not_take_is_refused_before_any_load(
    folders: Any, fields: dict[str, Any], words: str
) -> None:
    text = problems_of(node_for(folders("flux-control"), **fields))
    assert words in text and text.count("found:") == 1


def test_a_controlnet_over_it_is_refused(folders: Any) -> None:
    network = Checkpoint(folders("flux-controlnet"))
    text = problems_of(node_for(folders("flux-control"), controlnet=network))
    assert "leave `controlnet` out, or take FLUX.1" in text


def test_other_nodes_say_which_node_takes_it(folders: Any) -> None:
    text = problems_of(Text2Image(prompt="a", checkpoint=Checkpoint(folders("flux-control"))))
    assert "FLUX.1 Control is for ControlNet; for Text2Image take FLUX.1" in text


@pytest.mark.parametrize(
    ("name", "label"), [("flux-control", "FLUX.1 Control"), ("flux-fill", "FLUX.1 Fill")]
)
def test_its_transformer_in_a_checkpoint_of_flux_makes_it_one(
    folders: Any, name: str, label: str
) -> None:
    mixed = Checkpoint(folders("flux"), transformer=str(folders(name) / "transformer"))
    family = family_of(mixed)
    assert family is not None and family.label == label
    if name == "flux-control":
        node = node_for(folders("flux"), checkpoint=mixed)
        whole = run(node_for(folders(name)), session=Session(device="cpu", store=None))
        # The text encoders and the autoencoder of both have other random weights.
        assert run(node, session=Session(device="cpu", store=None)).size == whole.size


@pytest.mark.parametrize(
    ("source", "label"),
    [
        ("black-forest-labs/FLUX.1-Canny-dev", "FLUX.1 Control"),
        ("black-forest-labs/FLUX.1-Depth-dev", "FLUX.1 Control"),
        ("random/flux-control", "FLUX.1 Control"),
        ("black-forest-labs/FLUX.1-dev", "FLUX.1"),
        ("stabilityai/stable-diffusion-xl-base-1.0", "SDXL"),
        ("someone/dreams", FAMILIES[0].label),
    ],
)
def test_the_name_of_one_that_is_not_here_suggests_its_family(source: str, label: str) -> None:
    assert likely_family(Checkpoint(source), "controlnet").label == label
