"""Each family does each of its tasks with the bits of diffusers' own pipeline."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import PIL.Image
import pytest
import safetensors.numpy

from sdgraph import Checkpoint, NodeFailedError, Session, run
from sdgraph.models import tensor_shapes
from sdgraph.nodes import Edit, Image2Image, Inpaint, Text2Image
from sdgraph.nodes.diffusion.families import FAMILIES, Task, family_of
from sdgraph.nodes.diffusion.inpaint import paste_masked
from sdgraph.nodes.diffusion.node import Diffusion
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.nodes.diffusion.random_checkpoints import (
    PIPELINES,
    animated_pipelines,
    audio_video_pipelines,
    unet_pipelines,
    video_pipelines,
)
from sdgraph.nodes.diffusion.sampling.schedulers import schedulers_for
from sdgraph.values import Image, Lora, Mask
from tests.support.failing_runs import problems_of

NODES: dict[Task, type[Diffusion[Image]]] = {
    "text-to-image": Text2Image,
    "image-to-image": Image2Image,
    "inpaint": Inpaint,
    "edit": Edit,
}
SIZE = {"width": 64, "height": 64}
PROMPTS = {"prompt": "a red star", "negative_prompt": "a blue ring"}


def noise(*shape: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


PHOTO = Image(noise(64, 64, 3))
MASK = Mask(np.pad(np.full((32, 32), 255, np.uint8), ((8, 24), (8, 24))))


TRANSFORMERS = [
    "aura-flow",
    "chroma",
    "flux",
    "flux2-klein",
    "lumina2",
    "qwen-image",
    "sana",
    "stable-diffusion-3",
    "z-image",
]
"""Those that take LoRAs and all schedulers of flow matching."""


@pytest.fixture(scope="session")
def folders(random_folder: Callable[[str], Path]) -> Callable[[str], Path]:
    """A function that makes a checkpoint by its name, once."""
    return random_folder


def node_for(task: Task, checkpoint: Checkpoint, **fields: Any) -> Diffusion[Image]:
    more: dict[Task, dict[str, Any]] = {
        "text-to-image": SIZE,
        "image-to-image": {"image": PHOTO, "strength": 0.6},
        "inpaint": {"image": PHOTO, "mask": MASK, "strength": 0.9},
        "edit": {"image": PHOTO},
    }
    return NODES[task](
        checkpoint=checkpoint, **{**PROMPTS, "steps": 3, "seed": 5, **more[task], **fields}
    )


def by_diffusers(
    cls: str,
    folder: Path,
    task: Task,
    without: tuple[str, ...] = (),
    lora: Lora | None = None,
    **arguments: Any,
) -> Any:
    """The pixels of a pipeline that diffusers loads itself, `without` some components."""
    import diffusers
    import torch

    pipe = getattr(diffusers, cls).from_pretrained(
        folder, dtype=torch.float32, **dict.fromkeys(without)
    )
    for part in pipe.components.values():
        if isinstance(part, torch.nn.Module):
            part.requires_grad_(False)
    pipe.set_progress_bar_config(disable=True)
    if lora is not None:
        pipe.load_lora_weights(lora.source, adapter_name="style")
        pipe.set_adapters(["style"], [lora.scale])
        pipe.transformer.eval()
    more: dict[Task, dict[str, Any]] = {
        "text-to-image": {},
        "image-to-image": {"image": PHOTO.rgb, "strength": 0.6},
        "inpaint": {
            "image": PHOTO.rgb,
            "mask_image": PIL.Image.fromarray(MASK.numpy),
            "strength": 0.9,
        },
        "edit": {"image": PHOTO.rgb},
    }
    generator = torch.Generator().manual_seed(5)
    if cls == "ChromaInpaintPipeline":
        # diffusers 0.42 reads a setting there that the transformer does not have.
        pipe.transformer.register_to_config(guidance_embeds=False)
        arguments["max_sequence_length"] = 512
    if cls.startswith("FluxKontext"):
        more[task] |= {"max_area": 64 * 64, "_auto_resize": False}
    images = pipe(
        **SIZE,
        **more[task],
        **arguments,
        num_inference_steps=3,
        generator=generator,
        output_type="np",
    ).images
    pixels = to_pixels(images[0])
    return paste_masked(PHOTO, pixels, MASK).numpy if task == "inpaint" else pixels


def pairs() -> list[tuple[str, Task]]:
    """The names of the checkpoints with random weights, each with the tasks of its family."""
    families = {
        "aura-flow": "AuraFlow",
        "chroma": "Chroma",
        "flux": "FLUX.1",
        "flux-fill": "FLUX.1 Fill",
        "flux-kontext": "FLUX.1 Kontext",
        "flux-schnell": "FLUX.1",
        "flux2": "FLUX.2",
        "flux2-klein": "FLUX.2 Klein",
        "flux2-klein-base": "FLUX.2 Klein",
        "flux2-klein-kv": "FLUX.2 Klein KV",
        "lumina2": "Lumina 2",
        "pixart-alpha": "PixArt-Alpha",
        "pixart-sigma": "PixArt-Sigma",
        "qwen-image": "Qwen-Image",
        "sana": "SANA",
        "sana-sprint": "SANA-Sprint",
        "stable-diffusion-3": "Stable Diffusion 3",
        "z-image": "Z-Image",
    }
    tasks = {family.label: family.pipelines for family in FAMILIES}
    return [
        (name, task)
        for name, label in families.items()
        for task in tasks[label]
        # Those are in `test_controlnet_pipelines.py` and `test_edit_pipelines.py`.
        if not task.startswith(("controlnet", "variation"))
    ]


def test_every_checkpoint_is_tried() -> None:
    others = {"qwen-image-edit", "qwen-image-edit-plus", "flux-control", "flux-redux"}
    modules = (animated_pipelines, audio_video_pipelines, unet_pipelines, video_pipelines)
    for module in modules:
        others |= set(module.PIPELINES)
    assert {name for name, _ in pairs()} == set(PIPELINES) - others


@pytest.mark.parametrize(("name", "task"), pairs())
def test_it_makes_what_diffusers_makes(folders: Any, name: str, task: Task) -> None:
    checkpoint = Checkpoint(folders(name))
    family = family_of(checkpoint)
    assert family is not None
    node = node_for(task, checkpoint)
    scale = family.guidance.argument
    guidance = {scale: node.chosen_guidance} if scale else {}
    prompts = dict(PROMPTS) if node.is_guided else {"prompt": PROMPTS["prompt"]}
    if node.is_guided and family.label == "FLUX.2 Klein":
        prompts = {"prompt": PROMPTS["prompt"]}
        node = node.replace(negative_prompt="")
    cls = family.pipelines[task]
    arguments: dict[str, Any] = {**prompts, **guidance, **family.call_options(3)}
    expected = by_diffusers(cls, folders(name), task, **arguments)
    made = run(node, session=Session(device="cpu", store=None))
    assert made.numpy.std() > 10, "it shows something"
    assert (made.numpy == expected).all()


def test_a_checkpoint_without_the_optional_text_encoder_runs(folders: Any, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(folders("stable-diffusion-3"), tmp_path / "without"))
    index = json.loads((folder / "model_index.json").read_text())
    for name in ("text_encoder_3", "tokenizer_3"):
        index[name] = [None, None]
        shutil.rmtree(folder / name)
    (folder / "model_index.json").write_text(json.dumps(index))
    node = node_for("text-to-image", Checkpoint(folder))
    assert "text_encoder_3" not in node.parts()
    arguments: dict[str, Any] = {**PROMPTS, "guidance_scale": 7.0}
    left_out = ("text_encoder_3", "tokenizer_3")
    expected = by_diffusers(
        "StableDiffusion3Pipeline", folder, "text-to-image", left_out, **arguments
    )
    assert (run(node, session=Session(device="cpu", store=None)).numpy == expected).all()


def test_a_negative_prompt_works_where_the_pipeline_takes_only_its_embedding(folders: Any) -> None:
    session = Session(device="cpu", store=None)
    base = Checkpoint(folders("flux2-klein-base"))
    with_it = run(node_for("text-to-image", base), session=session)
    without = run(node_for("text-to-image", base, negative_prompt=""), session=session)
    assert with_it != without


@pytest.mark.parametrize(
    ("name", "steps", "guidance"),
    [
        ("flux", 28, 3.5),
        ("flux-schnell", 4, 0.0),
        ("flux-fill", 50, 30.0),
        ("flux2-klein", 4, 0.0),
        ("flux2-klein-base", 50, 4.0),
        ("qwen-image", 50, 4.0),
        ("stable-diffusion-3", 28, 7.0),
    ],
)
def test_what_is_not_given_is_what_suits_the_checkpoint(
    folders: Any, name: str, steps: int, guidance: float
) -> None:
    node = node_for("text-to-image", Checkpoint(folders(name)), steps=None)
    assert node.chosen_fields() == {"steps": steps, "guidance": guidance}
    assert node.replace(steps=7, guidance=2.0).chosen_fields() == {}


def warnings_of(node: Diffusion[Image]) -> list[str]:
    return [problem.as_line() for problem in node.warnings()]


def test_what_has_no_effect_is_told(folders: Any) -> None:
    flux = node_for("text-to-image", Checkpoint(folders("flux")))
    (line,) = warnings_of(flux)
    assert "negative_prompt" in line and "which has no effect" in line
    (line,) = warnings_of(flux.replace(negative_prompt="", prompt="a (red:1.2) star"))
    assert "'(red:1.2)', read as plain words by FLUX.1" in line
    qwen = node_for("text-to-image", Checkpoint(folders("qwen-image")))
    assert not warnings_of(qwen)
    assert "guidance 1, which has no effect" in warnings_of(qwen.replace(guidance=1))[0]


def test_sides_and_schedulers_are_checked_before_any_load(folders: Any) -> None:
    for name in ("flux", "z-image", "qwen-image", "stable-diffusion-3", "flux2-klein"):
        node = node_for("text-to-image", Checkpoint(folders(name)))
        assert not problems_of(node)
        assert "a multiple of 16" in problems_of(node.replace(width=72))
        text = problems_of(node.replace(scheduler="euler"))
        assert "one of flow-euler, flow-lcm" in text
    tiny = node_for("text-to-image", Checkpoint("tiny/text-to-image"), scheduler="flow-euler")
    assert "flow-euler for tiny/text-to-image" in problems_of(tiny)


def write_lora(folder: Path, checkpoint: Path, prefix: str = "transformer.") -> Lora:
    """Random matrices for the attention of a checkpoint's transformer."""
    draw = np.random.default_rng(1)
    tensors = {}
    for path in (checkpoint / "transformer").glob("*.safetensors"):
        for name, shape in tensor_shapes(path).items():
            if name.endswith(("to_q.weight", "to_out.0.weight")):
                layer = f"{prefix}{name.removesuffix('.weight')}"
                for side, size in (("A", (2, shape[1])), ("B", (shape[0], 2))):
                    values = draw.normal(0, 0.5, size).astype(np.float32)
                    tensors[f"{layer}.lora_{side}.weight"] = values
    folder.mkdir()
    safetensors.numpy.save_file(tensors, folder / "pytorch_lora_weights.safetensors")
    return Lora(folder, scale=0.7)


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_lora_changes_the_picture_as_in_diffusers_and_leaves_the_weights(
    folders: Any, tmp_path: Path, name: str
) -> None:
    checkpoint = Checkpoint(folders(name))
    style = write_lora(tmp_path / "lora", folders(name))
    node = node_for("text-to-image", checkpoint, negative_prompt="", guidance=1.0)
    session = Session(device="cpu", store=None)
    plain = run(node, session=session)
    styled = run(node.replace(loras=[style]), session=session)
    family = family_of(checkpoint)
    assert family is not None
    arguments: dict[str, Any] = {"prompt": "a red star", family.guidance.argument: 1.0}
    arguments |= family.call_options(3)
    cls = family.pipelines["text-to-image"]
    expected = by_diffusers(cls, folders(name), "text-to-image", lora=style, **arguments)
    assert (styled.numpy == expected).all() and styled != plain
    assert run(node.replace(seed=5, steps=3), session=session) == plain


def test_a_lora_of_unkey_index_or_another_network_is_refused_before_any_load(
    folders: Any, tmp_path: Path
) -> None:
    flux = Checkpoint(folders("flux"))
    other = write_lora(tmp_path / "other", folders("z-image"))
    text = problems_of(node_for("text-to-image", flux, loras=[other]))
    assert "the transformer lacks" in text
    unknown = write_lora(tmp_path / "unknown", folders("flux"), prefix="lora_other_")
    text = problems_of(node_for("text-to-image", flux, loras=[unknown]))
    assert "the transformer lacks" in text and "lora_other_" in text
    named = write_lora(tmp_path / "named", folders("flux"), prefix="lora_unet_")
    assert not problems_of(node_for("text-to-image", flux, loras=[named]))
    own = write_lora(tmp_path / "own", folders("flux"))
    text = problems_of(node_for("text-to-image", Checkpoint("tiny/text-to-image"), loras=[own]))
    assert "a LoRA for Flux" in text


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_every_scheduler_of_flow_matching_runs(folders: Any, name: str) -> None:
    for scheduler in schedulers_for(flow_matching=True):
        node = node_for("text-to-image", Checkpoint(folders(name)), scheduler=scheduler, steps=2)
        made = run(node, session=Session(device="cpu", store=None))
        assert made.numpy.std() > 10, scheduler


@pytest.mark.parametrize("name", TRANSFORMERS)
def test_a_prompt_that_would_be_cut_is_refused(folders: Any, name: str) -> None:
    node = node_for("text-to-image", Checkpoint(folders(name)), prompt="a red star " * 60)
    with pytest.raises(NodeFailedError, match="tokens for"):
        run(node, session=Session(device="cpu", store=None))


def test_several_pictures_are_read_where_the_family_can(folders: Any) -> None:
    klein = Checkpoint(folders("flux2-klein"))
    other = Image(noise(48, 80, 3))
    session = Session(device="cpu", store=None)
    both = run(node_for("edit", klein, image=[PHOTO, other]), session=session)
    one = run(node_for("edit", klein), session=session)
    assert both.size == one.size == (64, 64) and both != one
    kontext = node_for("edit", Checkpoint(folders("flux-kontext")), image=[PHOTO, other])
    assert "2 pictures for FLUX.1 Kontext" in problems_of(kontext)


def test_a_picture_of_any_size_keeps_it(folders: Any) -> None:
    odd = Image(noise(50, 83, 3))
    session = Session(device="cpu", store=None)
    for name in ("flux-kontext", "flux2-klein"):
        node = node_for("edit", Checkpoint(folders(name)), image=odd)
        assert run(node, session=session).size == (83, 50)
