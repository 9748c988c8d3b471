"""The x4 upscaler of Stable Diffusion 2 (Rombach et al. 2022)."""

from __future__ import annotations

from dataclasses import replace

from .family_settings import Guidance
from .stable_diffusion import STABLE_DIFFUSION

STABLE_DIFFUSION_UPSCALER = replace(
    STABLE_DIFFUSION,
    label="Stable Diffusion x4 upscaler",
    class_names=("StableDiffusionUpscale",),
    name_hint="upscaler",
    pipelines={"upscale": "StableDiffusionUpscalePipeline"},
    purposes={7: "upscaling"},
    guidance=Guidance(scale=9.0),
    steps=75,
    index_settings=("max_noise_level",),
)
