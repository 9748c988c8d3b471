"""AuraFlow (fal.ai 2024)."""

from __future__ import annotations

from .family_settings import FamilyVersion, Guidance, TextEncoder
from .model_family import ModelFamily
from .prompt_encoding import PromptEncoding
from .transformer_networks import (
    T5_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    transformer,
)

_MAX_TOKENS = 256

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
        results=(
            "prompt_embeds",
            "prompt_attention_mask",
            "negative_prompt_embeds",
            "negative_prompt_attention_mask",
        ),
        options={"max_sequence_length": _MAX_TOKENS},
    ),
    guidance=Guidance(scale=3.5),
    size=(1024, 1024),
    needs_sides=True,
    min_multiple=16,
    flow_matching=True,
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    knobs=TRANSFORMER_KNOBS,
    versions=(FamilyVersion(label="AuraFlow"),),
)
