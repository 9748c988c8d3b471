"""Pipelines of AnimateDiff and Stable Video Diffusion, with small networks of random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .autoencoders import autoencoder_kl
from .text_encoders import clip_text_encoder, clip_tokenizer


def motion_adapter() -> Any:
    """A motion adapter for the U-Nets of the small checkpoints that ship with sdgraph."""
    import diffusers

    return diffusers.MotionAdapter(
        block_out_channels=(32, 64, 64),
        motion_layers_per_block=1,
        motion_max_seq_length=24,
        motion_num_attention_heads=8,
        motion_norm_num_groups=32,
    )


def _motion_unet(width: int, **settings: Any) -> Any:
    """A U-Net with motion modules.

    Args:
        width: The width of the text features.
        settings: Further settings of it.
    """
    import diffusers

    return diffusers.UNetMotionModel(
        sample_size=8,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlockMotion", "CrossAttnDownBlockMotion"),
        up_block_types=("CrossAttnUpBlockMotion", "UpBlockMotion"),
        cross_attention_dim=width,
        norm_num_groups=8,
        num_attention_heads=2,
        motion_num_attention_heads=2,
        motion_max_seq_length=16,
        **settings,
    )


def _components(unet: Any) -> dict[str, Any]:
    import diffusers

    return {
        "vae": autoencoder_kl(4, scaling=0.18215, shift=None),
        "text_encoder": clip_text_encoder(),
        "tokenizer": clip_tokenizer(),
        "unet": unet,
        "motion_adapter": None,
        "scheduler": diffusers.DDIMScheduler(
            beta_schedule="linear", clip_sample=False, steps_offset=1
        ),
    }


def _animatediff() -> Any:
    import diffusers

    return diffusers.AnimateDiffPipeline(**_components(_motion_unet(32)))


def _animatediff_xl() -> Any:
    import diffusers

    unet = _motion_unet(
        64,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=8 * 6 + 32,
        use_linear_projection=True,
    )
    return diffusers.AnimateDiffSDXLPipeline(
        **_components(unet),
        text_encoder_2=clip_text_encoder(projection=True),
        tokenizer_2=clip_tokenizer(),
    )


def _stable_video() -> Any:
    import diffusers
    import transformers

    unet = diffusers.UNetSpatioTemporalConditionModel(
        sample_size=8,
        block_out_channels=(32, 32),
        down_block_types=("DownBlockSpatioTemporal", "DownBlockSpatioTemporal"),
        up_block_types=("UpBlockSpatioTemporal", "UpBlockSpatioTemporal"),
        layers_per_block=1,
        num_attention_heads=(2, 2),
        cross_attention_dim=32,
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=24,
        num_frames=6,
    )
    autoencoder = diffusers.AutoencoderKLTemporalDecoder(
        down_block_types=("DownEncoderBlock2D",) * 2,
        block_out_channels=(32, 32),
        latent_channels=4,
    )
    vision = transformers.CLIPVisionConfig(
        hidden_size=32,
        intermediate_size=37,
        projection_dim=32,
        num_attention_heads=4,
        num_hidden_layers=2,
        patch_size=16,
    )
    scheduler = diffusers.EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="v_prediction",
        interpolation_type="linear",
        use_karras_sigmas=True,
        sigma_min=0.002,
        sigma_max=700.0,
        timestep_spacing="leading",
        timestep_type="continuous",
        steps_offset=1,
    )
    return diffusers.StableVideoDiffusionPipeline(
        vae=autoencoder,
        image_encoder=transformers.CLIPVisionModelWithProjection(vision).eval(),
        unet=unet,
        scheduler=scheduler,
        feature_extractor=transformers.CLIPImageProcessor(),
    )


PIPELINES: Mapping[str, Callable[[], Any]] = {
    "animatediff": _animatediff,
    "animatediff-xl": _animatediff_xl,
    "stable-video": _stable_video,
}
"""What makes the pipeline of each checkpoint, by its name without `random/`."""
