"""HunyuanVideo (Kong et al. 2024): videos from words."""

from __future__ import annotations

from dataclasses import replace

from sdgraph.values import DTYPE_BYTES

from .family_settings import FamilyVersion, Guidance, TextEncoder, VideoSettings
from .model_family import ModelFamily
from .networks import Config, Decoder
from .prompt_encoding import PromptEncoding
from .transformer_networks import (
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    patch_side,
    transformer,
)

_MAX_TOKENS = 256
_DECODING, _DECODING_PICTURE = 9.2, 11.7
"""Tensors of the decoded frames' size while the autoencoder decodes a video, or one picture."""


def _decoding_memory(
    config: Config, images: int, area: int, dtype: str, mode: str | None = None
) -> int:
    """The bytes that decoding needs: all frames are decoded at once."""
    del mode
    tensors = _DECODING if images > 1 else _DECODING_PICTURE
    width = int((config.get("block_out_channels") or (128,))[0])
    return int(tensors * images * area * width * DTYPE_BYTES.get(dtype, 4))


def _pipeline_by_channels(denoiser: Config) -> str:
    """The pipeline of SkyReels, whose transformer takes the latents of a picture besides others."""
    channels = denoiser.get("out_channels")
    of_skyreels = channels and denoiser.get("in_channels") == 2 * int(channels)
    return "HunyuanSkyreelsImageToVideoPipeline" if of_skyreels else ""


HUNYUAN_VIDEO = ModelFamily(
    label="HunyuanVideo",
    class_names=("HunyuanVideoPipeline",),
    pipeline_by_config=_pipeline_by_channels,
    name_hint="hunyuanvideo",
    pipelines={"text-to-video": "HunyuanVideoPipeline"},
    denoiser=replace(transformer("HunyuanVideoTransformer3DModel", tensors=18.0), patch=patch_side),
    decoder=Decoder(
        name="vae",
        label="VAE",
        memory=_decoding_memory,
        scale=lambda config: int(config.get("spatial_compression_ratio") or 8),
        sliceable=("AutoencoderKLHunyuanVideo",),
        classes=("AutoencoderKLHunyuanVideo",),
    ),
    text_encoders=(
        TextEncoder(name="text_encoder_2", tokenizer="tokenizer_2", classes=("CLIPTextModel",)),
        TextEncoder(
            max_tokens=_MAX_TOKENS,
            classes=("LlamaModel",),
            tokenizer_classes=("LlamaTokenizer", "LlamaTokenizerFast"),
        ),
    ),
    prompt_encoding=PromptEncoding(
        results=("prompt_embeds", "pooled_prompt_embeds", "prompt_attention_mask"),
        per_prompt=True,
        options={"max_sequence_length": _MAX_TOKENS},
    ),
    guidance=Guidance(scale=6.0, embedded=True),
    min_multiple=16,
    flow_matching=True,
    video=VideoSettings(frames=129, frame_step=4, fps=24.0, size=(1280, 720)),
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    knobs=TRANSFORMER_KNOBS,
    versions=(FamilyVersion(label="HunyuanVideo"),),
)
