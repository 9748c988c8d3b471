"""The names of tensors show weights of another class or layout, and weights with scales."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from sdgraph import Checkpoint
from sdgraph.errors import CheckpointError
from sdgraph.models import resolve_part, tensor_shapes
from sdgraph.models.checkpoint.weight_marks import mark_problem
from sdgraph.models.sources import shipped
from sdgraph.values import Part
from tests.support import fake_checkpoints
from tests.support.published_layouts import write_header


@pytest.mark.parametrize(
    ("tensor", "class_name"),
    [
        ("model.diffusion_model.input_blocks.0.0.weight", "UNet2DConditionModel"),
        ("first_stage_model.encoder.conv_in.weight", "AutoencoderKL"),
        ("cond_stage_model.transformer.text_model.embeddings.position_ids", "CLIPTextModel"),
        ("conditioner.embedders.0.transformer.text_model.final_layer_norm.bias", "CLIPTextModel"),
        ("input_blocks.1.0.in_layers.0.weight", "UNet2DConditionModel"),
        ("control_model.input_blocks.0.0.weight", "ControlNetModel"),
        ("encoder.down.0.block.0.norm1.weight", "AutoencoderKL"),
        ("double_blocks.0.img_attn.qkv.weight", "FluxTransformer2DModel"),
        ("model.joint_blocks.0.x_block.attn.qkv.weight", "SD3Transformer2DModel"),
        ("lora_unet_down_blocks_0.lora_down.weight", "UNet2DConditionModel"),
        ("down_blocks.0.attentions.0.to_q.lora_A.weight", "UNet2DConditionModel"),
        ("text_model.encoder.layers.0.mlp.fc1.weight", "BertModel"),
        ("text_model.encoder.layers.0.mlp.fc1.weight", "T5EncoderModel"),
        ("text_model.embeddings.token_embedding.weight", "UNet2DConditionModel"),
        ("embeddings.word_embeddings.weight", "CLIPTextModel"),
        ("bert.encoder.layer.0.attention.self.query.weight", "CLIPTextModel"),
        ("encoder.block.0.layer.0.SelfAttention.q.weight", "CLIPTextModel"),
        ("model.layers.0.self_attn.q_proj.weight", "T5EncoderModel"),
        ("vision_model.embeddings.class_embedding", "T5EncoderModel"),
        ("down_blocks.0.resnets.0.conv1.weight", "AutoencoderKL"),
        ("decoder.up_blocks.0.resnets.0.conv1.weight", "UNet2DConditionModel"),
        ("controlnet_cond_embedding.conv_in.weight", "UNet2DConditionModel"),
    ],
)
def test_a_telltale_name_is_refused(tensor: str, class_name: str) -> None:
    problem = mark_problem(["weight", tensor], class_name)
    assert problem is not None
    assert tensor in problem.found and class_name in problem.wanted and problem.fix


@pytest.mark.parametrize(
    "scale",
    [
        "scaled_fp8",
        "conv_in.scale_weight",
        "conv_in.scale_input",
        "conv_in.weight_scale",
        "conv_in.weight_scale_inv",
        "conv_in.input_scale",
        "conv_in.comfy_quant",
    ],
)
@pytest.mark.parametrize("class_name", ["UNet2DConditionModel", "T5EncoderModel", "OtherModel"])
def test_scales_are_refused_whatever_the_class(scale: str, class_name: str) -> None:
    for quantized in (False, True):
        problem = mark_problem(["conv_in.weight", scale], class_name, quantized=quantized)
        assert problem is not None and "a scale of fp8 weights" in problem.found


@pytest.mark.parametrize("suffix", ["qweight", "SCB", "weight.absmax", "wscales"])
def test_quantized_weights_are_refused_unless_the_config_says_how(suffix: str) -> None:
    name = f"blocks.0.{suffix}"
    assert mark_problem([name], "FluxTransformer2DModel") is not None
    assert mark_problem([name], "FluxTransformer2DModel", quantized=True) is None


@pytest.mark.parametrize(
    ("tensor", "class_name"),
    [
        ("layer_scale", "SomeModel"),
        ("blocks.0.norm.scale", "WanTransformer3DModel"),
        ("scale_shift_table", "PixArtTransformer2DModel"),
        ("text_model.encoder.layers.0.mlp.fc1.weight", "CLIPTextModelWithProjection"),
        ("clip.text_model.embeddings.token_embedding.weight", "CLIPSegForImageSegmentation"),
        ("text_model.embeddings.word_embeddings.weight", "GroupViTModel"),
        ("embeddings.word_embeddings.weight", "BertModel"),
        ("encoder.layer.0.attention.self.query.weight", "XLMRobertaModel"),
        ("shared.weight", "UMT5EncoderModel"),
        ("model.layers.0.self_attn.q_proj.weight", "LlamaForCausalLM"),
        ("model.layers.0.self_attn.q_proj.weight", "Qwen2_5_VLForConditionalGeneration"),
        ("encoder.block.0.snake1.alpha", "AutoencoderOobleck"),
    ],
)
def test_a_name_that_a_class_has_passes(tensor: str, class_name: str) -> None:
    assert mark_problem([tensor], class_name) is None


def test_the_shipped_weights_pass() -> None:
    for path in shipped._FOLDER.rglob("*.safetensors"):
        if (path.parent / "config.json").is_file():
            config = json.loads((path.parent / "config.json").read_text())
            class_name = config.get("_class_name") or config["architectures"][0]
            assert mark_problem(tensor_shapes(path), class_name) is None, path


def test_a_component_with_a_foreign_header_is_refused_at_validation(tmp_path: Path) -> None:
    weights = fake_checkpoints.safetensors(b"abc")
    folder = fake_checkpoints.checkpoint(tmp_path, unet=weights, text_encoder=weights)
    part = Part(Checkpoint(folder), "text_encoder")
    resolve_part(part).check()
    path = folder / "text_encoder" / "model.safetensors"
    write_header(path, {"text_model.final_layer_norm.bias": (4,), "a.weight_scale_inv": (2,)})
    with pytest.raises(CheckpointError, match="weight_scale_inv, a scale of blocks of weights"):
        resolve_part(part).check()
    write_header(path, {"bert.embeddings.word_embeddings.weight": (4, 2)})
    with pytest.raises(CheckpointError) as caught:
        resolve_part(part).check()
    problem = caught.value.problems[0]
    assert problem.subject == f"{folder}/text_encoder: {path.name}"
    assert problem.found.endswith("of a text encoder of BERT")
    assert problem.wanted == "the weights of a CLIPTextModel"
