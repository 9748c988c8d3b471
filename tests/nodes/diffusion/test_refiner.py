"""The last steps by a refiner give the bits of diffusers' two pipelines, one after the other."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint, Graph, Session, plan, run
from sdgraph.events import Event, Stepped
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import Text2Image
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.nodes.diffusion.random_checkpoints import make_checkpoint
from sdgraph.store import Store
from tests.support.failing_runs import refused_at_construction, refused_before_load

PROMPTS = {"prompt": "a red star", "negative_prompt": "a blue ring"}


@pytest.fixture(scope="module")
def refiner(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    folder = tmp_path_factory.mktemp("refiner")
    make_checkpoint("sdxl-refiner", folder)
    shutil.rmtree(folder / "vae")
    shutil.copytree(shipped_folder("tiny/sdxl") / "vae", folder / "vae")
    return Checkpoint(folder)


def node(refiner: object, **fields: Any) -> Text2Image:
    common: dict[str, Any] = {**PROMPTS, "steps": 5, "seed": 3, "guidance": 5.0}
    return Text2Image(
        **{**common, "checkpoint": Checkpoint("tiny/sdxl"), "refiner": refiner, **fields}
    )


def by_diffusers(refiner: Checkpoint, start: float) -> Any:
    import diffusers
    import torch

    base = diffusers.StableDiffusionXLPipeline.from_pretrained(
        shipped_folder("tiny/sdxl"), dtype=torch.float32
    )
    second = diffusers.StableDiffusionXLImg2ImgPipeline.from_pretrained(
        Path(refiner.source), dtype=torch.float32
    )
    common: dict[str, Any] = {**PROMPTS, "num_inference_steps": 5, "guidance_scale": 5.0}
    for pipe in (base, second):
        pipe.set_progress_bar_config(disable=True)
        for part in pipe.components.values():
            if isinstance(part, torch.nn.Module):
                part.requires_grad_(False)
    latents = base(
        **common,
        denoising_end=start,
        output_type="latent",
        generator=torch.Generator().manual_seed(3),
    ).images
    made = second(
        **common,
        denoising_start=start,
        image=latents,
        output_type="np",
        generator=torch.Generator().manual_seed(3),
    )
    return to_pixels(made.images[0])


@pytest.mark.parametrize("start", [0.8, 0.4])
def test_it_makes_what_the_two_pipelines_make(
    session: Session, refiner: Checkpoint, start: float
) -> None:
    seen: list[Event] = []
    made = run(node(refiner, refiner_start=start), session=session, on_event=seen.append)
    steps = [(event.step, event.total) for event in seen if isinstance(event, Stepped)]
    assert steps == [(number, 5) for number in range(1, 6)]
    assert (made.numpy == by_diffusers(refiner, start)).all() and made.numpy.std() > 5
    assert made != run(node(None), session=session)


def test_the_plan_has_both_and_a_new_seed_embeds_no_prompt_again(refiner: Checkpoint) -> None:
    session = Session(device="cpu", store=Store())
    first = node(refiner)
    (step,) = plan(first).steps
    assert {"unet", "refiner_unet", "refiner_text_encoder_2", "text_encoder"} <= {
        use.name for use in step.uses
    }
    assert {stage.name for stage in step.stages} == {"prompt", "refiner_prompt"}
    run(first, session=session)
    (again,) = session.plan(Graph.of(first.replace(seed=4))).steps
    assert not [use.name for use in again.uses if "text_encoder" in use.name]


def test_a_refiner_counts_in_memory(refiner: Checkpoint) -> None:
    plain, refined = node(None), node(refiner)
    assert refined.working_memory({}, "float32") >= plain.working_memory({}, "float32")


def test_what_does_not_fit_is_refused_before_any_load(refiner: Checkpoint, tmp_path: Path) -> None:
    other = node(refiner, checkpoint=Checkpoint("tiny/text-to-image"))
    assert "none: it is for SDXL" in refused_before_load(other)
    text = refused_before_load(node(Checkpoint("tiny/text-to-image")))
    assert "a Stable Diffusion checkpoint" in text and "a refiner of SDXL" in text
    make_checkpoint("sdxl-refiner", tmp_path)
    text = refused_before_load(node(Checkpoint(tmp_path)))
    assert "for latents 8 times smaller than the picture" in text and "(4 times)" in text
    text = refused_before_load(node(refiner, steps=3))
    assert "0.8 of 3 steps" in text and "refiner_start" in text
    text = refused_at_construction(Text2Image, prompt="a", refiner_start=0.5)
    assert "refiner_start is set" in text
