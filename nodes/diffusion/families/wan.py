"""Wan 2.1 and 2.2 (Wan team 2025): videos from words, from a picture, or from two."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import replace
from typing import Any

from sdgraph.values import DTYPE_BYTES

from .family_settings import (
    FamilyVersion,
    Guidance,
    OptionalComponent,
    TextEncoder,
    VideoSettings,
)
from .model_family import ModelFamily, Task
from .networks import Config, Decoder
from .prompt_encoding import PromptEncoding
from .transformer_networks import (
    T5_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    transformer,
)

_MAX_TOKENS = 512
_DECODING, _DECODING_PICTURE = 54.5, 18.0
"""Tensors of a frame's size while the autoencoder decodes a video, or one picture."""


def _decoding_memory(
    config: Config, images: int, area: int, dtype: str, mode: str | None = None
) -> int:
    """The bytes that decoding needs: it goes frame by frame, so that their number hardly counts."""
    del mode
    tensors = _DECODING if images > 1 else _DECODING_PICTURE
    width = int(config.get("decoder_base_dim") or config.get("base_dim") or 96)
    return int(tensors * area * width * DTYPE_BYTES.get(dtype, 4))


_FROM_PICTURES: tuple[Task, ...] = ("image-to-video", "frames-to-video")


def _fitting_tasks(index: Config, denoiser: Config) -> Collection[Task]:
    """What a checkpoint was trained for, by the channels and the embeddings of its transformer.

    One for pictures takes the latents, those of the picture, and a mask of four channels. With
    places for the embeddings of two pictures (`pos_embed_seq_len`) it needs both.
    """
    if index.get("expand_timesteps"):
        return ("text-to-video", "image-to-video")
    if denoiser.get("in_channels") == denoiser.get("out_channels"):
        return ("text-to-video", "video-to-video")
    if denoiser.get("image_dim") is None:
        return _FROM_PICTURES
    return _FROM_PICTURES[1:] if denoiser.get("pos_embed_seq_len") else _FROM_PICTURES[:1]


def _video_by_index(index: Config) -> Mapping[str, Any]:
    """The videos of Wan 2.2 TI2V-5B, whose autoencoder makes the latents smaller."""
    if index.get("expand_timesteps"):
        return {"frames": 121, "fps": 24.0, "size": (1280, 704)}
    return {}


def _patch(config: Config) -> int:
    return int((config.get("patch_size") or (2,))[-1])


WAN = ModelFamily(
    label="Wan",
    class_names=("WanPipeline", "WanImageToVideo", "WanVideoToVideo"),
    name_hint="wan",
    pipelines={
        "text-to-video": "WanPipeline",
        "image-to-video": "WanImageToVideoPipeline",
        "frames-to-video": "WanImageToVideoPipeline",
    },
    fitting_tasks=_fitting_tasks,
    examples={
        "text-to-video": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        "image-to-video": "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",
        "frames-to-video": "Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers",
    },
    packages=dict.fromkeys(_FROM_PICTURES, ("ftfy",)),
    denoiser=replace(transformer("WanTransformer3DModel", tensors=16.0), patch=_patch),
    decoder=Decoder(
        name="vae",
        label="VAE",
        memory=_decoding_memory,
        scale=lambda config: int(config.get("scale_factor_spatial") or 8),
        sliceable=("AutoencoderKLWan",),
        classes=("AutoencoderKLWan",),
    ),
    text_encoders=(
        TextEncoder(
            max_tokens=_MAX_TOKENS,
            classes=("UMT5EncoderModel",),
            tokenizer_classes=T5_TOKENIZERS,
        ),
    ),
    optional=(
        OptionalComponent(name="transformer_2", classes=("WanTransformer3DModel",), denoises=True),
        OptionalComponent(
            name="image_encoder",
            classes=("CLIPVisionModel", "CLIPVisionModelWithProjection"),
            tasks=_FROM_PICTURES,
        ),
        OptionalComponent(name="image_processor", tasks=_FROM_PICTURES),
    ),
    prompt_encoding=PromptEncoding(
        results=("prompt_embeds", "negative_prompt_embeds"),
        options={"max_sequence_length": _MAX_TOKENS},
    ),
    guidance=Guidance(scale=5.0, in_turn=True),
    index_settings=("boundary_ratio", "expand_timesteps"),
    min_multiple=16,
    flow_matching=True,
    video=VideoSettings(frames=81, frame_step=4, fps=16.0, size=(832, 480)),
    video_by_config=_video_by_index,
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    knobs=TRANSFORMER_KNOBS,
    versions=(FamilyVersion(label="Wan"),),
)
