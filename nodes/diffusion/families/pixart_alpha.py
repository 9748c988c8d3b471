"""PixArt-Alpha (Chen et al. 2023)."""

from __future__ import annotations

import re
from dataclasses import replace

from .family_settings import FamilyVersion
from .pixart_sigma import PIXART_SIGMA
from .transformer_networks import transformer

_MAX_TOKENS = 120
_MULTISTEP = re.compile(r"dpm\+\+|unipc|deis|sa-solver|DPMSolver|UniPC|DEIS|SASolver")
"""Schedulers that do not tell the picture that one step leads to, which the pipeline takes."""


def _fewest_steps(scheduler: str) -> int:
    return 2 if _MULTISTEP.match(scheduler) else 1


PIXART_ALPHA = replace(
    PIXART_SIGMA,
    label="PixArt-Alpha",
    class_names=("PixArtAlpha",),
    name_hint="pixart-xl-2",
    pipelines={"text-to-image": "PixArtAlphaPipeline"},
    denoiser=transformer(
        "PixArtTransformer2DModel", "Transformer2DModel", tensors=12.0, text_tokens=115
    ),
    text_encoders=tuple(
        replace(encoder, max_tokens=_MAX_TOKENS) for encoder in PIXART_SIGMA.text_encoders
    ),
    prompt_encoding=replace(
        PIXART_SIGMA.prompt_encoding,
        options={**PIXART_SIGMA.prompt_encoding.options, "max_sequence_length": _MAX_TOKENS},
    ),
    fewest_steps=_fewest_steps,
    versions=(FamilyVersion(label="PixArt-Alpha"),),
)
