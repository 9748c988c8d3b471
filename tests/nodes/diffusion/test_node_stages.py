"""The stage that embeds prompts needs text encoders alone, and makes the same bits with them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.torch import load

from sdgraph import Checkpoint, Graph, Node, Session, run
from sdgraph.models import ModelCache, Models
from sdgraph.nodes import (
    ControlNet,
    DepthToImage,
    Edit,
    Frames,
    Image2Image,
    Image2Video,
    Inpaint,
    Text2Image,
    Text2Video,
    Upscale,
    Variation,
    Video2Video,
    VideoFromFrames,
)
from sdgraph.nodes.diffusion.families import Task, family_of
from sdgraph.nodes.diffusion.random_checkpoints import PIPELINES
from sdgraph.values import DepthMap, EdgeMap, Image, Lora, Mask, Video
from tests.nodes.diffusion.families.conftest import ftfy, random_folder
from tests.nodes.diffusion.families.test_controlnet_pipelines import PAIRS as CONTROL_PAIRS
from tests.nodes.diffusion.families.test_edit_pipelines import small_pictures
from tests.support.effort import each_nth
from tests.support.lora_files import tensors, write

__all__ = ["ftfy", "random_folder", "small_pictures"]

pytestmark = pytest.mark.usefixtures("ftfy", "small_pictures")

NODES: Mapping[Task, type[Node[Any]]] = {
    "controlnet": ControlNet,
    "controlnet-image": ControlNet,
    "controlnet-inpaint": ControlNet,
    "depth-to-image": DepthToImage,
    "edit": Edit,
    "frames-to-video": Image2Video,
    "image-to-image": Image2Image,
    "image-to-video": Image2Video,
    "inpaint": Inpaint,
    "text-to-image": Text2Image,
    "text-to-video": Text2Video,
    "upscale": Upscale,
    "variation": Variation,
    "video-to-video": Video2Video,
}
PHOTO = Image(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
FIELDS: dict[str, Any] = {
    "prompt": "a red star",
    "negative_prompt": "a blue ring",
    "width": 64,
    "height": 64,
    "frames": 9,
    "steps": 2,
    "image": PHOTO,
    "mask": Mask(np.pad(np.full((32, 32), 255, np.uint8), ((8, 24), (8, 24)))),
    "depth": DepthMap(np.linspace(0, 1, 64 * 64, dtype=np.float32).reshape(64, 64)),
    "video": Video(np.stack([PHOTO.numpy] * 9), 8),
    "last": PHOTO,
}
LEFT_OUT: Mapping[Task, tuple[str, ...]] = {
    "controlnet": ("image", "mask"),
    "controlnet-image": ("mask",),
    "image-to-video": ("last",),
}
"""The fields that a task leaves out, with which its node does another one."""

SHIPPED = ("text-to-image", "sdxl", "depth", "text-to-video")


SAME_PIPELINES = {
    "flux-redux",  # with FLUX.1
    "flux-schnell",
    "flux2-klein-base",
    "wan-flf2v",
    "wan2.2",
    "wan2.2-i2v",
    "wan2.2-ti2v",
}
"""The checkpoints whose pipelines are those of others."""

NAMES = [*PIPELINES.keys() - SAME_PIPELINES, *(f"tiny/{name}" for name in SHIPPED)]


TEXT_TO_IMAGE = Checkpoint("tiny/text-to-image")


class EmbeddedError(Exception):
    """Ends the run of a node once its prompts are embedded."""


def node_for(task: Task, checkpoint: Checkpoint, **more: Any) -> Node[Any]:
    cls = NODES[task]
    names = cls.model_fields.keys() - LEFT_OUT.get(task, ())
    fields = {name: value for name, value in FIELDS.items() if name in names}
    return cls(**{**fields, "checkpoint": checkpoint, **more})


def embed_both_ways(node: Node[Any]) -> tuple[bytes, bytes]:
    """The embedding by all components of a node, and by those of its stage."""
    (stage,) = node.stages()
    whole: list[bytes] = []

    def recall(name: str, make: Callable[[], bytes]) -> bytes:
        whole.append(make())
        raise EmbeddedError(name)

    arguments = node.arguments({})
    with ModelCache().lease(node.parts(), "cpu", "float32") as models:
        services = {"models": replace(models, recall=recall), "progress": lambda *_: None}
        with pytest.raises(EmbeddedError):
            node.run(**arguments, **services)
        only = {name: models[name] for name in stage.parts}
        alone = node.run_stage(stage.name, Models(only, "cpu", "float32"), arguments)
    return whole[0], alone


@pytest.mark.parametrize("name", each_nth(sorted(NAMES), 3))
def test_text_encoders_alone_make_the_same_embedding_for_every_task_of_a_family(
    random_folder: Callable[[str], Path], name: str
) -> None:
    checkpoint = Checkpoint(name if "/" in name else random_folder(name))
    family = family_of(checkpoint)
    assert family is not None
    for task in family.tasks_of(checkpoint):
        has_prompt = bool(family.text_encoders)
        if task not in NODES or task.startswith("controlnet") or not has_prompt:
            continue
        more = {"redux": Checkpoint(random_folder("flux-redux"))} if task == "variation" else {}
        whole, alone = embed_both_ways(node_for(task, checkpoint, **more))
        assert alone == whole and load(alone), f"{task} with {name}"


@pytest.mark.parametrize(("base", "network", "task"), each_nth(CONTROL_PAIRS, 3, arguments=3))
def test_pipelines_with_control_networks_need_none_to_embed_prompts(
    random_folder: Callable[[str], Path], base: str, network: str, task: Task
) -> None:
    node = node_for(
        task,
        Checkpoint(random_folder(base)),
        controlnet=Checkpoint(random_folder(network)),
        control=EdgeMap(PHOTO.numpy),
    )
    whole, alone = embed_both_ways(node)
    assert alone == whole


def planned_stages(node: Node[Any], target: Node[Any] | None = None) -> list[str]:
    """The names of the stages that a plan of a target has for a node, which may be the target."""
    steps = Session(device="cpu", store=None).plan(Graph.of(target or node)).steps
    return [stage.name for step in steps if step.node == node for stage in step.stages]


def test_a_node_whose_text_encoders_read_the_frames_of_a_video_embeds_each_frame_itself(
    random_folder: Callable[[str], Path],
) -> None:
    checkpoint = Checkpoint(random_folder("qwen-image-edit"))
    clip = Video(np.stack([PHOTO.numpy, 255 - PHOTO.numpy]), 8)
    one = Edit(prompt="a red star", image=clip[1], checkpoint=checkpoint, steps=1)
    each = one.replace(image=Frames(video=clip))
    joined = VideoFromFrames(frames=each)
    assert planned_stages(one) == ["prompt"] and planned_stages(each, joined) == []
    video = run(joined, session=Session(device="cpu", store=None))
    expected = run(one, session=Session(device="cpu", store=None))
    assert (video[1].numpy == expected.numpy).all() and video[0] != video[1]


def test_a_node_whose_text_encoders_read_words_alone_embeds_them_once_for_all_frames() -> None:
    clip = Video(np.stack([PHOTO.numpy] * 2), 8)
    node = Image2Image(prompt="a star", image=Frames(video=clip), checkpoint=TEXT_TO_IMAGE)
    assert planned_stages(node, VideoFromFrames(frames=node)) == ["prompt"]


@pytest.mark.parametrize(
    ("changed", "scale", "stages"),
    [
        ("unet", 1.0, 1),
        ("text_encoder", 1.0, 0),
        ("unet text_encoder", 1.0, 0),
        ("unet text_encoder", 0.0, 1),
    ],
)
@pytest.mark.parametrize("layout", ["diffusers", "kohya"])
def test_prompts_are_embedded_without_the_denoiser_unless_a_lora_changes_text_encoders(
    tmp_path: Path, layout: str, changed: str, scale: float, stages: int
) -> None:
    begins = {"unet": ("unet.", "lora_unet_"), "text_encoder": ("text_encoder.", "lora_te_")}
    kept = tuple(begin for part in changed.split() for begin in begins[part])
    arrays = tensors(TEXT_TO_IMAGE.source, layout=layout)
    chosen = {name: array for name, array in arrays.items() if name.startswith(kept)}
    assert chosen
    path = write(tmp_path / "x.safetensors", chosen)
    node = Text2Image(prompt="a star", checkpoint=TEXT_TO_IMAGE, loras=[Lora(path, scale=scale)])
    assert not list(node.check()) and len(list(node.stages())) == stages
    assert len(planned_stages(node)) == stages


def test_a_lora_that_is_not_here_yet_may_change_text_encoders() -> None:
    node = Text2Image(prompt="a star", checkpoint=TEXT_TO_IMAGE, loras=[Lora("someone/style")])
    assert planned_stages(node) == []
