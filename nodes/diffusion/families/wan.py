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
from .lora_names import LoraNames
from .model_family import ModelFamily
from .networks import Config, Decoder
from .prompt_encoding import PromptEncoding
from .tasks import Task
from .transformer_networks import (
    T5_TOKENIZERS,
    TRANSFORMER_KNOBS,
    TRANSFORMER_LORA_PREFIXES,
    patch_side,
    transformer,
)

_MAX_TOKENS = 512
_DECODING, _DECODING_PICTURE = 54.5, 18.0
"""Tensors of a frame's size while the autoencoder decodes a video, or one picture."""

_PATCHED, _PATCHED_PICTURE = 20.0, 5.7
"""The same for the autoencoder of Wan 2.2 TI2V-5B, which decodes to patches of four pixels."""


def _decoding_memory(
    config: Config, images: int, area: int, dtype: str, mode: str | None = None
) -> int:
    """The bytes that decoding needs: it goes frame by frame, so that their number hardly counts."""
    del mode
    video, picture = (_DECODING, _DECODING_PICTURE)
    if config.get("patch_size"):
        video, picture = (_PATCHED, _PATCHED_PICTURE)
    width = int(config.get("decoder_base_dim") or config.get("base_dim") or 96)
    numbers = (video if images > 1 else picture) * area * width
    return int(numbers * DTYPE_BYTES.get(dtype, 4))


_FROM_WORDS: tuple[Task, ...] = ("text-to-video", "video-to-video")
_FROM_PICTURES: tuple[Task, ...] = ("image-to-video", "frames-to-video")


def _fitting_tasks(index: Config, denoiser: Config) -> Collection[Task]:
    """What a checkpoint was trained for, by the channels and the embeddings of its transformer.

    One for pictures takes the latents, those of the picture, and a mask of four channels. With
    places for the embeddings of two pictures (`pos_embed_seq_len`) it needs both.
    """
    if index.get("expand_timesteps"):
        return ("text-to-video", "image-to-video")
    if denoiser.get("in_channels") == denoiser.get("out_channels"):
        two = index.get("boundary_ratio") is not None
        return _FROM_WORDS[:1] if two else _FROM_WORDS
    if denoiser.get("image_dim") is None:
        return _FROM_PICTURES
    return _FROM_PICTURES[1:] if denoiser.get("pos_embed_seq_len") else _FROM_PICTURES[:1]


def _video_by_config(index: Config, denoiser: Config) -> Mapping[str, Any]:
    """The videos of Wan 2.2 TI2V-5B, whose autoencoder makes the latents smaller."""
    if index.get("expand_timesteps"):
        return {"frames": 121, "fps": 24.0, "size": (1280, 704)}
    return {}


_ATTENTION = {
    "q": "to_q",
    "k": "to_k",
    "v": "to_v",
    "o": "to_out.0",
    "k_img": "add_k_proj",
    "v_img": "add_v_proj",
    "norm_q": "norm_q",
    "norm_k": "norm_k",
    "norm_k_img": "norm_added_k",
}
_LORA_NAMES = LoraNames(
    label="Wan",
    widths=(1536, 3072, 5120),
    mark=r"^blocks_\d+_(self_attn|cross_attn|attn[12]|ffn)_",
    layers={
        **{
            f"blocks.*.{old}.{name}": f"blocks.*.{new}.{target}"
            for old, new in (("self_attn", "attn1"), ("cross_attn", "attn2"))
            for name, target in _ATTENTION.items()
        },
        "blocks.*.ffn.0": "blocks.*.ffn.net.0.proj",
        "blocks.*.ffn.2": "blocks.*.ffn.net.2",
        "blocks.*.norm3": "blocks.*.norm2",
        "blocks.*.modulation": "blocks.*.scale_shift_table",
        "time_embedding.0": "condition_embedder.time_embedder.linear_1",
        "time_embedding.2": "condition_embedder.time_embedder.linear_2",
        "text_embedding.0": "condition_embedder.text_embedder.linear_1",
        "text_embedding.2": "condition_embedder.text_embedder.linear_2",
        "time_projection.1": "condition_embedder.time_proj",
        "img_emb.proj.0": "condition_embedder.image_embedder.norm1",
        "img_emb.proj.1": "condition_embedder.image_embedder.ff.net.0.proj",
        "img_emb.proj.3": "condition_embedder.image_embedder.ff.net.2",
        "img_emb.proj.4": "condition_embedder.image_embedder.norm2",
        "head.head": "proj_out",
        "head.modulation": "scale_shift_table",
    },
)

WAN = ModelFamily(
    label="Wan",
    class_names=("WanPipeline", "WanImageToVideo", "WanVideoToVideo"),
    name_hint="wan",
    pipelines={
        "text-to-video": "WanPipeline",
        "image-to-video": "WanImageToVideoPipeline",
        "frames-to-video": "WanImageToVideoPipeline",
        "video-to-video": "WanVideoToVideoPipeline",
    },
    fitting_tasks=_fitting_tasks,
    examples={
        "text-to-video": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        "image-to-video": "Wan-AI/Wan2.1-I2V-14B-480P-Diffusers",
        "video-to-video": "Wan-AI/Wan2.1-T2V-1.3B-Diffusers",
        "frames-to-video": "Wan-AI/Wan2.1-FLF2V-14B-720P-diffusers",
    },
    times_per_token=lambda task, index: bool(index.get("expand_timesteps")),
    packages=dict.fromkeys((*_FROM_PICTURES, "video-to-video"), ("ftfy",)),
    denoiser=replace(
        transformer(
            "WanTransformer3DModel", tensors=6.9, per_feed_forward=1.56, times_per_token=19.0
        ),
        patch=patch_side,
    ),
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
    video=VideoSettings(
        frames=81, frame_step=4, fps=16.0, size=(832, 480), by_config=_video_by_config
    ),
    adapters=("lora",),
    lora_prefixes=TRANSFORMER_LORA_PREFIXES,
    lora_names=_LORA_NAMES,
    knobs=TRANSFORMER_KNOBS,
    caches={
        "first-block": ("text-to-video", *_FROM_PICTURES),
        "pyramid-attention": ("text-to-video", *_FROM_PICTURES, "video-to-video"),
        "fastercache": ("text-to-video", *_FROM_PICTURES, "video-to-video"),
    },
    versions=(FamilyVersion(label="Wan"),),
)
