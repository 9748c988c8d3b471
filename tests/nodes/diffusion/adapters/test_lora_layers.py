"""LoRA files are compared with the networks of a checkpoint by the headers alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph.nodes import Text2Image
from sdgraph.nodes.diffusion.adapters.adapter_tensors import group_by_layer, layer_problem
from sdgraph.nodes.diffusion.adapters.lora_layers import flat_name
from sdgraph.nodes.diffusion.adapters.merged_memory import merged_bytes
from sdgraph.nodes.diffusion.families import STABLE_DIFFUSION
from sdgraph.values import Checkpoint, Lora
from tests.support.lora_files import tensors, write

TEXT, XL = "tiny/text-to-image", "tiny/sdxl"
BLOCK = "down_blocks.1.attentions.0.transformer_blocks.0"
KOHYA = f"lora_unet_{BLOCK.replace('.', '_')}"


def pair(layer: str, into: int, out: int, style: str = "AB", *, rank: int = 2) -> dict[str, Any]:
    """The two matrices of one layer, as diffusers ("AB") or as kohya's scripts name them."""
    down, up = ("lora_A", "lora_B") if style == "AB" else (f"{style}down", f"{style}up")
    shapes = {f"{layer}.{down}.weight": (rank, into), f"{layer}.{up}.weight": (out, rank)}
    return {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}


def found(folder: Path, held: dict[str, Any], base: str = TEXT) -> str:
    """What `check` says of a LoRA with these tensors over a base; "" if it is accepted."""
    path = write(folder / "style.safetensors", held)
    node = Text2Image(prompt="a", checkpoint=Checkpoint(base), loras=[Lora(path)])
    return "".join(problem.found for problem in node.check())


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (pair("lora_unet_double_blocks_0_img_attn_proj", 64, 64, "lora_"), "a LoRA for Flux"),
        (pair("transformer.single_transformer_blocks.0.attn.to_q", 64, 64), "a LoRA for Flux"),
        (pair("lora_transformer_single_transformer_blocks_0_proj_mlp", 64, 64, "lora_"), "Flux"),
        (pair("double_blocks.0.processor.proj_lora1", 64, 64, ""), "a LoRA for Flux"),
        (pair("lora_unet_double_blocks_0_img_mlp_fc1", 64, 64, "lora_"), "HunyuanVideo"),
        (pair("lora_unet_joint_blocks_0_x_block_attn_qkv", 64, 64, "lora_"), "Stable Diffusion 3"),
        (pair("transformer.transformer_blocks.0.attn.to_q", 64, 64), "a diffusion transformer"),
        (pair("diffusion_model.blocks.0.cross_attn.k", 64, 64), "a LoRA for Wan"),
        (pair("base_model.model.model.layers.0.self_attn.q_proj", 64, 64), "a language model"),
        (
            pair("lora_unet_input_blocks_4_1_proj_in", 64, 64, "lora_")
            | pair("lora_unet_down_blocks_1_attentions_0_proj_in", 64, 64, "lora_"),
            "named in two layouts (lora_unet_input_blocks_4_1_proj_in",
        ),
        (pair("nothing.known", 64, 64), "another kind of network (it has nothing.known"),
    ],
)
def test_a_lora_for_another_architecture_is_named_for_what_it_is(
    tmp_path: Path, held: dict[str, Any], words: str
) -> None:
    for base in (TEXT, XL):
        assert words in found(tmp_path, held, base)


@pytest.mark.parametrize(
    ("tensor", "words"),
    [
        (f"{KOHYA}_attn1_to_q.oft_blocks", "OFT"),
        (f"{KOHYA}_attn1_to_k.a1.weight", "GLoRA"),
        ("bundle_emb.face.string_to_param.*", "textual inversions in one file"),
        (f"unet.{BLOCK}.attn1.to_q.lora_A.bias", "biases"),
    ],
)
def test_a_kind_of_adapter_that_is_not_supported_is_named(
    tmp_path: Path, tensor: str, words: str
) -> None:
    text = found(tmp_path, {**tensors(TEXT), tensor: np.zeros((2, 2), np.float32)})
    assert words in text and "not supported" in text
    assert words in found(tmp_path, {tensor: np.zeros((2, 2), np.float32)})


@pytest.mark.parametrize(
    ("held", "words"),
    [
        (pair("unet.nowhere.to_q", 64, 64), "the unet lacks 1 of its 1 layers (nowhere.to_q)"),
        (
            pair("lora_unet_nowhere_to_q", 64, 64, "lora_"),
            "lacks 1 of its 1 layers (nowhere_to_q)",
        ),
        (pair(f"unet.{BLOCK}.attn2.to_k", 768, 64), "Stable Diffusion 1.x"),
        (pair(f"{KOHYA}_attn2_to_k", 2048, 64, "lora_"), "a LoRA for SDXL"),
        (pair(f"unet.{BLOCK}.attn1.to_q", 320, 320), "takes 320 features, here there are 64"),
        (pair(f"unet.{BLOCK}.attn1.to_q", 64, 320), "gives 320 features, here there are 64"),
        (
            pair("text_encoder.text_model.encoder.layers.9.mlp.fc1", 64, 128),
            "the text_encoder lacks",
        ),
        (pair("lora_te_text_model_encoder_layers_0_mlp_fc1", 768, 128, "lora_"), "takes 768"),
        (pair("lora_te2_text_model_encoder_layers_0_mlp_fc1", 64, 64, "lora_"), "second text enc"),
    ],
)
def test_layers_that_the_checkpoint_does_not_have_are_refused(
    tmp_path: Path, held: dict[str, Any], words: str
) -> None:
    assert words in found(tmp_path, {**held})


@pytest.mark.parametrize("begin", ["", "base_model.model.", "diffusion_model.", "unet."])
def test_the_component_may_be_named_in_other_ways(tmp_path: Path, begin: str) -> None:
    assert found(tmp_path, pair(f"{begin}{BLOCK}.attn1.to_q", 64, 64)) == ""
    text = found(tmp_path, pair(f"{begin}{BLOCK}.attn1.to_q", 64, 64), XL)
    assert "a LoRA for another network" in text or not text


@pytest.mark.parametrize(
    ("held", "words"),
    [
        ({f"{KOHYA}_attn1_to_q.diff": (64, 64)}, ""),
        ({f"{KOHYA}_attn1_to_q.diff": (64, 32)}, "takes 32 features, here there are 64"),
        ({f"{KOHYA}_norm1.w_norm": (64,), f"{KOHYA}_norm1.b_norm": (64,)}, ""),
        ({f"{KOHYA}_norm1.w_norm": (32,)}, "gives 32 features, here there are 64"),
        ({f"{KOHYA}_attn1_to_q.lora_up.weight": (64, 2)}, "no down (A) matrix"),
        (
            {
                f"{KOHYA}_attn1_to_q.diff": (64, 64),
                f"{KOHYA}_attn1_to_q.dora_scale": (32, 1),
            },
            "has 32 magnitudes",
        ),
        ({f"{KOHYA}_attn1_to_q.diff_b": (64,)}, "changes a bias, here it has none"),
        ({f"{KOHYA}_attn1_to_q.lokr_w1": (8, 8), f"{KOHYA}_attn1_to_q.lokr_w2": (8, 8)}, ""),
        (
            {f"{KOHYA}_attn1_to_q.lokr_w1": (8, 4), f"{KOHYA}_attn1_to_q.lokr_w2": (8, 8)},
            "takes 32",
        ),
        ({f"{KOHYA}_attn1_to_k.weight": (64,), f"{KOHYA}_attn1_to_k.on_input": ()}, ""),
        ({f"{KOHYA}_attn1_to_k.strange": (64,)}, "holds no LoRA"),
    ],
)
def test_other_adapters_are_compared_with_the_weights_too(
    tmp_path: Path, held: dict[str, tuple[int, ...]], words: str
) -> None:
    text = found(tmp_path, {name: np.zeros(shape, np.float32) for name, shape in held.items()})
    assert words in text and bool(words) == bool(text)


def test_sdxl_over_sd_and_back_in_every_style(tmp_path: Path) -> None:
    for own, other in ((TEXT, XL), (XL, TEXT)):
        for layout in ("diffusers", "kohya"):
            assert found(tmp_path, tensors(own, layout=layout), own) == ""
            assert "a LoRA for" in found(tmp_path, tensors(own, layout=layout), other)


def test_the_older_names_of_diffusers_and_convolutions_are_layers_too(tmp_path: Path) -> None:
    old = {
        f"unet.{BLOCK}.attn1.processor.to_out_lora.down.weight": np.zeros((2, 64), np.float32),
        f"unet.{BLOCK}.attn1.processor.to_out_lora.up.weight": np.zeros((64, 2), np.float32),
    }
    assert found(tmp_path, old) == ""
    conv = "lora_unet_down_blocks_1_resnets_0_conv1"
    held = {
        f"{conv}.lora_down.weight": np.zeros((2, 32, 3, 3), np.float32),
        f"{conv}.lora_up.weight": np.zeros((64, 2, 1, 1), np.float32),
        f"{conv}.alpha": np.array(2, np.float32),
    }
    assert found(tmp_path, held) == ""
    held[f"{conv}.lora_down.weight"] = np.zeros((2, 32, 1, 1), np.float32)
    assert "is for a weight of [32, 1, 1], here it is [32, 3, 3]" in found(tmp_path, held)


@pytest.mark.parametrize(
    ("written", "layer"),
    [
        (
            "input_blocks_4_1_transformer_blocks_0_attn1_to_k",
            "down_blocks_1_attentions_0_transformer_blocks_0_attn1_to_k",
        ),
        ("input_blocks_8_1_proj_in", "down_blocks_2_attentions_1_proj_in"),
        ("input_blocks_3_0_op", "down_blocks_0_downsamplers_0_conv"),
        ("input_blocks_1_0_in_layers_2", "down_blocks_0_resnets_0_conv1"),
        ("middle_block_1_proj_out", "mid_block_attentions_0_proj_out"),
        ("middle_block_2_out_layers_3", "mid_block_resnets_1_conv2"),
        ("output_blocks_0_1_proj_in", "up_blocks_0_attentions_0_proj_in"),
        ("output_blocks_2_2_conv", "up_blocks_0_upsamplers_0_conv"),
        ("output_blocks_3_0_skip_connection", "up_blocks_1_resnets_0_conv_shortcut"),
        ("output_blocks_3_0_emb_layers_1", "up_blocks_1_resnets_0_time_emb_proj"),
        ("input_blocks_0_0", "conv_in"),
        ("out_2", "conv_out"),
        ("label_emb_0_2", "add_embedding_linear_2"),
        ("time_embed_0", "time_embedding_linear_1"),
        (f"{BLOCK}.attn1.processor.to_out", f"{BLOCK}.attn1.to_out.0".replace(".", "_")),
        ("text_model_encoder_layers_0_mlp_fc1", "encoder_layers_0_mlp_fc1"),
        ("text_model.encoder.layers.0.self_attn.to_q", "encoder_layers_0_self_attn_q_proj"),
    ],
)
def test_every_way_to_write_a_layer_gives_one_name(written: str, layer: str) -> None:
    assert flat_name(written) == layer


@pytest.mark.parametrize(
    ("shapes", "words"),
    [
        ({"unet.a.lora_A.weight": (2, 8)}, "no up (B) matrix"),
        ({"unet.a.lora_B.weight": (8, 2)}, "no down (A) matrix"),
        ({"unet.a.lora_A.weight": (2, 8), "unet.a.lora_B.weight": (8, 4)}, "of two ranks"),
        ({"lora_unet_a.alpha": ()}, "an alpha and no matrices"),
        ({"lora_unet_a.dora_scale": (8, 1)}, "a DoRA magnitude and no matrices"),
        ({"lora_unet_a.lora_mid.weight": (2, 2, 3, 3)}, "no down (A) matrix"),
        ({"lora_unet_a.hada_w1_a": (8, 2), "lora_unet_a.hada_w1_b": (2, 8)}, "no hada_w2_a"),
        ({"lora_unet_a.lokr_w1": (2, 2)}, "one factor of a Kronecker product"),
        ({"lora_unet_a.lokr_w2_a": (4, 2), "lora_unet_a.lokr_w1": (2, 2)}, "no lokr_w2_b"),
        ({"lora_unet_a.on_input": ()}, "no factors"),
    ],
)
def test_a_layer_that_is_incomplete_is_refused(shapes: dict[str, Any], words: str) -> None:
    assert words in layer_problem(group_by_layer(shapes)[0])


def test_an_adapter_that_is_merged_takes_memory_and_plain_weights(tmp_path: Path) -> None:
    held = {f"{KOHYA}_attn1_to_q.diff": np.zeros((64, 64), np.float32)}
    merged = Lora(write(tmp_path / "merged.safetensors", held), scale=0.5)
    plain = Lora(write(tmp_path / "plain.safetensors", tensors(TEXT)))
    assert merged_bytes([merged, plain], STABLE_DIFFUSION, "float16").held == 64 * 64 * 2
    assert (
        merged_bytes([plain, Lora(merged.source, scale=0)], STABLE_DIFFUSION, "float32").held == 0
    )
    base = Checkpoint(TEXT, quantization="int8wo")
    node = Text2Image(prompt="a", checkpoint=base, loras=[merged, plain])
    (problem,) = (p for p in node.check() if p.subject == "loras")
    assert "merged.safetensors" in problem.found and "quantized to int8wo" in problem.found
    encoder = "lora_te_text_model_encoder_layers_0_self_attn_q_proj"
    text = write(tmp_path / "text.safetensors", {f"{encoder}.diff": np.zeros((64, 64), np.float32)})
    assert not list(node.replace(loras=[Lora(text)]).check())
    words = Checkpoint(TEXT, text_quantization="int8wo")
    (problem,) = node.replace(checkpoint=words, loras=[Lora(text)]).check()
    assert "the weights of the text_encoder, which are quantized to int8wo" in problem.found
    half = Text2Image(prompt="a", checkpoint=Checkpoint(TEXT, dtype="float16"))
    added = half.replace(loras=[merged]).working_memory({}, "float32")
    assert added - half.working_memory({}, "float32") == 64 * 64 * 2
    bare = Text2Image(prompt="a", checkpoint=Checkpoint(TEXT))
    sizes: dict[str, int] = {}
    more = bare.replace(loras=[merged]).working_memory(sizes, "float32")
    assert more - bare.working_memory(sizes, "float32") == 64 * 64 * 4
