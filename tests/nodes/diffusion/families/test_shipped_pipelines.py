"""Each task of the families with shipped checkpoints gives the bits of diffusers' own pipeline.

Latent consistency models are among them, for they take the pipelines of Stable Diffusion.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, Store, run
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import (
    ControlNet,
    DepthToImage,
    Image2Image,
    Inpaint,
    Text2Image,
    Text2Video,
)
from sdgraph.nodes.diffusion.families import FAMILIES, Task, family_of
from sdgraph.nodes.diffusion.inpaint import paste_masked
from sdgraph.values import EdgeMap
from tests.support.bare_scripts import same, script
from tests.support.photos import photo, spot

START, MASK = photo(80, 64, "coffee"), spot(80, 64)
EDGES = EdgeMap(np.random.default_rng(1).integers(0, 256, (64, 80, 3), np.uint8))
SIZE = {"width": 80, "height": 64}
STARTED: dict[str, Any] = {"image": START, "strength": 0.7}
STARTED_CALL: dict[str, Any] = {"image": START.pil, "strength": 0.7}
MASKED_CALL = {**STARTED_CALL, "mask_image": MASK.pil}
CONTROLLED = {"control_image": EDGES.pil, "controlnet_conditioning_scale": 0.8}

NODES: dict[Task, tuple[Any, dict[str, Any], dict[str, Any]]] = {
    "text-to-image": (Text2Image, SIZE, SIZE),
    "image-to-image": (Image2Image, STARTED, STARTED_CALL),
    "inpaint": (Inpaint, {**STARTED, "mask": MASK}, {**MASKED_CALL, **SIZE}),
    "controlnet": (ControlNet, {}, {"image": EDGES.pil, "controlnet_conditioning_scale": 0.8}),
    "controlnet-image": (ControlNet, STARTED, {**STARTED_CALL, **CONTROLLED, **SIZE}),
    "controlnet-inpaint": (
        ControlNet,
        {**STARTED, "mask": MASK},
        {**MASKED_CALL, **CONTROLLED, **SIZE},
    ),
    "depth-to-image": (DepthToImage, STARTED, STARTED_CALL),
    "text-to-video": (Text2Video, {"frames": 2}, {"num_frames": 2}),
}
"""The node of each task, its fields, and the arguments of the pipeline's call."""

_CONTROLS: tuple[Task, ...] = ("controlnet", "controlnet-image", "controlnet-inpaint")
PAIRS: list[tuple[str, Task]] = [
    *(
        (name, task)
        for name in ("tiny/text-to-image", "tiny/sdxl")
        for task in ("text-to-image", "image-to-image", "inpaint", *_CONTROLS)
    ),
    ("tiny/depth", "depth-to-image"),
    ("tiny/text-to-video", "text-to-video"),
    *(("latent-consistency", task) for task in ("inpaint", *_CONTROLS)),
]


@pytest.fixture(scope="module")
def sources(random_folder: Any) -> Any:
    """A function that gives the folder of a shipped checkpoint, or of a random one."""

    def source(name: str) -> str:
        return name if name.startswith("tiny/") else str(random_folder(name))

    return source


@pytest.fixture(scope="module")
def network_for(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A function that makes a ControlNet for a checkpoint, which does something, once."""
    folder, made = tmp_path_factory.mktemp("networks"), set()

    def make(source: str) -> Path:
        path = folder / source.replace("/", "-")
        if source not in made:
            made.add(source)
            root = shipped_folder(source) if source.startswith("tiny/") else Path(source)
            write_network(root, path)
        return path

    return make


def write_network(root: Path, path: Path) -> None:
    import diffusers
    import torch

    unet = diffusers.UNet2DConditionModel.from_pretrained(root / "unet")
    stages = len(diffusers.AutoencoderKL.load_config(root / "vae")["block_out_channels"])
    torch.manual_seed(3)
    # The U-Net of a latent consistency model has a layer that no ControlNet has.
    network = diffusers.ControlNetModel.from_unet(
        unet,
        conditioning_embedding_out_channels=(8, 16, 32, 32)[:stages],
        load_weights_from_unet=not unet.config.time_cond_proj_dim,
    )
    draw = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if "controlnet" in name:
                weights.copy_(torch.randn(weights.shape, generator=draw) * 0.3)
    network.save_pretrained(path)


@pytest.mark.parametrize(("name", "task"), PAIRS)
def test_it_makes_what_diffusers_makes(
    session: Session, sources: Any, network_for: Any, name: str, task: Task
) -> None:
    source = sources(name)
    family = family_of(Checkpoint(source))
    assert family is not None
    cls, fields, call = NODES[task]
    networks = (network_for(source),) if task in _CONTROLS else ()
    if networks:
        control = {"control": EDGES, "scale": 0.8, "controlnet": Checkpoint(networks[0])}
        fields = {**fields, **control}
    node = cls(
        prompt="a man", checkpoint=Checkpoint(source), steps=3, seed=4, guidance=5.0, **fields
    )
    assert node.task() == task
    expected = script(
        family.pipelines[task],
        source,
        prompt="a man",
        steps=3,
        seed=4,
        networks=networks,
        guidance_scale=5.0,
        **call,
    )
    if task.endswith("inpaint"):
        expected = paste_masked(START, expected, MASK).numpy
    made = run(node, session=session)
    assert same(made.frames if task == "text-to-video" else made.numpy, expected)


@pytest.mark.parametrize("task", ["controlnet-image", "controlnet-inpaint"])
def test_these_guide_a_latent_consistency_model_with_a_remembered_prompt(
    sources: Any, network_for: Any, tmp_path: Path, task: Task
) -> None:
    source = sources("latent-consistency")
    network = network_for(source)
    cls, fields, call = NODES[task]
    prompts: Any = {"prompt": "a man", "negative_prompt": "a dog"}
    control = {"control": EDGES, "scale": 0.8, "controlnet": Checkpoint(network)}
    fields = {**fields, **control, **prompts, "steps": 2, "guidance": 5.0}
    node = cls(checkpoint=Checkpoint(source), seed=1, **fields)
    assert list(node.warnings()) == []
    run(node, session=Session(device="cpu", store=Store(folder=tmp_path)))
    again = Session(device="cpu", store=Store(folder=tmp_path))
    made = run(node.replace(seed=2), session=again)
    assert not any("text_encoder" in component.name for component in again.models.loaded())
    pipeline = "StableDiffusionControlNet" + ("Inpaint" if "inpaint" in task else "Img2Img")
    expected = script(
        f"{pipeline}Pipeline",
        source,
        seed=2,
        networks=(network,),
        steps=2,
        guidance_scale=5.0,
        **prompts,
        **call,
    )
    if task.endswith("inpaint"):
        expected = paste_masked(START, expected, MASK).numpy
    assert same(made.numpy, expected)


def test_every_task_of_these_families_is_tried() -> None:
    labels = {"tiny/text-to-image": "Stable Diffusion", "tiny/depth": "Stable Diffusion"}
    labels |= {"tiny/sdxl": "SDXL", "latent-consistency": "Latent Consistency"}
    labels["tiny/text-to-video"] = "text-to-video"
    tried = {(labels[name], task) for name, task in PAIRS}
    # As in test_unet_pipelines.py.
    tried |= {("Latent Consistency", task) for task in ("text-to-image", "image-to-image")}
    wanted = {
        (family.label, task)
        for family in FAMILIES
        if family.label in labels.values()
        for task in family.pipelines
    }
    assert tried == wanted
