"""A component may come from a file, a folder or another checkpoint: told by headers; no torch."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Checkpoint
from sdgraph.errors import CheckpointError, Problem
from sdgraph.language import to_yaml, workflow_from_yaml
from sdgraph.models import resolve, resolve_part
from sdgraph.models.formats.single_file_kinds import BASES
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes import Text2Image
from sdgraph.values import Part
from tests.support.ldm_headers import Shapes, header
from tests.support.published_layouts import write_header

BASE = "tiny/text-to-image"
VAE: Shapes = {"decoder.conv_in.weight": (64, 4, 3, 3), "encoder.down_blocks.0.x.weight": (1,)}
UNET: Shapes = {"input_blocks.0.0.weight": (32, 4, 3, 3), "middle_block.0.x.weight": (1,)}
TEXT: Shapes = {"text_model.embeddings.token_embedding.weight": (1,)}


def written(path: Path, shapes: Shapes, prefix: str = "") -> Path:
    write_header(path, {f"{prefix}{name}": shape for name, shape in shapes.items()})
    return path


def mixed(base: str | Path, component: str, source: Any) -> Checkpoint:
    return Checkpoint(base, **{component: source})


def refusal(component: str, source: Any, base: str | Path = BASE) -> Problem:
    with pytest.raises(CheckpointError) as caught:
        resolve_part(Part(mixed(base, component, source), component)).check()
    return caught.value.problems[0]


@pytest.mark.parametrize(
    ("component", "shapes", "prefix"),
    [
        ("vae", VAE, ""),
        ("vae", VAE, "first_stage_model."),
        ("vae", VAE, "vae."),
        ("unet", UNET, ""),
        ("unet", UNET, "model.diffusion_model."),
        ("unet", UNET, "diffusion_model."),
        ("text_encoder", TEXT, ""),
        ("text_encoder", TEXT, "text_encoder."),
    ],
)
def test_a_file_has_the_config_of_the_checkpoints_own_component(
    tmp_path: Path, component: str, shapes: Shapes, prefix: str
) -> None:
    path = written(tmp_path / "x.safetensors", shapes, prefix)
    checkpoint = mixed(BASE, component, path)
    part = resolve_part(Part(checkpoint, component))
    part.check()
    assert part.folder == shipped_folder(BASE) / component and part.files == (path,)
    assert part.tensor_prefix == prefix and part.file_bytes == 2 * sum(
        int(shape[0] * (shape[1] * 9 if len(shape) == 4 else 1)) for shape in shapes.values()
    )
    assert part.library_and_class == resolve(Checkpoint(BASE)).named_classes[component]
    assert resolve(checkpoint).config(component) == resolve(Checkpoint(BASE)).config(component)


def test_equal_components_are_one_whichever_checkpoint_they_belong_to(tmp_path: Path) -> None:
    path = written(tmp_path / "x.safetensors", VAE)
    copy = Path(shutil.copy(path, tmp_path / "copy.safetensors"))
    folder = {"source": "tiny/inpaint", "subfolder": "vae"}
    bases = [Checkpoint(BASE, vae=path), Checkpoint("tiny/inpaint", vae=copy)]
    keys = {resolve_part(Part(c, "vae")).component("cpu", "float32").key for c in bases}
    assert len(keys) == 1, "their VAEs have the same config"
    prints = [
        resolve_part(Part(c, "vae")).fingerprint
        for c in (Checkpoint(BASE), Checkpoint(BASE, vae=folder), Checkpoint("tiny/inpaint"))
    ]
    assert prints[1] == prints[2]
    whole = {resolve(c).content_fingerprint for c in (Checkpoint(BASE), *bases)}
    assert len(whole) == 3
    others = [resolve_part(Part(c, "unet")).fingerprint for c in (Checkpoint(BASE), bases[0])]
    assert others[0] == others[1]


def test_a_checkpoint_of_one_file_gives_one_of_its_components(tmp_path: Path) -> None:
    base = next(base for base in BASES if base.label == "Stable Diffusion 1.x")
    path = written(tmp_path / "whole.safetensors", header(base))
    part = resolve_part(Part(Checkpoint(BASE, vae=path), "vae"))
    assert part.tensor_prefix == "first_stage_model." and part.files == (path,)
    assert "without a transformer" in refusal("transformer", path, flux(tmp_path)).found
    alone = {name: shape for name, shape in header(base).items() if "first_stage" not in name}
    lacking = written(tmp_path / "lacking.safetensors", alone)
    assert resolve(Checkpoint(lacking, vae=path)).root and resolve_part(
        Part(Checkpoint(lacking, vae=path), "vae")
    ).files == (path,)
    with pytest.raises(CheckpointError, match=r"without a VAE"):
        _ = resolve(Checkpoint(lacking)).root


def flux(folder: Path) -> Path:
    """A folder with the index of a pipeline with a transformer and its config."""
    (folder / "flux" / "transformer").mkdir(parents=True, exist_ok=True)
    config = {"_class_name": "FluxTransformer2DModel"}
    (folder / "flux" / "transformer" / "config.json").write_text(json.dumps(config))
    index = {"transformer": ["diffusers", "FluxTransformer2DModel"], "vae": [None, None]}
    (folder / "flux" / "model_index.json").write_text(json.dumps(index))
    return folder / "flux"


@pytest.mark.parametrize(
    ("component", "shapes", "found", "fix"),
    [
        ("vae", {"lora_unet_x.lora_down.weight": (4, 4)}, "a LoRA", "loras"),
        ("text_encoder", {"emb_params": (1, 32)}, "an embedding", "embeddings"),
        ("vae", UNET, "a U-Net alone", "of that component alone"),
        ("unet", VAE, "a VAE", "of that component alone"),
        ("unet", TEXT, "a text encoder of CLIP", "of that component alone"),
        ("unet", {"double_blocks.0.img_attn.x": (1,)}, "a model of Flux", "component alone"),
        ("vae", VAE | {"decoder.conv_in.weight": (64, 16, 3, 3)}, "16 latent", "same base"),
        ("unet", UNET | {"input_blocks.0.0.weight": (32, 9, 3, 3)}, "9 channels", "same base"),
        ("unet", UNET | {"x.scale_weight": (1,)}, "scale_weight without x.weight", "bf16 or fp16"),
    ],
)
def test_a_file_of_another_kind_is_named(
    tmp_path: Path, component: str, shapes: Shapes, found: str, fix: str
) -> None:
    problem = refusal(component, written(tmp_path / "x.safetensors", shapes))
    assert found in problem.found and fix in problem.fix


def test_what_cannot_be_a_component_is_refused(tmp_path: Path) -> None:
    path = str(written(tmp_path / "x.safetensors", VAE))
    assert "no such file" in refusal("vae", "./nothing.safetensors").found
    assert "subfolder: vae}" in refusal("vae", "tiny/inpaint").fix
    assert "'vae'" in refusal("vae", {"source": "tiny/inpaint", "subfolder": "vea"}).fix
    assert "leave variant out" in refusal("vae", {"source": path, "variant": "fp16"}).fix
    assert "no config" in refusal("vae", {"source": path, "config": str(tmp_path / "no")}).found
    named = {"source": path, "config": "./shipped"}
    named["config"] = str(shipped_folder("tiny/inpaint"))
    part = resolve_part(Part(Checkpoint(BASE, vae=named), "vae"))
    assert part.folder == shipped_folder("tiny/inpaint") / "vae"
    unet = str(shipped_folder(BASE) / "unet")
    assert "UNet2DConditionModel" in refusal("vae", unet).found


def test_a_component_that_the_pipeline_does_not_have_is_refused(tmp_path: Path) -> None:
    path = written(tmp_path / "x.safetensors", UNET)
    for component in ("transformer", "text_encoder_2"):
        with pytest.raises(CheckpointError, match="its pipeline does not have"):
            _ = resolve(mixed(BASE, component, path)).root
    with pytest.raises(CheckpointError, match="one model, not a pipeline"):
        _ = resolve(Checkpoint("tiny/depth-estimator", vae=path)).root
    absent = resolve(Checkpoint(flux(tmp_path), vae={"source": "tiny/inpaint", "subfolder": "vae"}))
    assert set(absent.components or ()) == {"transformer", "vae"}


def test_paths_of_components_are_relative_to_the_file_that_names_them(tmp_path: Path) -> None:
    (tmp_path / "here").mkdir()
    written(tmp_path / "here" / "x.safetensors", VAE)
    shutil.copytree(shipped_folder(BASE), tmp_path / "y")
    text = f"""
nodes:
  a:
    type: Text2Image
    prompt: a star
    checkpoint: {{source: {BASE}, vae: ./x.safetensors, unet: {{source: ../y, subfolder: unet}}}}
output: $a
"""
    node = workflow_from_yaml(text, folder=tmp_path / "here").graph().nodes[-1]
    assert isinstance(node, Text2Image) and isinstance(node.checkpoint, Checkpoint)
    parts = node.checkpoint.parts
    assert parts["vae"].source == str(tmp_path / "here" / "x.safetensors")
    assert parts["unet"].source == str(tmp_path / "y")
    again = workflow_from_yaml(to_yaml(node), folder=tmp_path).graph().nodes[-1]
    assert again == node


def test_a_bare_name_is_a_file_for_that_component_in_the_model_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDGRAPH_MODELS", str(tmp_path))
    path = written(tmp_path / "vae" / "x.safetensors", VAE)
    written(tmp_path / "unet" / "x.safetensors", UNET)
    text = f"""
nodes:
  a:
    type: Text2Image
    prompt: a star
    checkpoint: {{source: {BASE}, vae: x.safetensors, unet: unet/x.safetensors}}
"""
    node = workflow_from_yaml(text, folder=tmp_path).graph().nodes[-1]
    assert isinstance(node, Text2Image) and isinstance(node.checkpoint, Checkpoint)
    for checkpoint in (node.checkpoint, Checkpoint(BASE, vae="x.safetensors")):
        assert resolve_part(Part(checkpoint, "vae")).files == (path,)


WAN: Shapes = {"blocks.0.self_attn.norm_q.weight": (64,), "head.modulation": (1, 2, 64)}


def test_a_transformer_of_another_family_is_refused_before_loading(tmp_path: Path) -> None:
    problem = refusal("transformer", written(tmp_path / "x.safetensors", WAN), flux(tmp_path))
    assert problem.found == "a model of Wan" and problem.wanted.startswith("a model of Flux, as ")


def test_a_file_for_a_checkpoint_that_is_not_here_is_checked_as_far_as_it_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)
    path = written(tmp_path / "x.safetensors", VAE)
    assert refusal("transformer", path, "some/absent").found == "a VAE"
    path.write_bytes(path.read_bytes()[:-1])
    assert "cut short" in refusal("vae", path, "some/absent").found
