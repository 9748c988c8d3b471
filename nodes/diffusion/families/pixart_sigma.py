"""PixArt-Sigma (Chen et al. 2024)."""

from __future__ import annotations

from .family_settings import FamilyVersion, Guidance, TextEncoder, keep_size
from .model_family import ModelFamily
from .prompt_encoding import MASKED_EMBEDDINGS, PromptEncoding
from .transformer_networks import T5_TOKENIZERS, TRANSFORMER_KNOBS, transformer

_MAX_TOKENS = 300


PIXART_SIGMA = ModelFamily(
    label="PixArt-Sigma",
    class_names=("PixArtSigma",),
    name_hint="pixart-sigma",
    pipelines={"text-to-image": "PixArtSigmaPipeline"},
    purposes={4: "text-to-image"},
    # Published configs have the older name, which diffusers loads as the newer class.
    denoiser=transformer(
        "PixArtTransformer2DModel", "Transformer2DModel", tensors=12.0, text_tokens=115
    ),
    text_encoders=(
        TextEncoder(
            max_tokens=_MAX_TOKENS,
            classes=("T5EncoderModel",),
            tokenizer_classes=T5_TOKENIZERS,
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=MASKED_EMBEDDINGS,
        # Cleaned, a prompt would be another one where beautifulsoup4 and ftfy are installed.
        options={"max_sequence_length": _MAX_TOKENS, "clean_caption": False},
        empty_negative="",
    ),
    guidance=Guidance(scale=4.5),
    steps=20,
    min_multiple=16,
    call_options=keep_size,
    adapters=(),  # diffusers' pipeline loads no LoRA
    knobs=TRANSFORMER_KNOBS,
    versions=(FamilyVersion(label="PixArt-Sigma"),),
)
