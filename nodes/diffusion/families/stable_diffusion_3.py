"""Stable Diffusion 3 and 3.5 (Esser et al. 2024)."""

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

STABLE_DIFFUSION_3 = ModelFamily(
    label="Stable Diffusion 3",
    class_names=("StableDiffusion3",),
    name_hint="stable-diffusion-3",
    pipelines={
        "text-to-image": "StableDiffusion3Pipeline",
        "image-to-image": "StableDiffusion3Img2ImgPipeline",
        "inpaint": "StableDiffusion3InpaintPipeline",
    },
    denoiser=transformer("SD3Transformer2DModel", tensors=12.7, text_tokens=200),
    text_encoders=(
        TextEncoder(classes=("CLIPTextModelWithProjection",)),
        TextEncoder(
            name="text_encoder_2",
            tokenizer="tokenizer_2",
            classes=("CLIPTextModelWithProjection",),
        ),
        TextEncoder(
            name="text_encoder_3",
            tokenizer="tokenizer_3",
            max_tokens=_MAX_TOKENS,
            optional=True,
            classes=("T5EncoderModel",),
            tokenizer_classes=T5_TOKENIZERS,
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=(
            "prompt_embeds",
            "negative_prompt_embeds",
            "pooled_prompt_embeds",
            "negative_pooled_prompt_embeds",
        ),
        options={
            "prompt_2": None,
            "prompt_3": None,
            "num_images_per_prompt": 1,
            "max_sequence_length": _MAX_TOKENS,
        },
    ),
    guidance=Guidance(scale=7.0, skipping_tasks=("text-to-image",)),
    steps=28,
    few_steps=4,
    min_multiple=16,
    takes_image_size=True,
    flow_matching=True,
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    knobs=TRANSFORMER_KNOBS,
    versions=(FamilyVersion(label="Stable Diffusion 3"),),
)
