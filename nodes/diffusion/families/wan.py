"""Wan 2.1, and Wan 2.2 with one transformer (Wan team 2025)."""

from __future__ import annotations

from sdgraph.values import DTYPE_BYTES

from .family_settings import FamilyVersion, Guidance, TextEncoder, VideoSettings
from .model_family import ModelFamily
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


WAN = ModelFamily(
    label="Wan",
    class_names=("WanPipeline",),
    name_hint="wan",
    pipelines={"text-to-video": "WanPipeline"},
    denoiser=transformer("WanTransformer3DModel", tensors=16.0),
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
    prompt_encoding=PromptEncoding(
        results=("prompt_embeds", "negative_prompt_embeds"),
        options={"max_sequence_length": _MAX_TOKENS},
    ),
    guidance=Guidance(scale=5.0, in_turn=True),
    index_settings=("boundary_ratio", "expand_timesteps"),
    min_multiple=16,
    flow_matching=True,
    video=VideoSettings(frames=81, frame_step=4, fps=16.0, size=(832, 480)),
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    knobs=TRANSFORMER_KNOBS,
    versions=(FamilyVersion(label="Wan"),),
)
