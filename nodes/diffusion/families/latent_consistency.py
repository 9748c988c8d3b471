"""Latent consistency models (Luo et al. 2023), distilled from Stable Diffusion to a few steps."""

from __future__ import annotations

from dataclasses import replace

from .family_settings import Guidance
from .stable_diffusion import STABLE_DIFFUSION

LATENT_CONSISTENCY = replace(
    STABLE_DIFFUSION,
    label="Latent Consistency",
    class_names=("LatentConsistencyModel",),
    name_hint="lcm",
    # Nobody has distilled a depth-guided checkpoint.
    pipelines={
        **{task: name for task, name in STABLE_DIFFUSION.pipelines.items() if "depth" not in task},
        "text-to-image": "LatentConsistencyModelPipeline",
        "image-to-image": "LatentConsistencyModelImg2ImgPipeline",
    },
    guidance=Guidance(
        scale=8.5, embedded=True, two_pass_tasks=("controlnet-image", "controlnet-inpaint")
    ),
    steps=4,
    few_steps=4,
)
