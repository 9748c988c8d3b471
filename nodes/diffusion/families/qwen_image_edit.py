"""Qwen-Image-Edit and Qwen-Image-Edit-Plus (2509, 2511), which edit as an instruction says."""

from __future__ import annotations

from dataclasses import replace

from .family_settings import FamilyVersion
from .picture_prompts import PromptPictures, size_of_area
from .qwen_image import QWEN_IMAGE
from .transformer_networks import transformer

_MAX_TOKENS = 1024
_AREA = 1024 * 1024
"""The pixels to which the pipelines resize a picture that is edited."""
_SEEN_AREA = 384 * 384
"""The pixels to which the pipeline for several pictures resizes those for the text encoder."""
_TOKENS_OF_PICTURE = _AREA // 28**2
"""The tokens that the text encoder makes of a picture."""


def _reference_area(area: int) -> int:
    del area
    return _AREA


def _inpaint_size(width: int, height: int) -> tuple[int, int]:
    return size_of_area(_AREA, width, height)


QWEN_IMAGE_EDIT = replace(
    QWEN_IMAGE,
    label="Qwen-Image-Edit",
    adapters=("lora",),
    class_names=("QwenImageEditPipeline", "QwenImageEditInpaint"),
    name_hint="qwen-image-edit",
    pipelines={
        "edit": "QwenImageEditPipeline",
        "inpaint": "QwenImageEditInpaintPipeline",
    },
    denoiser=transformer(
        "QwenImageTransformer2DModel", tensors=14.1, text_tokens=450 + _TOKENS_OF_PICTURE
    ),
    text_encoders=tuple(
        replace(encoder, max_tokens=_MAX_TOKENS, processor="processor")
        for encoder in QWEN_IMAGE.text_encoders
    ),
    prompt_encoding=replace(
        QWEN_IMAGE.prompt_encoding,
        options={"max_sequence_length": _MAX_TOKENS},
        pictures=PromptPictures(_AREA),
    ),
    reference_area=_reference_area,
    inpaint_size=_inpaint_size,
    versions=(FamilyVersion(label="Qwen-Image-Edit"),),
)

QWEN_IMAGE_EDIT_PLUS = replace(
    QWEN_IMAGE_EDIT,
    label="Qwen-Image-Edit-Plus",
    class_names=("QwenImageEditPlus",),
    name_hint="qwen-image-edit-2",
    pipelines={"edit": "QwenImageEditPlusPipeline"},
    denoiser=QWEN_IMAGE.denoiser,
    prompt_encoding=replace(
        QWEN_IMAGE_EDIT.prompt_encoding, pictures=PromptPictures(_SEEN_AREA, several=True)
    ),
    inpaint_size=None,
    max_pictures=10,
    versions=(FamilyVersion(label="Qwen-Image-Edit-Plus"),),
)
