"""Chroma (Lodestone Rock 2025), which was made from FLUX.1 schnell."""

from __future__ import annotations

from .family_settings import FamilyVersion, Guidance, TextEncoder
from .flux_lora_names import CHROMA_LORA_NAMES
from .model_family import ModelFamily
from .prompt_encoding import PromptEncoding
from .transformer_networks import (
    T5_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    transformer,
)

_MAX_TOKENS = 512

CHROMA = ModelFamily(
    label="Chroma",
    class_names=("ChromaPipeline", "ChromaImg2Img", "ChromaInpaint"),
    name_hint="chroma",
    pipelines={
        "text-to-image": "ChromaPipeline",
        "image-to-image": "ChromaImg2ImgPipeline",
        "inpaint": "ChromaInpaintPipeline",
    },
    denoiser=transformer(
        "ChromaTransformer2DModel", tensors=18.2, text_tokens=_MAX_TOKENS, latents_per_token=4
    ),
    text_encoders=(
        TextEncoder(
            max_tokens=_MAX_TOKENS,
            classes=("T5EncoderModel",),
            tokenizer_classes=T5_TOKENIZERS,
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=(
            "prompt_embeds",
            "",
            "prompt_attention_mask",
            "negative_prompt_embeds",
            "",
            "negative_prompt_attention_mask",
        ),
        options={"num_images_per_prompt": 1, "max_sequence_length": _MAX_TOKENS},
    ),
    guidance=Guidance(scale=5.0, in_turn=True),
    steps=35,
    min_multiple=16,
    takes_image_size=True,
    missing_settings={"guidance_embeds": False},  # read by the pipeline that inpaints
    flow_matching=True,
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    lora_names=CHROMA_LORA_NAMES,
    knobs=TRANSFORMER_KNOBS,
    caches=dict.fromkeys(("pyramid-attention", "fastercache"), ("text-to-image", "image-to-image")),
    versions=(FamilyVersion(label="Chroma"),),
)
