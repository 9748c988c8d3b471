"""Lumina-Image 2.0 (Qin et al. 2025)."""

from __future__ import annotations

from typing import Any

from .family_settings import FamilyVersion, Guidance, TextEncoder
from .lora_names import LoraNames
from .model_family import ModelFamily
from .prompt_encoding import MASKED_EMBEDDINGS, PromptEncoding
from .transformer_networks import (
    GEMMA_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    transformer,
)

_MAX_TOKENS = 256


def _instruction(pipe: Any) -> str:
    return f"{pipe.system_prompt} <Prompt Start> "


_BLOCKS = ("layers", "noise_refiner", "context_refiner")
_BLOCK = {
    "attention.qkv": "attn.{to_q,to_k,to_v}",
    "attention.out": "attn.to_out.0",
    "attention.q_norm": "attn.norm_q",
    "attention.k_norm": "attn.norm_k",
    "feed_forward.w1": "feed_forward.linear_1",
    "feed_forward.w2": "feed_forward.linear_2",
    "feed_forward.w3": "feed_forward.linear_3",
    "adaLN_modulation.1": "norm1.linear",
}
_LORA_NAMES = LoraNames(
    label="Lumina 2",
    widths=(2304,),
    mark=r"^(layers|noise_refiner|context_refiner)_\d+_(attention|attn|feed_forward)_",
    layers={
        **{
            f"{block}.*.{name}": f"{block}.*.{target}"
            for block in _BLOCKS
            for name, target in _BLOCK.items()
        },
        "t_embedder.mlp.0": "time_caption_embed.timestep_embedder.linear_1",
        "t_embedder.mlp.2": "time_caption_embed.timestep_embedder.linear_2",
        "cap_embedder.0": "time_caption_embed.caption_embedder.0",
        "cap_embedder.1": "time_caption_embed.caption_embedder.1",
        "final_layer.adaLN_modulation.1": "norm_out.linear_1",
        "final_layer.linear": "norm_out.linear_2",
    },
)

LUMINA2 = ModelFamily(
    label="Lumina 2",
    class_names=("Lumina2",),
    name_hint="lumina-image-2",
    pipelines={"text-to-image": "Lumina2Pipeline"},
    denoiser=transformer("Lumina2Transformer2DModel", tensors=26.6, text_tokens=_MAX_TOKENS),
    text_encoders=(
        TextEncoder(
            max_tokens=_MAX_TOKENS,
            classes=("Gemma2Model", "Gemma2ForCausalLM"),
            tokenizer_classes=GEMMA_TOKENIZERS,
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=MASKED_EMBEDDINGS,
        options={"max_sequence_length": _MAX_TOKENS},
        instruction=_instruction,
    ),
    guidance=Guidance(scale=4.0, in_turn=True),
    steps=30,
    min_multiple=16,
    flow_matching=True,
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    lora_names=_LORA_NAMES,
    knobs=TRANSFORMER_KNOBS,
    versions=(FamilyVersion(label="Lumina 2"),),
)
