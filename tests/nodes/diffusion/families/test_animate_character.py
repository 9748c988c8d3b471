"""A character moves as a person in a video does: the bits of diffusers' own pipeline."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.events import Event, Stepped
from sdgraph.nodes import AnimateCharacter
from sdgraph.nodes.diffusion.families import Task
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.values import Mask, Video
from tests.support.failing_runs import problems_of

from .test_video_control import LEFT, MASKS
from .test_video_pipelines import CLIP, picture

pytestmark = pytest.mark.usefixtures("ftfy")

FACES = Video(CLIP.frames[:9, 8:24, 8:24], 12)
POSES = Video(CLIP.frames[:9], 12)
SCENE = Video(255 - CLIP.frames[:9], 12)


def node_for(folder: Path, way: str = "animate", **fields: Any) -> AnimateCharacter:
    settings: dict[str, Any] = {
        "image": picture(3),
        "pose": POSES,
        "face": FACES,
        "prompt": "a red star",
        "negative_prompt": "a blue ring",
        "guidance": 2.0,
        "steps": 2,
        "seed": 5,
        "checkpoint": Checkpoint(folder),
    }
    if way == "replace":
        settings |= {"background": SCENE, "mask": LEFT, "segment": 5}
    return AnimateCharacter(**{**settings, **fields})


@pytest.mark.parametrize(
    ("name", "task", "way", "segment"),
    [("wan-animate", "animate", "animate", 9), ("wan-animate", "animate", "replace", 5)],
)
def test_it_makes_what_diffusers_makes(
    random_folder: Callable[[str], Path], name: str, task: Task, way: str, segment: int
) -> None:
    import diffusers
    import torch

    folder = random_folder(name)
    node = node_for(folder, way)
    assert not problems_of(node) and node.task() == task and node.batch_size() == segment
    pipe = diffusers.WanAnimatePipeline.from_pretrained(folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    more: dict[str, Any] = {}
    if way == "replace":
        mask, black = PIL.Image.fromarray(LEFT.numpy), PIL.Image.new("RGB", (64, 64))
        scene = [PIL.Image.composite(black, PIL.Image.fromarray(f), mask) for f in SCENE.frames]
        more = {"mode": "replace", "background_video": scene, "mask_video": [mask] * 9}
    expected = pipe(
        image=picture(3).rgb,
        pose_video=[PIL.Image.fromarray(frame) for frame in POSES.frames],
        face_video=[PIL.Image.fromarray(frame) for frame in FACES.frames],
        prompt="a red star",
        negative_prompt="a blue ring",
        width=64,
        height=64,
        segment_frame_length=segment,
        num_inference_steps=2,
        guidance_scale=2.0,
        generator=torch.Generator().manual_seed(5),
        output_type="np",
        **more,
    ).frames
    seen: list[Event] = []
    made = run(node, session=Session(device="cpu", store=None), on_event=seen.append)
    assert len(made) == 9 and made.fps == 12
    assert made.frames.std() > 10 and (made.frames == to_pixels(np.asarray(expected)[0])).all()
    steps = [(event.step, event.total) for event in seen if isinstance(event, Stepped)]
    total = 2 if way == "animate" else 4  # of two segments
    assert steps == [(number + 1, total) for number in range(total)]


def test_a_segment_is_as_long_as_the_video_or_as_usual(
    random_folder: Callable[[str], Path],
) -> None:
    node = node_for(random_folder("wan-animate"))
    assert node.chosen_fields()["segment"] == 9 and node.frame_range() == (9, 9)
    long = Video(np.zeros((100, 64, 64, 3), np.uint8), 12)
    assert node.replace(pose=long, face=long).batch_size() == 77
    six = Video(POSES.frames[:6], 12)
    assert node.replace(pose=six, face=six).batch_size() == 9


def test_what_does_not_fit_is_refused(random_folder: Callable[[str], Path]) -> None:
    folder = random_folder("wan-animate")
    short = Video(FACES.frames[:4], 12)
    assert "4 frames, and pose has 9 frames" in problems_of(node_for(folder, face=short))
    one = Video(POSES.frames[:1], 12)
    assert "at least 2 frames" in problems_of(node_for(folder, pose=one, face=one))
    assert "for example 9" in problems_of(node_for(folder, segment=10))
    small = Mask(np.ones((32, 32), bool))
    assert "resize the mask" in problems_of(node_for(folder, "replace", mask=small))
    for name in ("background", "mask"):
        with pytest.raises(ValueError, match="both, or neither"):
            node_for(folder, "replace", **{name: None})
    assert "one for AnimateCharacter (Wan Animate)" in problems_of(node_for(random_folder("wan")))
    few = node_for(folder, "replace", mask=Video(MASKS.frames[:3], 12))
    assert "3 frames, and pose has 9" in problems_of(few)
