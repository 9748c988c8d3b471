"""AuraFlow (fal.ai 2024)."""

from __future__ import annotations

from .family_settings import FamilyVersion, Guidance, TextEncoder
from .lora_names import LoraNames
from .model_family import ModelFamily
from .prompt_encoding import MASKED_EMBEDDINGS, PromptEncoding
from .transformer_networks import (
    T5_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    transformer,
)

_MAX_TOKENS = 256

_ATTENTION = {"q": "to_q", "k": "to_k", "v": "to_v", "o": "to_out.0"}
_ATTENTION_OF_TEXT = {"q": "add_q_proj", "k": "add_k_proj", "v": "add_v_proj", "o": "to_add_out"}
_FEED_FORWARD = {"c_fc1": "linear_1", "c_fc2": "linear_2", "c_proj": "out_projection"}
_JOINT, _SINGLE = "joint_transformer_blocks.*", "single_transformer_blocks.*"
_LORA_NAMES = LoraNames(
    label="AuraFlow",
    widths=(3072,),
    mark=r"^(double|single)_layers_\d+_|^joint_transformer_blocks_",
    layers={
        **{f"double_layers.*.attn.w2{a}": f"{_JOINT}.attn.{b}" for a, b in _ATTENTION.items()},
        **{
            f"double_layers.*.attn.w1{a}": f"{_JOINT}.attn.{b}"
            for a, b in _ATTENTION_OF_TEXT.items()
        },
        **{f"single_layers.*.attn.w1{a}": f"{_SINGLE}.attn.{b}" for a, b in _ATTENTION.items()},
        **{f"double_layers.*.mlpX.{a}": f"{_JOINT}.ff.{b}" for a, b in _FEED_FORWARD.items()},
        **{
            f"double_layers.*.mlpC.{a}": f"{_JOINT}.ff_context.{b}"
            for a, b in _FEED_FORWARD.items()
        },
        **{f"single_layers.*.mlp.{a}": f"{_SINGLE}.ff.{b}" for a, b in _FEED_FORWARD.items()},
        "double_layers.*.modX.1": f"{_JOINT}.norm1.linear",
        "double_layers.*.modC.1": f"{_JOINT}.norm1_context.linear",
        "single_layers.*.modCX.1": f"{_SINGLE}.norm1.linear",
        "cond_seq_linear": "context_embedder",
        "init_x_linear": "pos_embed.proj",
        "final_linear": "proj_out",
        "modF.1": "norm_out.linear",
    },
    swapped=("modF.1",),
)

AURA_FLOW = ModelFamily(
    label="AuraFlow",
    class_names=("AuraFlow",),
    name_hint="auraflow",
    pipelines={"text-to-image": "AuraFlowPipeline"},
    denoiser=transformer("AuraFlowTransformer2DModel", tensors=13.1, text_tokens=_MAX_TOKENS),
    text_encoders=(
        TextEncoder(
            max_tokens=_MAX_TOKENS,
            classes=("UMT5EncoderModel", "T5EncoderModel"),
            tokenizer_classes=(*T5_TOKENIZERS, "LlamaTokenizer", "LlamaTokenizerFast"),
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=MASKED_EMBEDDINGS,
        options={"max_sequence_length": _MAX_TOKENS},
    ),
    guidance=Guidance(scale=3.5),
    size=(1024, 1024),
    needs_sides=True,
    min_multiple=16,
    flow_matching=True,
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    lora_names=_LORA_NAMES,
    knobs=TRANSFORMER_KNOBS,
    versions=(FamilyVersion(label="AuraFlow"),),
)
