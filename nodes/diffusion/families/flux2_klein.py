"""FLUX.2 Klein (Black Forest Labs 2026), the base models and those distilled to four steps."""

from __future__ import annotations

from dataclasses import replace

from .family_settings import FamilyVersion, Guidance, TextEncoder
from .flux_lora_names import FLUX2_LORA_NAMES
from .model_family import ModelFamily
from .networks import Config
from .prompt_encoding import PromptEncoding
from .transformer_networks import (
    FLUX2_AUTOENCODER,
    QWEN_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    transformer,
)

_MAX_TOKENS = 512


def _is_distilled(index: Config, denoiser: Config) -> bool:
    return index.get("is_distilled") is True


_LARGEST_REFERENCE = 1024 * 1024
"""The pixels to which the pipelines shrink pictures that are edited."""


def reference_area(area: int) -> int:
    """The pixels of a picture that is edited, as the pipelines of FLUX.2 read it."""
    return min(area, _LARGEST_REFERENCE)


def _is_always_distilled(index: Config, denoiser: Config) -> bool:
    return True


FLUX2_KLEIN = ModelFamily(
    label="FLUX.2 Klein",
    class_names=("Flux2Klein",),
    name_hint="flux.2-klein|klein",
    pipelines={
        "text-to-image": "Flux2KleinPipeline",
        "inpaint": "Flux2KleinInpaintPipeline",
        "edit": "Flux2KleinPipeline",
    },
    denoiser=transformer(
        "Flux2Transformer2DModel", tensors=21.3, text_tokens=_MAX_TOKENS, latents_per_token=4
    ),
    decoder=FLUX2_AUTOENCODER,
    text_encoders=(
        TextEncoder(
            max_tokens=_MAX_TOKENS,
            classes=("Qwen3ForCausalLM",),
            tokenizer_classes=QWEN_TOKENIZERS,
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=("prompt_embeds", ""),
        per_prompt=True,
        options={"max_sequence_length": _MAX_TOKENS},
    ),
    guidance=Guidance(scale=4.0, in_turn=True),
    is_distilled=_is_distilled,
    index_settings=("is_distilled",),
    min_multiple=16,
    takes_image_size=True,
    flow_matching=True,
    max_pictures=10,
    reference_area=reference_area,
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    lora_names=FLUX2_LORA_NAMES,
    knobs=TRANSFORMER_KNOBS,
    caches=dict.fromkeys(
        ("taylorseer", "pyramid-attention", "fastercache"), ("text-to-image", "edit", "inpaint")
    ),
    versions=(FamilyVersion(label="FLUX.2 Klein"),),
)

FLUX2_KLEIN_KV = replace(
    FLUX2_KLEIN,
    label="FLUX.2 Klein KV",
    class_names=("Flux2KleinKV",),
    name_hint="flux.2-klein-9b-kv|klein-9b-kv",
    pipelines={"text-to-image": "Flux2KleinKVPipeline", "edit": "Flux2KleinKVPipeline"},
    # Its own pipeline, which has the same function, cannot be made without a transformer.
    prompt_encoding=replace(FLUX2_KLEIN.prompt_encoding, encode_prompt_of="Flux2KleinPipeline"),
    # Its pipeline reads the pictures that are edited in the first step alone.
    guidance=Guidance(argument="", scale=0.0),
    caches=dict.fromkeys(("pyramid-attention", "fastercache"), ("text-to-image", "edit")),
    is_distilled=_is_always_distilled,
    versions=(FamilyVersion(label="FLUX.2 Klein KV"),),
)
