"""FLUX.2 dev (Black Forest Labs 2025)."""

from __future__ import annotations

from dataclasses import replace

from .family_settings import FamilyVersion, Guidance, TextEncoder
from .flux2_klein import FLUX2_KLEIN
from .model_family import is_never_distilled

_MAX_TOKENS = 512
_MAX_TOKENS_OF_PROMPT = 430
"""The tokens left for the prompt: the pipeline writes an instruction before it."""


FLUX2 = replace(
    FLUX2_KLEIN,
    label="FLUX.2",
    class_names=("Flux2Pipeline",),
    name_hint="flux.2",
    pipelines={"text-to-image": "Flux2Pipeline", "edit": "Flux2Pipeline"},
    text_encoders=(
        TextEncoder(
            max_tokens=_MAX_TOKENS_OF_PROMPT,
            classes=("Mistral3ForConditionalGeneration",),
            tokenizer_classes=(),
        ),
    ),
    guidance=Guidance(scale=4.0, embedded=True),
    caches=dict.fromkeys(("pyramid-attention", "fastercache"), ("text-to-image", "edit")),
    is_distilled=is_never_distilled,
    index_settings=(),
    versions=(FamilyVersion(label="FLUX.2"),),
)
