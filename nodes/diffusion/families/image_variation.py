"""Image variations (Lambda Labs 2022): Stable Diffusion that reads a picture in place of words."""

from __future__ import annotations

from dataclasses import replace

from .family_settings import FamilyVersion, OptionalComponent
from .networks import UNET_LORA_PREFIXES
from .prompt_encoding import PromptEncoding
from .stable_diffusion import STABLE_DIFFUSION

IMAGE_VARIATION = replace(
    STABLE_DIFFUSION,
    label="Stable Diffusion Image Variation",
    class_names=("StableDiffusionImageVariation",),
    name_hint="image-variation",
    pipelines={"variation": "StableDiffusionImageVariationPipeline"},
    purposes={4: "text-to-image"},
    text_encoders=(),
    optional=(
        OptionalComponent(name="image_encoder", classes=("CLIPVisionModelWithProjection",)),
        OptionalComponent(name="feature_extractor"),
    ),
    prompt_encoding=PromptEncoding(results=()),
    adapters=("lora",),
    lora_prefixes=UNET_LORA_PREFIXES,
    versions=(FamilyVersion(label="Stable Diffusion Image Variation"),),
)
