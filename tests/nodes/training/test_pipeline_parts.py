"""The parts of a pipeline: found by what their family says that they are for."""

from __future__ import annotations

from dataclasses import replace

import pytest

from sdgraph import Checkpoint
from sdgraph.errors import CheckpointError
from sdgraph.nodes.diffusion.families import SDXL, STABLE_DIFFUSION
from sdgraph.nodes.training.loading import load_parts, load_text_parts, untrained_parts
from sdgraph.nodes.training.pipeline_parts import PipelineParts, make_pipeline

BASE = Checkpoint("tiny/text-to-image")


def test_parts_are_found_by_what_they_are_for() -> None:
    family = replace(SDXL, denoiser=replace(SDXL.denoiser, name="network"))
    names = ("network", "vae", "text_encoder", "text_encoder_2", "tokenizer", "tokenizer_2")
    parts = PipelineParts(family, {name: name.upper() for name in (*names, "scheduler")})
    assert (parts.denoiser, parts.decoder, parts.scheduler) == ("NETWORK", "VAE", "SCHEDULER")
    assert parts.text_encoders == ("TEXT_ENCODER", "TEXT_ENCODER_2")
    assert parts.tokenizers == ("TOKENIZER", "TOKENIZER_2")


def test_a_union_is_a_new_object_of_the_same_family() -> None:
    parts = PipelineParts(STABLE_DIFFUSION, {"unet": 1, "vae": 2})
    other = parts | {"unet": 3, "controlnet": 4}
    assert dict(other) == {"unet": 3, "vae": 2, "controlnet": 4}
    assert other.family is STABLE_DIFFUSION
    assert dict(parts) == {"unet": 1, "vae": 2}


def test_a_pipeline_has_the_modules_and_a_scheduler_of_its_own() -> None:
    parts = load_parts(BASE)
    pipe = make_pipeline(parts, "text-to-image")
    assert type(pipe).__name__ == "StableDiffusionPipeline"
    assert pipe.unet is parts.denoiser
    assert pipe.scheduler is not parts.scheduler
    assert pipe.scheduler.config == parts.scheduler.config


def test_all_components_of_the_family_are_loaded_or_those_that_are_named() -> None:
    assert set(load_parts(BASE)) == {*STABLE_DIFFUSION.components, "scheduler"}
    assert set(load_text_parts(BASE)) == {"text_encoder", "tokenizer"}


def test_fresh_modules_draw_their_weights_in_the_order_of_their_names() -> None:
    import torch

    names = ("text_encoder", "unet")
    first, second, reverse = (
        untrained_parts(BASE, order, 0) for order in (names, names, names[::-1])
    )
    weights = [parts.denoiser.conv_in.weight for parts in (first, second, reverse)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])


def test_a_single_model_is_no_pipeline() -> None:
    with pytest.raises(CheckpointError, match="a single model, not a pipeline"):
        load_parts(Checkpoint("tiny/controlnet-edges"))
