"""Lumina-Image 2.0 (Qin et al. 2025)."""

from __future__ import annotations

from typing import Any

from .family_settings import FamilyVersion, Guidance, TextEncoder
from .model_family import ModelFamily
from .prompt_encoding import PromptEncoding
from .transformer_networks import (
    GEMMA_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    transformer,
)

_MAX_TOKENS = 256


def _instruction(pipe: Any) -> str:
    return f"{pipe.system_prompt} <Prompt Start> "


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
        results=(
            "prompt_embeds",
            "prompt_attention_mask",
            "negative_prompt_embeds",
            "negative_prompt_attention_mask",
        ),
        options={"max_sequence_length": _MAX_TOKENS},
        instruction=_instruction,
    ),
    guidance=Guidance(scale=4.0, in_turn=True),
    steps=30,
    min_multiple=16,
    flow_matching=True,
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    knobs=TRANSFORMER_KNOBS,
    versions=(FamilyVersion(label="Lumina 2"),),
)
