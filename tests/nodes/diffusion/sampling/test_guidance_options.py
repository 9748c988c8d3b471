"""Rescaled guidance and skipped layers: the bits of diffusers, and where they are refused."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.nodes import ControlNet, Text2Image
from sdgraph.nodes.diffusion.families import FAMILIES
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.nodes.diffusion.random_checkpoints import make_checkpoint
from sdgraph.values import EdgeMap
from tests.support.bare_scripts import pipeline, same, script
from tests.support.failing_runs import refused_before_load
from tests.support.photos import photo

BASE = "tiny/text-to-image"
SIZE = {"width": 64, "height": 64}


@pytest.fixture(scope="module")
def stable_diffusion_3(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("random") / "stable-diffusion-3"
    make_checkpoint("stable-diffusion-3", folder)
    return Checkpoint(folder)


def node(**fields: Any) -> Text2Image:
    return Text2Image(prompt="a star", **{"steps": 3, **SIZE, **fields})


@pytest.mark.parametrize(
    ("cls", "checkpoint"),
    [("StableDiffusionPipeline", BASE), ("StableDiffusionXLPipeline", "tiny/sdxl")],
)
def test_rescaled_guidance_equals_the_script(session: Session, cls: str, checkpoint: str) -> None:
    call: dict[str, Any] = {"guidance_scale": 9.0, "guidance_rescale": 0.7, **SIZE}
    expected = script(cls, checkpoint, prompt="a star", steps=3, seed=0, **call)
    plain = node(checkpoint=Checkpoint(checkpoint), guidance=9.0)
    made = run(plain.replace(guidance_rescale=0.7), session=session)
    assert same(made.numpy, expected)
    assert made != run(plain, session=session)


def test_skipped_layers_equal_the_script(session: Session, stable_diffusion_3: Checkpoint) -> None:
    import torch

    plain = node(checkpoint=stable_diffusion_3, steps=11)
    made = run(plain.replace(skip_layers=[1]), session=session)
    pipe = pipeline("StableDiffusion3Pipeline", Path(stable_diffusion_3.source))
    output = pipe(
        "a star",
        negative_prompt="",
        num_inference_steps=11,
        generator=torch.Generator("cpu").manual_seed(0),
        skip_guidance_layers=[1],
        output_type="np",
        **SIZE,
    )
    assert same(made.numpy, to_pixels(output.images[0]))
    assert made != run(plain, session=session)


def test_the_families_say_which_pipelines_of_diffusers_have_them() -> None:
    import diffusers

    for family in FAMILIES:
        for task, name in family.pipelines.items():
            takes = set(inspect.signature(getattr(diffusers, name).__call__).parameters)
            guidance = family.guidance
            rescales = "guidance_rescale" in takes or guidance.guider != ""
            assert (task in guidance.rescaled_tasks) == rescales, name
            assert (task in guidance.skipping_tasks) == ("skip_guidance_layers" in takes), name


def test_the_families_say_which_pipelines_do_not_give_the_scale_to_the_u_net() -> None:
    import diffusers

    labels = {
        "AnimateDiff",
        "AnimateDiff XL",
        "Latent Consistency",
        "SDXL",
        "Stable Diffusion",
    }
    families = [family for family in FAMILIES if family.label in labels]
    assert len(families) == len(labels)
    for family in families:
        for task, name in family.pipelines.items():
            reads = "time_cond_proj_dim" in inspect.getsource(getattr(diffusers, name))
            assert (task in family.guidance.two_pass_tasks) != reads, name


def test_they_are_refused_where_no_pipeline_has_them(stable_diffusion_3: Checkpoint) -> None:
    edges = EdgeMap(photo(64, 64).numpy)
    controlled = ControlNet(control=edges, prompt="a", guidance_rescale=0.5)
    text = refused_before_load(controlled)
    assert "control_net.guidance_rescale" in text and "text-to-image" in text
    text = refused_before_load(node(skip_layers=[1]))
    assert "text2_image.skip_layers" in text and "for this family have none" in text
    text = refused_before_load(node(checkpoint=stable_diffusion_3, skip_layers=[1, 40]))
    assert "[1, 40]" in text and "which are 0 to" in text


def test_without_guidance_they_are_said_to_have_no_effect() -> None:
    (text,) = map(str, node(guidance=1.0, guidance_rescale=0.5).warnings())
    assert "guidance_rescale" in text and "no effect" in text
    assert list(node(guidance_rescale=0.5).warnings()) == []
