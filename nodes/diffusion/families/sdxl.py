"""Stable Diffusion XL (Podell et al. 2023), and models distilled from it (SDXL Turbo)."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import replace

from sdgraph.values import (
    DepthMap,
    EdgeMap,
    Lora,
    NormalMap,
    PoseMap,
    ScribbleMap,
    SegmentMap,
    SoftEdgeMap,
)

from .control_settings import UNET_CONTROL, MapAdapterSettings, UnionSettings
from .family_settings import FamilyVersion, Guidance, TextEncoder
from .model_family import ZERO_EMPTY_PROMPT, ModelFamily, Task
from .networks import UNET_2D, UNET_LORA_PREFIXES, Config
from .prompt_encoding import PromptEncoding

_BASE = FamilyVersion(
    label="SDXL",
    text_width=2048,
    inversion_width=1280,
    controlnets={
        EdgeMap: "diffusers/controlnet-canny-sdxl-1.0",
        DepthMap: "diffusers/controlnet-depth-sdxl-1.0",
        PoseMap: "xinsir/controlnet-openpose-sdxl-1.0",
        SegmentMap: "SargeZT/sdxl-controlnet-seg",
        ScribbleMap: "xinsir/controlnet-scribble-sdxl-1.0",
        SoftEdgeMap: "xinsir/controlnet-scribble-sdxl-1.0",
    },
    ip_adapter=Lora("h94/IP-Adapter", file="sdxl_models/ip-adapter_sdxl_vit-h.safetensors"),
)

_SCORED = "requires_aesthetics_score"
"""The setting in the index of a refiner, which refines pictures that the base model made."""


def _fitting_tasks(index: Config, denoiser: Config) -> Collection[Task]:
    return ("image-to-image", "inpaint") if index.get(_SCORED) else SDXL.pipelines.keys()


_UNION = UnionSettings(
    class_name="ControlNetUnionModel",
    count="num_control_type",
    modes={
        PoseMap: 0,
        DepthMap: 1,
        SoftEdgeMap: 2,
        ScribbleMap: 2,
        EdgeMap: 3,
        NormalMap: 4,
        SegmentMap: 5,
    },
    pipelines={
        "StableDiffusionXLControlNetPipeline": "StableDiffusionXLControlNetUnionPipeline",
        "StableDiffusionXLControlNetImg2ImgPipeline": (
            "StableDiffusionXLControlNetUnionImg2ImgPipeline"
        ),
        "StableDiffusionXLControlNetInpaintPipeline": (
            "StableDiffusionXLControlNetUnionInpaintPipeline"
        ),
    },
)
"""ControlNets for six kinds of maps, or with further kinds for repainting (xinsir 2024)."""

SDXL = ModelFamily(
    label="SDXL",
    class_names=("StableDiffusionXL",),
    name_hint="xl",
    pipelines={
        "text-to-image": "StableDiffusionXLPipeline",
        "image-to-image": "StableDiffusionXLImg2ImgPipeline",
        "inpaint": "StableDiffusionXLInpaintPipeline",
        "controlnet": "StableDiffusionXLControlNetPipeline",
        "controlnet-image": "StableDiffusionXLControlNetImg2ImgPipeline",
        "controlnet-inpaint": "StableDiffusionXLControlNetInpaintPipeline",
    },
    fitting_tasks=_fitting_tasks,
    examples=dict.fromkeys(
        ("text-to-image", "controlnet", "controlnet-image", "controlnet-inpaint"),
        "stabilityai/stable-diffusion-xl-base-1.0",
    ),
    purposes={4: "text-to-image", 9: "inpainting"},
    control=replace(
        UNET_CONTROL,
        union=_UNION,
        map_adapters=MapAdapterSettings(
            pipeline="StableDiffusionXLAdapterPipeline", has_end=True, takes_reference=True
        ),
    ),
    denoiser=UNET_2D,
    text_encoders=(
        # A refiner has only the second one.
        TextEncoder(inversion="clip_l", optional=True),
        TextEncoder(
            name="text_encoder_2",
            tokenizer="tokenizer_2",
            inversion="clip_g",
            classes=("CLIPTextModelWithProjection",),
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=(
            "prompt_embeds",
            "negative_prompt_embeds",
            "pooled_prompt_embeds",
            "negative_pooled_prompt_embeds",
        ),
        options={"num_images_per_prompt": 1},
        in_windows=True,
    ),
    guidance=Guidance(
        rescaled_tasks=("text-to-image", "image-to-image", "inpaint", "controlnet-inpaint"),
        two_pass_tasks=("controlnet-image", "controlnet-inpaint"),
    ),
    hidden_state=-2,
    pooled=True,
    index_settings=(ZERO_EMPTY_PROMPT, _SCORED),
    few_steps=1,
    lora_prefixes={
        **UNET_LORA_PREFIXES,
        "text_encoder.": "text_encoder",
        "text_encoder_2.": "text_encoder_2",
        "lora_te_": "text_encoder",
        "lora_te1_": "text_encoder",
        "lora_te2_": "text_encoder_2",
    },
    versions=(_BASE,),
)
