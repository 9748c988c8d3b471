"""Stable Video Diffusion (Blattmann et al. 2023): a video that begins with a picture, no words."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from sdgraph.values import DTYPE_BYTES

from .family_settings import (
    FamilyVersion,
    Guidance,
    OptionalComponent,
    PipelineOption,
    VideoSettings,
)
from .model_family import ModelFamily
from .networks import AUTOENCODER, Config, Decoder, Denoiser
from .prompt_encoding import PromptEncoding

_STEP, _DECODING = 28.0, 8.0
"""Tensors of the widest level in a step, and of the frames' size while they are decoded."""


def _unet_memory(
    config: Config, images: int, area: int, dtype: str, *, controls: Sequence[Config] = ()
) -> int:
    """The bytes that a step of the U-Net needs, as `unet_memory` says."""
    channels = config.get("block_out_channels") or (320,)
    return int(_STEP * images * area * channels[0] * DTYPE_BYTES.get(dtype, 4))


def _decoding_memory(
    config: Config, images: int, area: int, dtype: str, mode: str | None = None
) -> int:
    """The bytes that decoding needs, in the dtype of the weights even with `force_upcast`."""
    del mode
    channels = config.get("block_out_channels") or (128,)
    return int(_DECODING * images * area * channels[0] * DTYPE_BYTES.get(dtype, 4))


def _halvings(config: Config) -> int:
    """What sides of latents are multiples of: each level of the U-Net but one halves them."""
    return int(2 ** (len(config.get("block_out_channels") or (0,) * 4) - 1))


def _no_lora_features(layer: str, config: Config) -> set[int]:
    return set()


def _frames_by_config(index: Config, denoiser: Config) -> Mapping[str, Any]:
    """How many frames a checkpoint was trained for: 14, or 25 of the extended one."""
    return {"frames": int(denoiser.get("num_frames") or VideoSettings.frames)}


STABLE_VIDEO = ModelFamily(
    label="Stable Video Diffusion",
    class_names=("StableVideoDiffusion",),
    name_hint="stable-video",
    pipelines={"image-to-video": "StableVideoDiffusionPipeline"},
    purposes={8: "image-to-video"},
    denoiser=Denoiser(
        name="unet",
        label="U-Net",
        memory=_unet_memory,
        lora_features=_no_lora_features,
        patch=_halvings,
        classes=("UNetSpatioTemporalConditionModel",),
    ),
    decoder=Decoder(
        name="vae",
        label="VAE",
        memory=_decoding_memory,
        scale=AUTOENCODER.scale,
        sliceable=(),
        classes=("AutoencoderKLTemporalDecoder",),
    ),
    text_encoders=(),
    optional=(
        OptionalComponent(name="image_encoder", classes=("CLIPVisionModelWithProjection",)),
        OptionalComponent(name="feature_extractor"),
    ),
    prompt_encoding=PromptEncoding(results=()),
    guidance=Guidance(argument="max_guidance_scale", scale=3.0),
    steps=25,
    min_multiple=64,
    video=VideoSettings(
        frames=25,
        fps=7.0,
        size=(1024, 576),
        fps_argument="fps",
        by_config=_frames_by_config,
        options={
            "motion_bucket_id": PipelineOption(default=127),
            "noise_aug_strength": PipelineOption(default=0.02),
            "min_guidance": PipelineOption(argument="min_guidance_scale", default=1.0),
            "decode_chunk_size": PipelineOption(),
        },
    ),
    adapters=(),
    knobs=("attention", "channels_last", "compile"),
    versions=(FamilyVersion(label="Stable Video Diffusion"),),
)
