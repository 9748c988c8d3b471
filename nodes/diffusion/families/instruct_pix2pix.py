"""InstructPix2Pix (Brooks et al. 2023) over Stable Diffusion 1.x and SDXL."""

from __future__ import annotations

from dataclasses import replace

from .family_settings import Guidance
from .sdxl import SDXL
from .stable_diffusion import STABLE_DIFFUSION

_IMAGE_GUIDANCE = "image_guidance_scale"

INSTRUCT_PIX2PIX = replace(
    STABLE_DIFFUSION,
    label="InstructPix2Pix",
    class_names=("StableDiffusionInstructPix2Pix",),
    name_hint="pix2pix",
    pipelines={"edit": "StableDiffusionInstructPix2PixPipeline"},
    purposes={8: "edit"},
    # The pipeline embeds prompts as that of Stable Diffusion does, but while it runs.
    prompt_encoding=replace(
        STABLE_DIFFUSION.prompt_encoding, encode_prompt_of="StableDiffusionPipeline"
    ),
    guidance=Guidance(scale=7.5, image_argument=_IMAGE_GUIDANCE),
    steps=100,
)

INSTRUCT_PIX2PIX_XL = replace(
    SDXL,
    label="InstructPix2Pix XL",
    class_names=("StableDiffusionXLInstructPix2Pix",),
    name_hint="xl-instruct",
    pipelines={"edit": "StableDiffusionXLInstructPix2PixPipeline"},
    fitting_tasks=None,
    purposes={8: "edit"},
    guidance=Guidance(scale=5.0, image_argument=_IMAGE_GUIDANCE, rescaled_tasks=("edit",)),
    steps=100,
    index_settings=(*SDXL.index_settings, "is_cosxl_edit"),
    takes_image_size=True,
)
