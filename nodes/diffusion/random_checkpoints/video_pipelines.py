"""Pipelines of the families that make videos, with small networks of random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .hunyuan_pipelines import HUNYUAN_PIPELINES
from .text_encoders import clip_vision, t5_encoder, t5_tokenizer

_WAN_TRANSFORMER: Mapping[str, Any] = {
    "patch_size": (1, 2, 2),
    "num_attention_heads": 2,
    "attention_head_dim": 12,
    "in_channels": 16,
    "out_channels": 16,
    "text_dim": 32,
    "freq_dim": 32,
    "ffn_dim": 32,
    "num_layers": 2,
    "rope_max_seq_len": 64,
}


def _wan_transformer(**settings: Any) -> Any:
    import diffusers

    return diffusers.WanTransformer3DModel(**{**_WAN_TRANSFORMER, **settings})


def _wan_components(channels: int = 16, **settings: Any) -> dict[str, Any]:
    """The components of Wan.

    Args:
        channels: The number of channels of the latents.
        settings: Further settings of the autoencoder.
    """
    import diffusers

    options = {
        "base_dim": 4,
        "z_dim": channels,
        "dim_mult": [1, 1, 1, 1],
        "num_res_blocks": 1,
        "temperal_downsample": [False, True, True],
    }
    return {
        "tokenizer": t5_tokenizer(),
        "text_encoder": t5_encoder(kind="UMT5"),
        "vae": diffusers.AutoencoderKLWan(**{**options, **settings}),
        "scheduler": diffusers.UniPCMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
    }


def _wan(*, boundary: float | None = None) -> Any:
    """Wan for videos from words; with a boundary it has two transformers, as in Wan 2.2."""
    import diffusers

    second = None if boundary is None else _wan_transformer()
    return diffusers.WanPipeline(
        **_wan_components(),
        transformer=_wan_transformer(),
        transformer_2=second,
        boundary_ratio=boundary,
    )


def _wan_i2v(*, pictures: int = 1) -> Any:
    """Wan 2.1 for videos from one or two pictures, which CLIP embeds."""
    import diffusers

    encoder, processor = clip_vision()
    seen = (encoder.config.image_size // encoder.config.patch_size) ** 2 + 1
    width = encoder.config.hidden_size
    places = None if pictures == 1 else pictures * seen
    return diffusers.WanImageToVideoPipeline(
        **_wan_components(),
        transformer=_wan_transformer(
            in_channels=36, image_dim=width, added_kv_proj_dim=24, pos_embed_seq_len=places
        ),
        image_encoder=encoder,
        image_processor=processor,
    )


def _wan22_i2v() -> Any:
    """Wan 2.2 for videos from pictures, with two transformers and no image encoder."""
    import diffusers

    return diffusers.WanImageToVideoPipeline(
        **_wan_components(),
        transformer=_wan_transformer(in_channels=36),
        transformer_2=_wan_transformer(in_channels=36),
        boundary_ratio=0.9,
    )


def _wan22_ti2v() -> Any:
    """Wan 2.2 TI2V, whose transformer reads a timestep for each token."""
    import diffusers

    components = _wan_components(
        12,
        in_channels=12,
        out_channels=12,
        is_residual=True,
        patch_size=2,
        scale_factor_spatial=16,
        latents_mean=[0.0] * 12,
        latents_std=[1.0] * 12,
        decoder_base_dim=4,
    )
    return diffusers.WanPipeline(
        **components,
        transformer=_wan_transformer(in_channels=12, out_channels=12),
        expand_timesteps=True,
    )


def _wan_vace() -> Any:
    """Wan VACE, whose first layer has a layer for the control next to it."""
    import diffusers

    size = {
        **_WAN_TRANSFORMER,
        "vace_layers": [0],
        # The latents of what is kept and of what is painted, and a mask of 8 × 8 pixels of each.
        "vace_in_channels": 2 * 16 + 64,
    }
    return diffusers.WanVACEPipeline(
        **_wan_components(), transformer=diffusers.WanVACETransformer3DModel(**size)
    )


def _wan_animate() -> Any:
    """Wan Animate for faces of 16 × 16 pixels."""
    import diffusers

    encoder, processor = clip_vision()
    faces = {
        "motion_encoder_channel_sizes": dict.fromkeys(("4", "8", "16"), 16),
        "motion_encoder_size": 16,
        "motion_style_dim": 8,
        "motion_dim": 4,
        "motion_encoder_dim": 16,
        "face_encoder_hidden_dim": 16,
        "face_encoder_num_heads": 2,
        "inject_face_latents_blocks": 2,
    }
    pictures = {"image_dim": encoder.config.hidden_size, "added_kv_proj_dim": 24}
    size = {**_WAN_TRANSFORMER, **pictures, **faces, "in_channels": 36, "latent_channels": 16}
    return diffusers.WanAnimatePipeline(
        **_wan_components(),
        transformer=diffusers.WanAnimateTransformer3DModel(**size),
        image_encoder=encoder,
        image_processor=processor,
    )


def _ltx_video() -> Any:
    import diffusers

    autoencoder = diffusers.AutoencoderKLLTXVideo(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 8, 8, 8),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1),
        decoder_inject_noise=(False,) * 5,
        upsample_residual=(False,) * 4,
        upsample_factor=(1,) * 4,
        timestep_conditioning=False,
    )
    transformer = diffusers.LTXVideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=32,
        num_layers=1,
        caption_channels=32,
    )
    return diffusers.LTXPipeline(
        transformer=transformer,
        vae=autoencoder,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        text_encoder=t5_encoder(),
        tokenizer=t5_tokenizer(),
    )


def _cogvideox(cls: str = "CogVideoXPipeline", channels: int = 16) -> Any:
    import diffusers

    transformer = diffusers.CogVideoXTransformer3DModel(
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=channels,
        out_channels=16,
        time_embed_dim=4,
        text_embed_dim=32,
        num_layers=2,
        sample_width=8,
        sample_height=8,
        sample_frames=9,
        patch_size=2,
        max_text_seq_length=226,
        use_rotary_positional_embeddings=True,
    )
    autoencoder = diffusers.AutoencoderKLCogVideoX(
        in_channels=3,
        out_channels=3,
        down_block_types=("CogVideoXDownBlock3D",) * 4,
        up_block_types=("CogVideoXUpBlock3D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=16,
        layers_per_block=1,
        norm_num_groups=2,
        temporal_compression_ratio=4,
    )
    scheduler = diffusers.CogVideoXDDIMScheduler(
        prediction_type="v_prediction", rescale_betas_zero_snr=True, timestep_spacing="trailing"
    )
    return getattr(diffusers, cls)(
        tokenizer=t5_tokenizer(),
        text_encoder=t5_encoder(),
        vae=autoencoder,
        transformer=transformer,
        scheduler=scheduler,
    )


PIPELINES: Mapping[str, Callable[[], Any]] = {
    **HUNYUAN_PIPELINES,
    "cogvideox": _cogvideox,
    "cogvideox-fun": lambda: _cogvideox("CogVideoXFunControlPipeline", channels=32),
    "cogvideox-i2v": lambda: _cogvideox("CogVideoXImageToVideoPipeline", channels=32),
    "ltx-video": _ltx_video,
    "wan": _wan,
    "wan-animate": _wan_animate,
    "wan-vace": _wan_vace,
    "wan-flf2v": lambda: _wan_i2v(pictures=2),
    "wan-i2v": _wan_i2v,
    "wan2.2": lambda: _wan(boundary=0.875),
    "wan2.2-i2v": _wan22_i2v,
    "wan2.2-ti2v": _wan22_ti2v,
}
"""What makes the pipeline of each checkpoint, by its name without `random/`."""
