"""HunyuanVideo I2V (Kong et al. 2024): videos that begin with a picture."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from .family_settings import FamilyVersion, VideoSettings
from .hunyuan_video import HUNYUAN_VIDEO
from .model_family import ModelFamily
from .networks import Config
from .picture_prompts import UnchangedPictures

_CONCATENATED = "latent_concat"
"""The kind of checkpoint that takes the latents of the picture as further channels.

One of the other kind, `token_replace`, takes them in the place of the first frame's.
"""

_MAX_TOKENS = 252
"""Of 256 tokens four more than the first one, which is counted, are written after a prompt."""

_LEFT_OUT = 4
"""The frames that the pipeline makes and leaves out for a checkpoint that concatenates."""


def _reads_no_guidance(index: Config, denoiser: Config) -> bool:
    return denoiser.get("guidance_embeds") is False


def _prompt_options(denoiser: Config) -> Mapping[str, Any]:
    """Of how many tokens of the picture one is read; the call of the pipeline chooses it too."""
    return {"image_embed_interleave": 2 if _concatenates(denoiser) else 4}


def _video_by_config(index: Config, denoiser: Config) -> Mapping[str, Any]:
    return {"frames": 125, "left_out_frames": _LEFT_OUT} if _concatenates(denoiser) else {}


def _concatenates(denoiser: Config) -> bool:
    return denoiser.get("image_condition_type") == _CONCATENATED


_WORDS_BY_CLIP, _WORDS_BY_LLAMA = HUNYUAN_VIDEO.text_encoders

HUNYUAN_VIDEO_IMAGE: ModelFamily = replace(
    HUNYUAN_VIDEO,
    label="HunyuanVideo I2V",
    class_names=("HunyuanVideoImageToVideo",),
    pipeline_by_config=None,
    name_hint="hunyuanvideo-i2v",
    pipelines={"image-to-video": "HunyuanVideoImageToVideoPipeline"},
    text_encoders=(
        _WORDS_BY_CLIP,
        replace(
            _WORDS_BY_LLAMA,
            max_tokens=_MAX_TOKENS,
            classes=("LlavaForConditionalGeneration",),
            processor="image_processor",
        ),
    ),
    prompt_encoding=replace(
        HUNYUAN_VIDEO.prompt_encoding,
        pictures=UnchangedPictures(),
        options_by_config=_prompt_options,
    ),
    is_distilled=_reads_no_guidance,
    distilled_steps=50,
    video=VideoSettings(
        frames=129, frame_step=4, fps=24.0, size=(1280, 720), by_config=_video_by_config
    ),
    versions=(FamilyVersion(label="HunyuanVideo I2V"),),
)
