"""LoRAs for transformers in the layouts of all trainers are what diffusers makes of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from sdgraph import Checkpoint, Session, run
from sdgraph.models import tensor_shapes
from sdgraph.nodes import Text2Image, Text2Video
from sdgraph.nodes.diffusion.adapters.lora import apply_loras
from sdgraph.nodes.diffusion.adapters.lora_fit import format_problem
from sdgraph.nodes.diffusion.families import FAMILIES, ModelFamily
from sdgraph.nodes.diffusion.pipelines.pipeline_io import to_pixels
from sdgraph.nodes.diffusion.random_checkpoints import PIPELINES, make_checkpoint
from sdgraph.values import Lora
from tests.support.lora_files import write

pytestmark = pytest.mark.torch
Tensors = dict[str, Any]
_W = 32
"""The width of the small transformers."""

FLUX = {
    "double_blocks.0.img_attn.qkv": (3 * _W, _W),
    "double_blocks.0.txt_attn.proj": (_W, _W),
    "double_blocks.0.img_mlp.0": (4 * _W, _W),
    "double_blocks.0.img_mod.lin": (6 * _W, _W),
    "single_blocks.0.linear2": (_W, 5 * _W),
}
FLUX_DIFFUSERS = {
    "transformer_blocks.0.attn.to_q": (_W, _W),
    "transformer_blocks.0.attn.to_out.0": (_W, _W),
    "single_transformer_blocks.0.attn.to_k": (_W, _W),
}
X_FLUX = {
    "double_blocks.0.processor.qkv_lora1": (3 * _W, _W),
    "double_blocks.0.processor.proj_lora2": (_W, _W),
    "single_blocks.0.processor.qkv_lora": (3 * _W, _W),
    "single_blocks.0.processor.proj_lora": (_W, 5 * _W),
}
FLUX2 = {
    "double_blocks.0.img_attn.qkv": "transformer_blocks.0.attn.to_q*3",
    "double_blocks.0.txt_attn.proj": "transformer_blocks.0.attn.to_add_out",
    "double_blocks.0.img_mlp.0": "transformer_blocks.0.ff.linear_in",
    "single_blocks.0.linear1": "single_transformer_blocks.0.attn.to_qkv_mlp_proj",
}
WAN = {
    **{
        f"blocks.0.{old}.{first}": f"blocks.0.{new}.{name}"
        for old, new in (("self_attn", "attn1"), ("cross_attn", "attn2"))
        for first, name in {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0"}.items()
    },
    "blocks.0.ffn.0": "blocks.0.ffn.net.0.proj",
    "blocks.0.ffn.2": "blocks.0.ffn.net.2",
}
QWEN = [
    "transformer_blocks.0.attn.to_q",
    "transformer_blocks.0.attn.add_k_proj",
    "transformer_blocks.0.img_mlp.net.2",
    "transformer_blocks.0.img_mod.1",
]
Z_IMAGE = ["layers.0.attention.to_q", "layers.0.attention.to_out.0", "layers.0.feed_forward.w1"]
Z_IMAGE_FUSED = {
    "layers.0.attention.qkv": "layers.0.attention.to_q*3",
    "layers.0.attention.out": "layers.0.attention.to_out.0",
}
LTX = ["transformer_blocks.0.attn1.to_q", "transformer_blocks.0.attn2.to_out.0"]

Layers = Mapping[str, Any] | list[str]
CASES: dict[str, tuple[str, Layers, str]] = {
    "flux, kohya": ("flux", FLUX, "kohya"),
    "flux, ComfyUI": ("flux", FLUX, "comfyui"),
    "flux, diffusers": ("flux", FLUX_DIFFUSERS, "diffusers"),
    "flux, lora_transformer": ("flux", FLUX_DIFFUSERS, "lora_transformer"),
    "flux, x-flux": ("flux", X_FLUX, "x-flux"),
    "chroma, kohya": ("chroma", {"double_blocks.0.img_attn.qkv": (3 * _W, _W)}, "kohya"),
    "flux2, kohya": ("flux2-klein", FLUX2, "kohya"),
    "flux2, ai-toolkit": ("flux2-klein", FLUX2, "ai-toolkit"),
    "flux2, peft": ("flux2-klein", FLUX2, "peft"),
    "wan, musubi": ("wan", WAN, "kohya"),
    "wan, ComfyUI": ("wan", WAN, "comfyui"),
    "wan, ai-toolkit": ("wan", WAN, "ai-toolkit"),
    "qwen, kohya": ("qwen-image", QWEN, "kohya"),
    "qwen, ComfyUI": ("qwen-image", QWEN, "comfyui"),
    "qwen, ai-toolkit": ("qwen-image", QWEN, "ai-toolkit"),
    "z-image, kohya": ("z-image", Z_IMAGE, "kohya"),
    "z-image, fused": ("z-image", Z_IMAGE_FUSED, "kohya"),
    "z-image, ai-toolkit": ("z-image", Z_IMAGE, "ai-toolkit"),
    "ltx, ai-toolkit": ("ltx-video", LTX, "ai-toolkit"),
}
"""A checkpoint, layers with their shapes or diffusers' names for them, and who writes so."""

_BEGINS = {
    "kohya": "lora_unet_",
    "lora_transformer": "lora_transformer_",
    "comfyui": "diffusion_model.",
    "ai-toolkit": "diffusion_model.",
    "diffusers": "transformer.",
    "peft": "base_model.model.",
    "x-flux": "",
}


def tensors_of(pipe: Any, layers: Layers, layout: str) -> Tensors:
    """Random matrices of rank 4 for layers, named as a trainer names them."""
    draw = np.random.default_rng(0)
    held: Tensors = {}
    for name in layers:
        shape = layers[name] if isinstance(layers, Mapping) else name
        rows, columns = shape if isinstance(shape, tuple) else _shape(pipe, shape)
        flat = layout in ("kohya", "lora_transformer")
        begin = _BEGINS[layout] + (name.replace(".", "_") if flat else name)
        kohya = flat or layout == "comfyui"
        sides = ("lora_down", "lora_up") if kohya else ("lora_A", "lora_B")
        sides = ("down", "up") if layout == "x-flux" else sides
        held[f"{begin}.{sides[0]}.weight"] = draw.normal(size=(4, columns)).astype(np.float32)
        held[f"{begin}.{sides[1]}.weight"] = draw.normal(size=(rows, 4)).astype(np.float32)
        if kohya:
            held[f"{begin}.alpha"] = np.array(1.5, np.float32)
    return held


def _shape(pipe: Any, layer: str) -> tuple[int, int]:
    name, _, times = layer.partition("*")
    rows, columns = pipe.transformer.get_parameter(f"{name}.weight").shape
    return rows * int(times or 1), columns


def adapters_on(pipe: Any, *networks: str) -> dict[str, tuple[Any, ...]]:
    """The matrices and scales that peft has put on a pipeline's networks, by layer."""
    names = networks or ("transformer", "text_encoder")
    return {
        f"{network}.{name}": (
            *(layer[adapter].weight.detach().numpy() for layer in (module.lora_A, module.lora_B)),
            module.scaling[adapter],
        )
        for network in names
        if network in pipe.components
        for name, module in pipe.components[network].named_modules()
        for adapter in getattr(module, "lora_A", ())
    }


def family_of_pipeline(pipe: Any) -> ModelFamily:
    return max(FAMILIES, key=lambda family: family.matches(type(pipe).__name__))


def put_on(pipe: Any, path: Path, scale: float = 1.0) -> dict[str, tuple[Any, ...]]:
    """What our nodes have peft put on a pipeline for a file."""
    family = family_of_pipeline(pipe)
    shapes = tensor_shapes(path)
    assert format_problem(shapes, family) == ""
    with apply_loras(pipe, [Lora(path, scale=scale)], {"lora_0": path}, family):
        found = adapters_on(pipe)
    assert adapters_on(pipe) == {}
    return found


@pytest.mark.parametrize("case", CASES)
def test_a_layout_is_what_diffusers_makes_of_it(tmp_path: Path, case: str) -> None:
    name, layers, layout = CASES[case]
    pipe = PIPELINES[name]()
    path = write(tmp_path / "style.safetensors", tensors_of(pipe, layers, layout))
    ours = put_on(pipe, path)
    pipe.load_lora_weights(tmp_path, weight_name=path.name)
    theirs = adapters_on(pipe)
    assert set(ours) == set(theirs) and len(ours) >= len(layers)
    for layer, (down, up, scale) in theirs.items():
        assert (ours[layer][0] == down).all() and (ours[layer][1] == up).all(), layer
        assert ours[layer][2] == scale


def deltas(found: Mapping[str, tuple[Any, ...]]) -> dict[str, Any]:
    return {layer: up @ down * scale for layer, (down, up, scale) in found.items()}


def equal(first: Mapping[str, Any], second: Mapping[str, Any]) -> bool:
    return set(first) == set(second) and all(
        np.allclose(first[layer], second[layer], rtol=1e-5, atol=1e-6) for layer in first
    )


@pytest.mark.parametrize(
    ("name", "layers"),
    [
        ("flux", FLUX),
        ("wan", {key: WAN[key] for key in WAN if "self" in key}),
        ("qwen-image", QWEN),
    ],
)
def test_what_diffusers_leaves_out_is_the_same_adapter_too(
    tmp_path: Path, name: str, layers: Layers
) -> None:
    pipe = PIPELINES[name]()
    held = tensors_of(pipe, layers, "ai-toolkit")
    expected = deltas(put_on(pipe, write(tmp_path / "a.safetensors", held)))
    for begin in ("base_model.model.", "", "model.diffusion_model.", "transformer."):
        renamed = {key.replace("diffusion_model.", begin): held[key] for key in held}
        found = put_on(pipe, write(tmp_path / "b.safetensors", renamed))
        assert equal(deltas(found), expected), begin
    flat = {
        f"lora_unet_{layer.replace('.', '_')}": [
            held[f"diffusion_model.{layer}.lora_{side}.weight"] for side in "AB"
        ]
        for layer in layers
    }
    sides = ("lora_down", "lora_up")
    kohya = {
        f"{key}.{side}.weight": m for key in flat for side, m in zip(sides, flat[key], strict=True)
    }
    found = put_on(pipe, write(tmp_path / "c.safetensors", kohya))
    assert equal(deltas(found), expected)


def test_alphas_in_the_layout_of_diffusers_count(tmp_path: Path) -> None:
    pipe = PIPELINES["flux"]()
    held = tensors_of(pipe, FLUX_DIFFUSERS, "diffusers")
    expected = deltas(put_on(pipe, write(tmp_path / "a.safetensors", held)))
    for layer in FLUX_DIFFUSERS:
        held[f"transformer.{layer}.alpha"] = np.array(1.0, np.float32)
    found = deltas(put_on(pipe, write(tmp_path / "b.safetensors", held)))
    assert equal(found, {layer: matrix / 4 for layer, matrix in expected.items()})


def test_the_alpha_of_pefts_config_counts(tmp_path: Path) -> None:
    pipe = PIPELINES["flux"]()
    held = tensors_of(pipe, FLUX_DIFFUSERS, "peft")
    path = write(tmp_path / "adapter_model.safetensors", held)
    expected = deltas(put_on(pipe, path))
    config = '{"peft_type": "LORA", "r": 4, "lora_alpha": 8, "alpha_pattern": {"to_k": 2}}'
    (tmp_path / "adapter_config.json").write_text(config)
    found = deltas(put_on(pipe, path))
    factors = {layer: 0.5 if layer.endswith("to_k") else 2 for layer in expected}
    assert equal(found, {layer: expected[layer] * factors[layer] for layer in expected})


def test_a_fused_layer_of_a_published_width_is_split_as_diffusers_splits_it() -> None:
    import torch
    from diffusers import FluxTransformer2DModel
    from diffusers.loaders.lora_conversion_utils import _convert_kohya_flux_lora_to_diffusers

    from sdgraph.nodes.diffusion.adapters.adapter_files import TargetedLayer
    from sdgraph.nodes.diffusion.adapters.lora_conversion import to_diffusers

    begin = "lora_unet_single_blocks_0_linear1"
    down, up = torch.randn(2, 3072), torch.randn(3 * 3072 + 12288, 2)
    held = {f"{begin}.lora_down.weight": down, f"{begin}.lora_up.weight": up}
    theirs = _convert_kohya_flux_lora_to_diffusers(dict(held))
    with torch.device("meta"):
        transformer = FluxTransformer2DModel(num_layers=0, num_single_layers=1)

    pipe = SimpleNamespace(components={"transformer": transformer})
    names = ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp")
    layer = TargetedLayer(
        component="transformer",
        layers=tuple(f"single_transformer_blocks.0.{name}" for name in names),
        tensors={"down": down, "up": up},
        swapped=False,
    )
    ours = to_diffusers([layer], pipe)
    assert set(ours) == set(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in theirs)


@pytest.mark.parametrize("encoder", ["flux", "stable-diffusion-3"])
def test_layers_of_text_encoders_are_adapted_too(tmp_path: Path, encoder: str) -> None:
    pipe = PIPELINES[encoder]()
    names = [name.removesuffix(".weight") for name, _ in pipe.text_encoder.named_parameters()]
    layers = [name for name in names if name.endswith(("layers.0.self_attn.q_proj", "0.mlp.fc1"))]
    held: Tensors = {}
    for name in layers:
        rows, columns = pipe.text_encoder.get_parameter(f"{name}.weight").shape
        flat = f"text_model.{name.removeprefix('text_model.')}".replace(".", "_")
        held[f"lora_te1_{flat}.lora_down.weight"] = np.ones((2, columns), np.float32)
        held[f"lora_te1_{flat}.lora_up.weight"] = np.ones((rows, 2), np.float32)
    found = put_on(pipe, write(tmp_path / "a.safetensors", held))
    assert set(found) == {f"text_encoder.{name}" for name in layers} and len(layers) == 2


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("random")
    for name in ("flux", "wan"):
        make_checkpoint(name, folder / name)
    return {name: folder / name for name in ("flux", "wan")}


def refusal(folder: Path, held: Iterable[tuple[str, tuple[int, ...]]], base: Path) -> str:
    """What `check` says of a LoRA with layers of these weights over a checkpoint."""
    arrays: Tensors = {}
    for name, (rows, columns) in held:
        arrays[f"{name}.lora_A.weight"] = np.zeros((2, columns), np.float32)
        arrays[f"{name}.lora_B.weight"] = np.zeros((rows, 2), np.float32)
    lora = Lora(write(folder / "style.safetensors", arrays))
    node = Text2Video if base.name == "wan" else Text2Image
    checked: Any = node(prompt="a", checkpoint=Checkpoint(base), loras=[lora])
    return " ".join(p.found for p in checked.check() if p.subject == "loras")


FLUX_QKV = "double_blocks.0.img_attn.qkv"


@pytest.mark.parametrize(
    ("base", "layer", "weight", "words"),
    [
        ("flux", f"diffusion_model.{FLUX_QKV}", (3 * _W, _W), ""),
        ("flux", f"diffusion_model.{FLUX_QKV}", (9216, 3072), "a LoRA for Flux"),
        ("flux", f"diffusion_model.{FLUX_QKV}", (12288, 4096), "a LoRA for FLUX.2"),
        ("flux", "diffusion_model.double_blocks.7.img_attn.proj", (_W, _W), "lacks 1 of its 1"),
        ("flux", "diffusion_model.blocks.0.self_attn.q", (_W, _W), "a LoRA for Wan"),
        ("flux", "lora_unet_blocks_0_cross_attn_k", (5120, 5120), "a LoRA for Wan"),
        ("flux", "transformer.transformer_blocks.0.img_mod.1", (_W, _W), "Qwen-Image"),
        ("flux", "lora_unet_layers_0_attention_qkv", (_W, _W), "a LoRA for Z-Image"),
        ("flux", "lora_unet_joint_blocks_0_x_block_attn_qkv", (_W, _W), "Stable Diffusion 3"),
        ("flux", "unet.down_blocks.0.attentions.0.x.attn2.to_k", (320, 768), "Diffusion 1.x"),
        ("flux", "lora_te2_text_model_encoder_layers_0_mlp_fc1", (_W, _W), "the text_encoder_2"),
        ("flux", "diffusion_model.double_blocks.0.strange", (_W, _W), "double_blocks.0.strange"),
        ("wan", "diffusion_model.blocks.0.self_attn.q", (5120, 5120), "a LoRA for Wan: blocks.0"),
        ("wan", f"lora_unet_{FLUX_QKV.replace('.', '_')}", (96, 32), "a LoRA for Flux"),
        ("wan", "base_model.model.model.layers.0.self_attn.q_proj", (32, 32), "the transformer"),
    ],
)
def test_a_lora_of_another_base_is_named_before_any_load(
    tmp_path: Path,
    folders: dict[str, Path],
    base: str,
    layer: str,
    weight: tuple[int, int],
    words: str,
) -> None:
    text = refusal(tmp_path, [(layer, weight)], folders[base])
    assert words in text and bool(words) == bool(text)


def test_a_lora_for_the_second_denoiser_says_so(tmp_path: Path, folders: dict[str, Path]) -> None:
    pipe = PIPELINES["wan2.2"]()
    held = tensors_of(pipe, WAN, "kohya")
    path = write(tmp_path / "low_noise.safetensors", held)
    first = put_on(pipe, path)
    lora = Lora(path, component="transformer_2")
    with apply_loras(pipe, [lora], {"lora_0": path}, family_of_pipeline(pipe)):
        assert adapters_on(pipe) == {}
        second = adapters_on(pipe, "transformer_2")
    assert adapters_on(pipe, "transformer_2") == {}
    renamed = {name.replace("_2", "", 1): value for name, value in second.items()}
    assert equal(deltas(renamed), deltas(first))
    node = Text2Image(prompt="a", checkpoint=Checkpoint(folders["flux"]), loras=[lora])
    (problem,) = (p for p in node.check() if p.subject == "loras")
    assert "for the transformer_2, which is no denoiser of FLUX.1" in problem.found


def test_a_lora_by_kohyas_scripts_gives_diffusers_pixels(
    tmp_path: Path, folders: dict[str, Path], session: Session
) -> None:
    import torch
    from diffusers import FluxPipeline

    pipe = FluxPipeline.from_pretrained(folders["flux"])
    pipe.set_progress_bar_config(disable=True)
    path = write(tmp_path / "style.safetensors", tensors_of(pipe, FLUX, "kohya"))
    lora, base = Lora(path, scale=0.7), Checkpoint(folders["flux"])
    node = Text2Image(prompt="a red star", checkpoint=base, steps=1, width=64, height=64)
    plain = run(node, session=session)
    styled = run(node.replace(loras=[lora]), session=session)
    pipe.load_lora_weights(tmp_path, weight_name=path.name, adapter_name="style")
    pipe.set_adapters(["style"], [0.7])
    expected = pipe(
        "a red star",
        num_inference_steps=1,
        width=64,
        height=64,
        generator=torch.Generator("cpu").manual_seed(0),
        output_type="np",
    ).images[0]
    assert (styled.numpy == to_pixels(expected).squeeze()).all()
    assert styled != plain and run(node, session=session) == plain
