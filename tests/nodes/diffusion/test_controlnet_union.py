"""One ControlNet for several kinds of maps over SDXL, told the kind by the maps' kinds."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import ControlNet
from sdgraph.nodes.diffusion.families import Task
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.values import EdgeMap, NormalMap, PoseMap
from tests.support.failing_runs import refused_before_load
from tests.support.photos import photo, spot

EDGES = EdgeMap(np.random.default_rng(1).integers(0, 256, (64, 80, 3), np.uint8))
POSE = PoseMap(np.random.default_rng(2).integers(0, 256, (64, 80, 3), np.uint8))
COMMON: dict[str, Any] = {"prompt": "a man", "steps": 3, "seed": 0, "guidance": 5.0}


@pytest.fixture(scope="module")
def union(tmp_path_factory: pytest.TempPathFactory) -> Checkpoint:
    """A network over tiny/sdxl that knows four kinds of maps."""
    import diffusers
    import torch

    config = diffusers.UNet2DConditionModel.load_config(shipped_folder("tiny/sdxl") / "unet")
    known = signature(diffusers.ControlNetUnionModel).parameters
    width = config["block_out_channels"][0]
    torch.manual_seed(3)
    network = diffusers.ControlNetUnionModel(
        **{name: value for name, value in config.items() if name in known},
        conditioning_embedding_out_channels=(8, 16, 32),
        num_control_type=4,
        num_trans_channel=width,
        num_proj_channel=width,
        num_trans_head=1,
    )
    with torch.no_grad():
        for name, weights in network.named_parameters():
            if "controlnet" in name or "spatial_ch_projs" in name:
                weights.normal_(std=0.3)
    folder = tmp_path_factory.mktemp("union")
    network.save_pretrained(folder)
    return Checkpoint(folder)


def by_diffusers(cls: str, network: Checkpoint, **call: Any) -> Any:
    import diffusers
    import torch

    loaded = diffusers.ControlNetUnionModel.from_pretrained(
        Path(network.source), dtype=torch.float32
    )
    pipe = getattr(diffusers, cls).from_pretrained(
        shipped_folder("tiny/sdxl"), controlnet=loaded, dtype=torch.float32
    )
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    images = pipe(
        prompt="a man",
        num_inference_steps=3,
        guidance_scale=5.0,
        generator=torch.Generator().manual_seed(0),
        output_type="np",
        width=80,
        height=64,
        **call,
    ).images
    return to_pixels(images[0])


def node(union: Checkpoint, **fields: Any) -> ControlNet:
    fields = {"control": EDGES, "controlnet": union, **COMMON, **fields}
    return ControlNet(checkpoint=Checkpoint("tiny/sdxl"), **fields)


@pytest.mark.parametrize(
    ("name", "task", "pipeline"),
    [
        ("tiny/sdxl", "controlnet", "StableDiffusionXLControlNetUnionPipeline"),
        ("tiny/sdxl", "controlnet-image", "StableDiffusionXLControlNetUnionImg2ImgPipeline"),
        ("tiny/sdxl", "controlnet-inpaint", "StableDiffusionXLControlNetUnionInpaintPipeline"),
    ],
)
def test_told_the_kind_of_the_map_it_makes_what_diffusers_makes(
    session: Session, union: Checkpoint, name: str, task: Task, pipeline: str
) -> None:
    from_noise, repaints = pipeline.endswith("UnionPipeline"), "Inpaint" in pipeline
    start, mask = photo(80, 64, "coffee"), spot(80, 64)
    fields: dict[str, Any] = {} if from_noise else {"image": start, "strength": 0.7}
    call: dict[str, Any] = {} if from_noise else {"image": start.pil, "strength": 0.7}
    if repaints:
        fields["mask"], call["mask_image"] = mask, mask.pil
    controlled = node(union, scale=0.8, **fields)
    assert (controlled.known_checkpoint.source, controlled.task()) == (name, task)
    made = run(controlled, session=session).numpy
    expected = by_diffusers(
        pipeline,
        union,
        control_image=[EDGES.pil],
        control_mode=[3],
        controlnet_conditioning_scale=0.8,
        **call,
    )
    marked = mask.numpy == 255 if repaints else np.ones(mask.numpy.shape, bool)
    assert (made[marked] == expected[marked]).all() and made.std() > 5


def test_one_network_reads_several_maps_at_once(session: Session, union: Checkpoint) -> None:
    both = node(union, control=[EDGES, POSE], scale=[0.8, 0.4], end=[1.0, 0.7])
    expected = by_diffusers(
        "StableDiffusionXLControlNetUnionPipeline",
        union,
        control_image=[EDGES.pil, POSE.pil],
        control_mode=[3, 0],
        controlnet_conditioning_scale=[0.8, 0.4],
        control_guidance_start=[0.0, 0.0],
        control_guidance_end=[1.0, 0.7],
    )
    assert (run(both, session=session).numpy == expected).all()


def test_a_kind_that_it_does_not_know_is_refused_before_any_load(union: Checkpoint) -> None:
    text = refused_before_load(node(union, control=NormalMap(EDGES.numpy)))
    assert "NormalMap for " in text and "which knows no such maps" in text
    assert "a kind that it knows: PoseMap, DepthMap, SoftEdgeMap, ScribbleMap, EdgeMap" in text


def test_together_with_a_network_for_one_kind_it_is_refused(
    union: Checkpoint, xl_network: Checkpoint
) -> None:
    mixed = node(union, control=[EDGES, POSE], controlnet=[union, xl_network])
    assert "networks for one kind and for several" in refused_before_load(mixed)


def test_over_stable_diffusion_it_is_refused(union: Checkpoint) -> None:
    other = node(union).replace(checkpoint=Checkpoint("tiny/text-to-image"))
    assert "(Union) are not supported over Stable Diffusion" in refused_before_load(other)
