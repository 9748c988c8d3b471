"""ControlNets of the families give the bits of diffusers' own pipelines."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest

from sdgraph import Checkpoint, Session, plan, run
from sdgraph.nodes import ControlNet, DepthEstimate
from sdgraph.nodes.diffusion.control.control_maps import mode_of
from sdgraph.nodes.diffusion.families import FAMILIES, Task, family_of
from sdgraph.nodes.diffusion.inpaint import paste_masked
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.nodes.diffusion.random_checkpoints import CONTROL_NETWORKS
from sdgraph.values import DepthMap, EdgeMap, Image, Mask, Part, PoseMap, ScribbleMap
from tests.support.failing_runs import problems_of

SIZE = {"width": 64, "height": 64}
PROMPTS = {"prompt": "a red star", "negative_prompt": "a blue ring"}
PHOTO = Image(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
MASK = Mask(np.pad(np.full((32, 32), 255, np.uint8), ((8, 24), (8, 24))))
EDGES = EdgeMap(np.random.default_rng(1).integers(0, 256, (64, 64, 3), np.uint8))
POSE = PoseMap(np.random.default_rng(2).integers(0, 256, (64, 64, 3), np.uint8))
FROM_A_PICTURE: dict[str, Any] = {"image": PHOTO, "strength": 0.7}
REPAINTED: dict[str, Any] = {"image": PHOTO, "mask": MASK}

PAIRS: list[tuple[str, str, Task]] = [
    ("flux", "flux-controlnet", "controlnet"),
    ("flux", "flux-controlnet", "controlnet-image"),
    ("flux", "flux-controlnet", "controlnet-inpaint"),
    ("flux", "flux-controlnet-union", "controlnet"),
    ("flux", "flux-controlnet-union", "controlnet-image"),
    ("flux", "flux-controlnet-union", "controlnet-inpaint"),
    ("qwen-image", "qwen-image-controlnet", "controlnet"),
    ("qwen-image", "qwen-image-controlnet-inpaint", "controlnet-inpaint"),
    ("sana", "sana-controlnet", "controlnet"),
    ("stable-diffusion-3", "stable-diffusion-3-controlnet", "controlnet"),
    ("stable-diffusion-3", "stable-diffusion-3-controlnet-inpaint", "controlnet-inpaint"),
    ("z-image", "z-image-controlnet", "controlnet"),
    ("z-image", "z-image-controlnet-inpaint", "controlnet"),
    ("z-image", "z-image-controlnet-inpaint", "controlnet-inpaint"),
]


@pytest.fixture(scope="module")
def folders(random_folder: Callable[[str], Path]) -> Callable[[str], Path]:
    """A function that makes a checkpoint by its name, once."""
    return random_folder


def node_for(folders: Any, base: str, network: str, task: Task, **fields: Any) -> ControlNet:
    checkpoint = Checkpoint(folders(base))
    family = family_of(checkpoint)
    assert family is not None
    repaints_alone = task == "controlnet-inpaint" and not family.control.repaints_by_map
    pictures = {
        "controlnet": {},
        "controlnet-image": FROM_A_PICTURE,
        "controlnet-inpaint": REPAINTED,
    }[task]
    return ControlNet(
        **{
            **PROMPTS,
            **pictures,
            "control": None if repaints_alone else EDGES,
            "checkpoint": checkpoint,
            "controlnet": Checkpoint(folders(network)),
            "steps": 2,
            "seed": 5,
            **fields,
        }
    )


def by_diffusers(folders: Any, node: ControlNet, networks: Any, **arguments: Any) -> Any:
    """The pixels of the pipeline of a node's task, which diffusers loads itself."""
    import diffusers
    import torch

    cls = getattr(diffusers, node.family.pipelines[node.task()])
    source = node.known_checkpoint.source
    pipe = cls.from_pretrained(source, controlnet=networks, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False)
    generator = torch.Generator().manual_seed(node.seed)
    torch.manual_seed(node.seed)  # for what two of the pipelines draw without the generator
    prompts = dict(PROMPTS) if node.is_guided else {"prompt": PROMPTS["prompt"]}
    images = pipe(
        **prompts,
        **SIZE,
        **{node.family.guidance.argument: node.chosen_guidance},
        **node.family.call_options(node.chosen_steps),
        **arguments,
        num_inference_steps=node.steps,
        generator=generator,
        output_type="np",
    ).images
    pixels = to_pixels(images[0])
    return pixels if node.mask is None else paste_masked(PHOTO, pixels, MASK).numpy


def load_network(folders: Any, name: str) -> Any:
    import diffusers
    import torch

    network = CONTROL_NETWORKS[name]()
    cls = getattr(diffusers, type(network).__name__)
    return cls.from_pretrained(folders(name), dtype=torch.float32)


def call_arguments(node: ControlNet) -> dict[str, Any]:
    """The pictures of a node as arguments of its pipeline, written out for each task."""
    mask = PIL.Image.fromarray(MASK.numpy)
    if node.task() == "controlnet":
        return {"control_image": EDGES.rgb, "controlnet_conditioning_scale": 1.0}
    if node.task() == "controlnet-image":
        return {"image": PHOTO.rgb, "control_image": EDGES.rgb, "strength": 0.7}
    if node.control is None:
        return {"control_image": PHOTO.rgb, "control_mask": mask}
    both: dict[str, Any] = {"image": PHOTO.rgb, "mask_image": mask, "control_image": EDGES.rgb}
    both["controlnet_conditioning_scale"] = 1.0
    return both if node.family.label == "Z-Image" else {**both, "strength": node.strength}


def test_every_network_and_every_task_is_tried() -> None:
    assert {network for _, network, _ in PAIRS} == set(CONTROL_NETWORKS)
    labels = {"flux": "FLUX.1", "qwen-image": "Qwen-Image", "z-image": "Z-Image"}
    labels |= {"stable-diffusion-3": "Stable Diffusion 3", "sana": "SANA"}
    tried = {(labels[base], task) for base, _, task in PAIRS}
    assert tried == {
        (family.label, task)
        for family in FAMILIES
        for task in family.pipelines
        if task.startswith("controlnet") and family.denoiser.name != "unet"
        if not family.control.built_in  # as in test_flux_control.py
    }


@pytest.mark.parametrize(("base", "network", "task"), PAIRS)
def test_it_makes_what_diffusers_makes(folders: Any, base: str, network: str, task: Task) -> None:
    node = node_for(folders, base, network, task)
    arguments = call_arguments(node)
    if "union" in network:
        arguments["control_mode"] = 0
    expected = by_diffusers(folders, node, load_network(folders, network), **arguments)
    session = Session(device="cpu", store=None)
    made = run(node, session=session)
    assert made.numpy.std() > 10, "it shows something"
    assert (made.numpy == expected).all()
    assert run(node.replace(seed=5), session=session) == made, "the leased networks are unchanged"
    assert run(node.replace(scale=0.2), session=session) != made, "the network has an effect"


def test_two_maps_of_flux_are_read_by_a_network_each(folders: Any) -> None:
    maps = {"control": [EDGES, POSE], "controlnet": Checkpoint(folders("flux-controlnet"))}
    fields = {**maps, "scale": [0.5, 0.3], "end": [1.0, 0.5]}
    network = load_network(folders, "flux-controlnet")
    pictures = [EDGES.rgb, POSE.rgb]
    pictures_of: dict[Task, dict[str, Any]] = {
        "controlnet": {},
        "controlnet-image": {"image": PHOTO.rgb, "strength": 0.7, "control_mode": [None, None]},
    }
    for task, more in pictures_of.items():
        node = node_for(folders, "flux", "flux-controlnet", task, **fields)
        expected = by_diffusers(
            folders,
            node,
            [network, network],
            control_image=pictures,
            controlnet_conditioning_scale=[0.5, 0.3],
            control_guidance_start=[0.0, 0.0],
            control_guidance_end=[1.0, 0.5],
            **more,
        )
        assert (run(node, session=Session(device="cpu", store=None)).numpy == expected).all()


def test_several_maps_of_qwen_image_are_read_by_one_network(folders: Any) -> None:
    import diffusers

    name = "qwen-image-controlnet"
    node = node_for(folders, "qwen-image", name, "controlnet", control=[EDGES, POSE])
    several = diffusers.QwenImageMultiControlNetModel([load_network(folders, name)])
    expected = by_diffusers(
        folders,
        node,
        several,
        control_image=[EDGES.rgb, POSE.rgb],
        controlnet_conditioning_scale=[1.0, 1.0],
    )
    assert (run(node, session=Session(device="cpu", store=None)).numpy == expected).all()


def test_leased_networks_keep_their_own_layers(folders: Any) -> None:
    session = Session(device="cpu", store=None)
    network = Checkpoint(folders("z-image-controlnet"))
    run(node_for(folders, "z-image", "z-image-controlnet", "controlnet"), session=session)
    with session.models.lease({"network": Part(network)}, "cpu", "float32") as models:
        assert models["network"].t_embedder is None


@pytest.mark.parametrize(
    ("kind", "mode"), [(EdgeMap, 0), (DepthMap, 2), (PoseMap, None), (ScribbleMap, None)]
)
def test_the_kind_of_a_map_chooses_the_mode(folders: Any, kind: type, mode: int | None) -> None:
    """The network knows three of the modes of FLUX.1, which are those of edges and of depth."""
    control = DepthEstimate(image=PHOTO) if kind is DepthMap else kind(EDGES.numpy)
    node = node_for(folders, "flux", "flux-controlnet-union", "controlnet", control=control)
    if mode is None:
        text = problems_of(node)
        assert f"{kind.__name__} for " in text and "knows no such maps" in text
        assert "EdgeMap, DepthMap" in text
        return
    assert not problems_of(node)
    (made,) = node.controls()
    assert mode_of(made, node.family) == mode


@pytest.mark.parametrize(
    ("base", "network", "fields", "words"),
    [
        ("flux", "qwen-image-controlnet", {}, "for another family of models, Qwen-Image"),
        ("flux", "z-image-controlnet", {}, "a ZImageControlNetModel"),
        ("qwen-image", "flux-controlnet", {}, "a ControlNet checkpoint (QwenImageControlNetModel)"),
        ("qwen-image", "qwen-image-controlnet-inpaint", {}, "which reads a picture and a mask"),
        ("qwen-image", "qwen-image-controlnet", FROM_A_PICTURE, "from noise alone"),
        ("qwen-image", "qwen-image-controlnet-inpaint", REPAINTED, "the image and the mask alone"),
        (
            "qwen-image",
            "qwen-image-controlnet",
            {**REPAINTED, "control": None},
            "which reads a control map and no mask",
        ),
        ("z-image", "z-image-controlnet", REPAINTED, "which reads 16 channels and no mask"),
        ("z-image", "z-image-controlnet", {"end": 0.5}, "start 0, end 0.5 for Z-Image"),
        ("z-image", "z-image-controlnet", {"control": [EDGES, POSE]}, "2 control maps for Z-Image"),
        ("flux", "flux-controlnet", {**REPAINTED, "control": None}, "none for FLUX.1"),
        ("stable-diffusion-3", "flux-controlnet", {}, "for another family of models, FLUX.1"),
        ("sana", "sana-controlnet", {"control": [EDGES, POSE]}, "2 control maps for SANA"),
        ("sana", "sana-controlnet", FROM_A_PICTURE, "from noise alone"),
        ("sana-sprint", "sana-controlnet", {}, "for ControlNet take"),
    ],
)
def test_what_does_not_fit_is_refused_before_any_load(
    folders: Any, base: str, network: str, fields: dict[str, Any], words: str
) -> None:
    text = problems_of(node_for(folders, base, network, "controlnet", **fields))
    assert words in text
    assert text.count("found:") <= 1, "one mistake is one problem"


@pytest.mark.parametrize(
    ("base", "network", "settings", "words"),
    [
        ("flux", "flux-controlnet", {"num_attention_heads": 4}, "which is 64 wide"),
        ("flux", "flux-controlnet", {"in_channels": 64}, "whose in_channels is 64"),
        ("flux", "flux-controlnet", {"joint_attention_dim": 64}, "whose joint_attention_dim is 64"),
        ("qwen-image", "qwen-image-controlnet", {"attention_head_dim": 8}, "which is 16 wide"),
        ("stable-diffusion-3", "stable-diffusion-3-controlnet", {"num_attention_heads": 8}, "64"),
        ("z-image", "z-image-controlnet", {"dim": 64}, "which is 64 wide"),
        ("z-image", "z-image-controlnet", {"control_layers_places": [0, 5]}, "of 6 layers or more"),
    ],
)
def test_a_network_of_other_widths_is_refused(
    folders: Any, tmp_path: Path, base: str, network: str, settings: dict[str, Any], words: str
) -> None:
    folder = Path(shutil.copytree(folders(network), tmp_path / "other"))
    path = folder / "config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))
    node = node_for(folders, base, network, "controlnet", controlnet=Checkpoint(folder))
    text = problems_of(node)
    assert words in text and "trained for this base" in text


def test_a_strength_without_effect_is_a_warning(folders: Any) -> None:
    for base, network, expected in (
        ("qwen-image", "qwen-image-controlnet-inpaint", True),
        ("flux", "flux-controlnet", False),
    ):
        node = node_for(folders, base, network, "controlnet-inpaint", strength=0.5)
        lines = [problem.as_line() for problem in node.warnings()]
        assert any("strength" in line and "no effect" in line for line in lines) == expected


def test_a_negative_prompt_without_effect_is_a_warning(folders: Any) -> None:
    node = node_for(folders, "flux", "flux-controlnet", "controlnet")
    assert any("negative_prompt" in problem.as_line() for problem in node.warnings())


def test_the_plan_counts_the_network_and_its_memory(folders: Any) -> None:
    node = node_for(folders, "flux", "flux-controlnet", "controlnet")
    assert "controlnet_0" in {use.name for step in plan(node).steps for use in step.uses}
    memory, config = node.family.denoiser.memory, node.family.denoiser_config(node.known_checkpoint)
    plain = memory(config, 1, 64, "float16")
    assert memory(config, 1, 64, "float16", controls=node.control_configs()) > plain
