"""Stable Diffusion 1.x and 2.x (Rombach et al. 2022), and models distilled from them."""

from __future__ import annotations

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

from .control_settings import UNET_CONTROL, MapAdapterSettings
from .family_settings import FamilyVersion, Guidance
from .model_family import ModelFamily
from .networks import UNET_2D, UNET_LORA_PREFIXES

_VERSION_1 = FamilyVersion(
    label="Stable Diffusion 1.x",
    text_width=768,
    inversion_width=768,
    controlnets={
        EdgeMap: "lllyasviel/sd-controlnet-canny",
        DepthMap: "lllyasviel/sd-controlnet-depth",
        PoseMap: "lllyasviel/sd-controlnet-openpose",
        SegmentMap: "lllyasviel/sd-controlnet-seg",
        ScribbleMap: "lllyasviel/sd-controlnet-scribble",
        SoftEdgeMap: "lllyasviel/sd-controlnet-hed",
        NormalMap: "lllyasviel/sd-controlnet-normal",
    },
    ip_adapter=Lora("h94/IP-Adapter", file="models/ip-adapter_sd15.safetensors"),
)

_VERSION_2 = FamilyVersion(
    label="Stable Diffusion 2.x",
    text_width=1024,
    inversion_width=1024,
    controlnets={
        EdgeMap: "thibaud/controlnet-sd21-canny-diffusers",
        DepthMap: "thibaud/controlnet-sd21-depth-diffusers",
        PoseMap: "thibaud/controlnet-sd21-openpose-diffusers",
        ScribbleMap: "thibaud/controlnet-sd21-scribble-diffusers",
    },
)

_SHIPPED = FamilyVersion(
    label="tiny",
    controlnets={EdgeMap: "tiny/controlnet-edges", DepthMap: "tiny/controlnet-depth"},
    ip_adapter=Lora("tiny/ip-adapter"),
)

STABLE_DIFFUSION = ModelFamily(
    label="Stable Diffusion",
    class_names=("StableDiffusion",),
    pipelines={
        "text-to-image": "StableDiffusionPipeline",
        "image-to-image": "StableDiffusionImg2ImgPipeline",
        "inpaint": "StableDiffusionInpaintPipeline",
        "controlnet": "StableDiffusionControlNetPipeline",
        "controlnet-image": "StableDiffusionControlNetImg2ImgPipeline",
        "controlnet-inpaint": "StableDiffusionControlNetInpaintPipeline",
        "depth-to-image": "StableDiffusionDepth2ImgPipeline",
    },
    purposes={4: "text-to-image", 5: "depth-guided", 9: "inpainting"},
    control=replace(
        UNET_CONTROL, map_adapters=MapAdapterSettings(pipeline="StableDiffusionAdapterPipeline")
    ),
    denoiser=UNET_2D,
    guidance=Guidance(
        rescaled_tasks=("text-to-image",),
        two_pass_tasks=("controlnet-image", "controlnet-inpaint", "depth-to-image"),
    ),
    few_steps=1,
    lora_prefixes={
        **UNET_LORA_PREFIXES,
        "text_encoder.": "text_encoder",
        "lora_te_": "text_encoder",
        "lora_te1_": "text_encoder",
    },
    versions=(_VERSION_1, _VERSION_2),
    shipped=_SHIPPED,
)
