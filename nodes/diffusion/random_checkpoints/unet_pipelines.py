"""Pipelines of the kinds of Stable Diffusion, with small networks of random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .autoencoders import autoencoder_kl
from .text_encoders import clip_text_encoder, clip_tokenizer, clip_vision


def _unet(channels: int, width: int = 32, **settings: Any) -> Any:
    import diffusers

    return diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=channels,
        out_channels=4,
        block_out_channels=(16, 32),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=width,
        norm_num_groups=8,
        attention_head_dim=8,
        **settings,
    )


def _xl_unet(channels: int, width: int, numbers: int) -> Any:
    """A U-Net of SDXL.

    Args:
        channels: The channels that it takes.
        width: The width of the text features.
        numbers: How many numbers, such as sizes, it takes besides the pooled embedding.
    """
    return _unet(
        channels,
        width,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=8 * numbers + 32,
        use_linear_projection=True,
    )


def _noise_scheduler(cls: str = "DDIMScheduler") -> Any:
    import diffusers

    return getattr(diffusers, cls)(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", steps_offset=1
    )


def _components(unet: Any, scheduler: str = "DDIMScheduler") -> dict[str, Any]:
    return {
        "vae": autoencoder_kl(4, scaling=0.18215, shift=None),
        "text_encoder": clip_text_encoder(),
        "tokenizer": clip_tokenizer(),
        "unet": unet,
        "scheduler": _noise_scheduler(scheduler),
    }


_NOTHING_ELSE = {
    "safety_checker": None,
    "feature_extractor": None,
    "requires_safety_checker": False,
}


def _instruct_pix2pix() -> Any:
    import diffusers

    cls = diffusers.StableDiffusionInstructPix2PixPipeline
    return cls(**_components(_unet(8)), **_NOTHING_ELSE)


def _latent_consistency() -> Any:
    import diffusers

    unet = _unet(4, time_cond_proj_dim=16)
    cls = diffusers.LatentConsistencyModelPipeline
    return cls(**_components(unet, "LCMScheduler"), **_NOTHING_ELSE)


def _second_encoder() -> dict[str, Any]:
    return {"text_encoder_2": clip_text_encoder(projection=True), "tokenizer_2": clip_tokenizer()}


def _instruct_pix2pix_xl() -> Any:
    import diffusers

    cls = diffusers.StableDiffusionXLInstructPix2PixPipeline
    return cls(**{**_components(_xl_unet(8, 64, 6)), **_second_encoder()})


def _sdxl() -> Any:
    """A base with latents of the size of those of `_sdxl_refiner`."""
    import diffusers

    cls = diffusers.StableDiffusionXLPipeline
    return cls(**{**_components(_xl_unet(4, 64, 6)), **_second_encoder()})


def _sdxl_refiner() -> Any:
    import diffusers

    without = {"text_encoder": None, "tokenizer": None}
    return diffusers.StableDiffusionXLImg2ImgPipeline(
        **{**_components(_xl_unet(4, 32, 5)), **_second_encoder(), **without},
        requires_aesthetics_score=True,
        force_zeros_for_empty_prompt=False,
    )


def _image_variation() -> Any:
    import diffusers

    components = _components(_unet(4))
    encoder, processor = clip_vision(projection=True)
    return diffusers.StableDiffusionImageVariationPipeline(
        **{name: components[name] for name in ("vae", "unet", "scheduler")},
        image_encoder=encoder,
        feature_extractor=processor,
        safety_checker=None,
        requires_safety_checker=False,
    )


def _x4_upscaler() -> Any:
    import diffusers

    vae = diffusers.AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        block_out_channels=(8, 16, 16),
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=64,
        scaling_factor=0.08333,
    )
    return diffusers.StableDiffusionUpscalePipeline(
        **{**_components(_unet(7, num_class_embeds=1000)), "vae": vae},
        low_res_scheduler=_noise_scheduler("DDPMScheduler"),
    )


PIPELINES: Mapping[str, Callable[[], Any]] = {
    "image-variation": _image_variation,
    "instruct-pix2pix": _instruct_pix2pix,
    "instruct-pix2pix-xl": _instruct_pix2pix_xl,
    "latent-consistency": _latent_consistency,
    "sdxl": _sdxl,
    "sdxl-refiner": _sdxl_refiner,
    "x4-upscaler": _x4_upscaler,
}
"""What makes the pipeline of each checkpoint, by its name without `random/`."""
