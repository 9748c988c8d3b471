"""Each family of video makes the bits of diffusers' own pipeline."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.events import Event, Stepped
from sdgraph.nodes import Text2Video
from sdgraph.nodes.diffusion.families import family_of
from sdgraph.nodes.diffusion.pipeline_io import to_pixels
from sdgraph.nodes.diffusion.random_checkpoints import make_checkpoint

CASES = {"wan": 5, "ltx-video": 9}
"""The checkpoints with random weights, each with the number of frames to make."""


@pytest.fixture(scope="module", params=CASES)
def checkpoint(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("random") / str(request.param)
    make_checkpoint(str(request.param), folder)
    return folder


def node_for(folder: Path, **fields: Any) -> Text2Video:
    settings = {
        "prompt": "a red star",
        "negative_prompt": "a blue ring",
        "frames": CASES[folder.name],
        "width": 64,
        "height": 64,
        "steps": 2,
        "seed": 5,
        "checkpoint": Checkpoint(folder),
    }
    return Text2Video(**{**settings, **fields})


def problems_of(node: Text2Video) -> str:
    return "\n".join(str(problem) for problem in node.check())


def test_it_makes_what_diffusers_makes(checkpoint: Path) -> None:
    import diffusers
    import torch

    node = node_for(checkpoint)
    family = family_of(Checkpoint(checkpoint))
    assert family is not None
    cls = getattr(diffusers, family.pipelines["text-to-video"])
    pipe = cls.from_pretrained(checkpoint, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    frames = pipe(
        prompt="a red star",
        negative_prompt="a blue ring",
        num_frames=node.frames,
        width=64,
        height=64,
        num_inference_steps=2,
        guidance_scale=node.chosen_guidance,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
    ).frames
    seen: list[Event] = []
    made = run(node, session=Session(device="cpu", store=None), on_event=seen.append)
    steps = [(event.step, event.total) for event in seen if isinstance(event, Stepped)]
    assert made.fps == node.chosen_fps and len(made) == node.frames
    assert made.frames.std() > 10 and (made.frames == to_pixels(np.asarray(frames)[0])).all()
    assert steps[-1] == (2, 2)


def test_the_number_of_frames_is_checked_before_any_load(checkpoint: Path) -> None:
    assert not problems_of(node_for(checkpoint))
    count = CASES[checkpoint.name]
    text = problems_of(node_for(checkpoint, frames=count + 1))
    assert f"{count + 1} frames" in text and f"for example {count}" in text
    assert "a multiple of" in problems_of(node_for(checkpoint, width=72))


def test_seconds_become_a_number_of_frames_that_it_can_make(checkpoint: Path) -> None:
    node = node_for(checkpoint, frames=None, seconds=1.0)
    assert not problems_of(node)
    assert abs(node.batch_size() - node.chosen_fps) <= CASES[checkpoint.name]
    assert node.chosen_fields()["fps"] in (16.0, 25.0)


def test_a_named_scheduler_of_flow_matching_runs(checkpoint: Path) -> None:
    node = node_for(checkpoint, scheduler="flow-euler")
    assert run(node, session=Session(device="cpu", store=None)).frames.std() > 10
