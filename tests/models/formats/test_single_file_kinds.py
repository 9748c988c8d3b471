"""What a file of weights holds is told from the names and shapes in its header."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph.models.checkpoint import single_files
from sdgraph.models.formats.single_file_kinds import BASES, Base, component_tensors, kind_of
from tests.support.ldm_headers import Shapes, header

CONFIGS = Path(single_files.__file__).parent / "bases"


@pytest.mark.parametrize("base", BASES, ids=lambda base: base.label)
def test_each_base_is_told_from_a_header(base: Base) -> None:
    kind = kind_of(header(base))
    assert kind.base is base and kind.label == f"a checkpoint of {base.label}"
    assert set(kind.prefixes) >= {"unet", "vae"} and not kind.advice


@pytest.mark.parametrize("base", [base for base in BASES if base.name], ids=lambda base: base.name)
def test_the_table_of_bases_says_what_their_configs_say(base: Base) -> None:
    for name in filter(None, (base.name, base.v_name)):
        config = json.loads((CONFIGS / name / "unet" / "config.json").read_text())
        assert config["in_channels"] == base.channels
        assert config["cross_attention_dim"] == base.text_width
        assert config["block_out_channels"][0] == base.width
        index = json.loads((CONFIGS / name / "model_index.json").read_text())
        folders = {path.name for path in (CONFIGS / name).iterdir() if path.is_dir()}
        assert folders == {
            key for key, entry in index.items() if isinstance(entry, list) and entry[1]
        }


def test_v_prediction_and_zero_snr_are_told_by_their_marks() -> None:
    xl = next(base for base in BASES if base.label == "SDXL")
    plain, marked = kind_of(header(xl)), kind_of(header(xl, v_pred=(0,), ztsnr=(0,)))
    assert kind_of(header(xl, v_pred=())).prediction == "v_prediction"
    assert kind_of(header(xl, v_pred=(1,))).prediction == "v_prediction"
    assert (plain.prediction, plain.zero_snr) == (None, False)
    assert (marked.prediction, marked.zero_snr) == ("v_prediction", True)
    for written, told in (("v", "v_prediction"), ("epsilon", "epsilon"), ("?", None)):
        kind = kind_of(header(xl), {"modelspec.prediction_type": written})
        assert kind.prediction == told


def test_only_stable_diffusion_2_may_predict_either() -> None:
    unknown = [base.label for base in BASES if kind_of(header(base)).is_prediction_unknown]
    assert unknown == ["Stable Diffusion 2.x"]


def test_averaged_weights_are_seen_and_belong_to_no_component() -> None:
    kind = kind_of(header(BASES[0], **{"model_ema.diffusion_modelinput_blocks00weight": (1,)}))
    assert kind.has_ema and kind.base is BASES[0]
    assert not any("model_ema.x".startswith(prefix) for prefix in kind.prefixes.values())


def test_what_is_missing_has_no_prefix() -> None:
    shapes = {name: shape for name, shape in header(BASES[0]).items() if "first_stage" not in name}
    assert set(kind_of(shapes).prefixes) == {"unet", "text_encoder"}


@pytest.mark.parametrize("change", ["width", "text_width", "channels", "tensors"])
def test_another_number_is_another_base(change: str) -> None:
    one = BASES[0]
    numbers = {"width": 32, "text_width": 2048, "channels": 6, "tensors": 300}
    other = Base(**{**vars(one), change: numbers[change]})
    kind = kind_of(header(other))
    assert kind.base is None and kind.label == "a checkpoint of an unknown base"
    assert kind.is_checkpoint, "its configs may be named"


@pytest.mark.parametrize(
    ("names", "label", "advice"),
    [
        (["lora_unet_down_blocks_0_x.lora_down.weight"], "a LoRA", "loras"),
        (["unet.down_blocks.0.attentions.0.to_k.lora_A.weight"], "a LoRA", "loras"),
        (["unet.mid_block.attn1.processor.to_q_lora.down.weight"], "a LoRA", "loras"),
        (["lora_unet_x.hada_w1_a"], "a LoRA of the kind LoHa", "loras"),
        (["lora_unet_x.lokr_w2"], "a LoRA of the kind LoKr", "loras"),
        (["double_blocks.0.img_attn.proj.lora_A.weight"], "a LoRA", "loras"),
        (["emb_params"], "an embedding (a textual inversion)", "embeddings"),
        (["clip_l", "clip_g"], "an embedding (a textual inversion)", "embeddings"),
        (["<cat-toy>"], "an embedding (a textual inversion)", "embeddings"),
        (["image_proj.proj.weight", "ip_adapter.1.to_k_ip.weight"], "an IP-Adapter", "ip_adapter"),
        (["control_model.input_hint_block.0.weight"], "a ControlNet", "network"),
        (["controlnet_cond_embedding.conv_in.weight"], "a ControlNet", "network"),
        (["lllite_unet_x.down.0.weight"], "a ControlNet-LLLite", "network"),
        (["down_blocks.0.motion_modules.0.x.weight"], "an AnimateDiff motion adapter", ""),
        (["decoder.up.0.block.0.conv1.weight"], "a VAE", "part"),
        (["first_stage_model.encoder.conv_in.weight"], "a VAE", "part"),
        (["text_model.encoder.layers.0.mlp.fc1.weight"], "a text encoder of CLIP", "part"),
        (["encoder.block.0.layer.0.SelfAttention.q.weight"], "a text encoder of T5", "part"),
        (["model.layers.0.self_attn.q_proj.weight"], "a language model", "part"),
        (["vision_model.encoder.layers.0.x.weight"], "an image encoder of CLIP", "part"),
        (["input_blocks.1.0.in_layers.0.weight"], "a U-Net alone", "part"),
        (["down_blocks.0.resnets.0.conv1.weight"], "a U-Net alone", "part"),
        (["double_blocks.0.img_attn.norm.key_norm.scale"], "a model of Flux", "layout"),
        (["model.diffusion_model.joint_blocks.0.x.weight"], "a model of Stable Diffusion 3", ""),
        (["head.modulation", "blocks.0.x.weight"], "a model of Wan", "layout"),
        (["head.modulation", "vace_blocks.0.after_proj.bias"], "a model of Wan VACE", "layout"),
        (["head.modulation", "face_adapter.fuser_blocks.0"], "a model of Wan Animate", "layout"),
        (["layers.0.adaLN_modulation.0.weight", "cap_embedder.0.weight"], "a model of Z-Image", ""),
        (["transformer_blocks.0.img_mod.1.weight"], "a model of Qwen-Image", "layout"),
        (["model.1.sub.0.RDB1.conv1.0.weight"], "an upscaler of pictures", ""),
        (["conv_first.weight", "body.0.rdb1.conv1.weight"], "an upscaler of pictures", ""),
        ([], "a file without any tensor", ""),
        (["what.is.this"], "weights of an unknown kind", ""),
    ],
)
def test_what_is_no_checkpoint_is_named_as_what_it_is(
    names: list[str], label: str, advice: str
) -> None:
    shape = (3, 768) if len(names) < 3 and "." not in "".join(names) else (4, 4, 3, 3)
    kind = kind_of(dict.fromkeys(names, shape))
    assert kind.label.startswith(label) and advice in kind.advice
    assert not kind.is_checkpoint and kind.base is None


@given(
    st.dictionaries(
        st.one_of(
            st.text(max_size=30),
            st.sampled_from(sorted(header(BASES[0])) + sorted(header(BASES[7]))),
            st.from_regex(r"(model\.diffusion_model\.|first_stage_model\.)?[a-z_.0-9]{1,20}"),
        ),
        st.lists(st.integers(0, 4096), max_size=4).map(tuple),
        max_size=12,
    )
)
def test_any_header_is_some_kind_and_components_share_no_tensor(shapes: Shapes) -> None:
    kind = kind_of(shapes)
    assert kind.label and (kind.is_checkpoint or kind.base is None)
    owned = [
        name for prefix in kind.prefixes.values() for name in component_tensors(shapes, prefix)
    ]
    assert len(owned) == len(set(owned)) and set(owned) <= set(shapes)
