"""Pipelines of HunyuanVideo, with small networks of random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .language_models import llama, llama_tokenizer, llava, llava_tokenizer, pieces_of
from .text_encoders import (
    byt5_encoder,
    byt5_tokenizer,
    clip_text_encoder,
    clip_tokenizer,
    qwen25_vl_text,
    qwen_tokenizer,
    siglip_image_processor,
    siglip_vision,
)


def _components(channels: int = 4, **settings: Any) -> dict[str, Any]:
    """The components that the pipelines share.

    Args:
        channels: The channels that the transformer takes.
        settings: Further settings of the transformer.
    """
    import diffusers

    transformer = diffusers.HunyuanVideoTransformer3DModel(
        in_channels=channels,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=1,
        num_single_layers=1,
        num_refiner_layers=1,
        patch_size=2,
        patch_size_t=1,
        text_embed_dim=32,
        pooled_projection_dim=32,
        rope_axes_dim=(4, 6, 6),
        **settings,
    )
    autoencoder = diffusers.AutoencoderKLHunyuanVideo(
        latent_channels=4,
        block_out_channels=(8, 8, 8, 8),
        layers_per_block=1,
        norm_num_groups=4,
        mid_block_add_attention=True,
    )
    return {
        "text_encoder_2": clip_text_encoder(),
        "tokenizer_2": clip_tokenizer(),
        "transformer": transformer,
        "vae": autoencoder,
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=7.0),
    }


def _hunyuan_video(*, from_picture: bool = False) -> Any:
    """HunyuanVideo for videos from words, or SkyReels, which adds a picture.

    Args:
        from_picture: Whether the latents of a picture are further channels.
    """
    import diffusers
    from diffusers.pipelines.hunyuan_video.pipeline_hunyuan_video import DEFAULT_PROMPT_TEMPLATE

    template = str(DEFAULT_PROMPT_TEMPLATE["template"]).partition("{}")[0]
    count = int(str(DEFAULT_PROMPT_TEMPLATE["crop_start"]))
    tokenizer = llama_tokenizer(pieces_of(template, count))
    kind = "HunyuanSkyreelsImageToVideoPipeline" if from_picture else "HunyuanVideoPipeline"
    return getattr(diffusers, kind)(
        text_encoder=llama(tokenizer),
        tokenizer=tokenizer,
        **_components(channels=8 if from_picture else 4, guidance_embeds=True),
    )


def _hunyuan_video_i2v(*, concatenated: bool = False) -> Any:
    """HunyuanVideo for videos from a picture.

    Args:
        concatenated: Whether the latents of the picture, and a mask, are further channels.
    """
    import diffusers
    from diffusers.pipelines.hunyuan_video import pipeline_hunyuan_video_image2video as module

    template = module.DEFAULT_PROMPT_TEMPLATE
    before = str(template["template"]).partition("{}")[0]
    tokenizer = llava_tokenizer(before, int(str(template["crop_start"])))
    encoder, processor = llava(tokenizer)
    kind = "latent_concat" if concatenated else "token_replace"
    return diffusers.HunyuanVideoImageToVideoPipeline(
        text_encoder=encoder,
        tokenizer=tokenizer,
        image_processor=processor,
        **_components(
            channels=9 if concatenated else 4,
            guidance_embeds=not concatenated,
            image_condition_type=kind,
        ),
    )


def _hunyuan_video_15(*, from_picture: bool = False) -> Any:
    """HunyuanVideo 1.5.

    Args:
        from_picture: Whether it makes videos that begin with a picture.
    """
    import diffusers

    encoder = siglip_vision()
    transformer = diffusers.HunyuanVideo15Transformer3DModel(
        in_channels=9,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=2,
        num_refiner_layers=1,
        text_embed_dim=16,
        text_embed_2_dim=16,
        image_embed_dim=encoder.config.hidden_size,
        rope_axes_dim=(4, 6, 6),
        target_size=64,
        task_type="i2v" if from_picture else "t2v",
    )
    autoencoder = diffusers.AutoencoderKLHunyuanVideo15(
        latent_channels=4,
        block_out_channels=(8, 8, 16, 16, 16),
        layers_per_block=1,
    )
    components = {
        "text_encoder": qwen25_vl_text(),
        "tokenizer": qwen_tokenizer(),
        "text_encoder_2": byt5_encoder(),
        "tokenizer_2": byt5_tokenizer(),
        "transformer": transformer,
        "vae": autoencoder,
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(shift=5.0),
        "guider": diffusers.ClassifierFreeGuidance(guidance_scale=6.0),
    }
    if not from_picture:
        return diffusers.HunyuanVideo15Pipeline(**components)
    return diffusers.HunyuanVideo15ImageToVideoPipeline(
        **components, image_encoder=encoder, feature_extractor=siglip_image_processor()
    )


HUNYUAN_PIPELINES: Mapping[str, Callable[[], Any]] = {
    "hunyuan-video": _hunyuan_video,
    "hunyuan-video-1.5": _hunyuan_video_15,
    "hunyuan-video-1.5-i2v": lambda: _hunyuan_video_15(from_picture=True),
    "hunyuan-video-i2v": _hunyuan_video_i2v,
    "hunyuan-video-i2v-33ch": lambda: _hunyuan_video_i2v(concatenated=True),
    "skyreels": lambda: _hunyuan_video(from_picture=True),
}
"""What makes the pipeline of each checkpoint, by its name without `random/`."""
