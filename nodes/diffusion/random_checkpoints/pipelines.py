"""Pipelines of the families, with small networks of random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .autoencoders import autoencoder_kl
from .gemma_pipelines import GEMMA_PIPELINES
from .t5_pipelines import T5_PIPELINES
from .text_encoders import (
    chat_tokenizer,
    clip_text_encoder,
    clip_tokenizer,
    mistral3,
    qwen3,
    qwen25_vl,
    qwen_image_processor,
    qwen_tokenizer,
    siglip_image_processor,
    siglip_vision,
    t5_encoder,
    t5_tokenizer,
)

AXES = (4, 4, 8)
"""How the 16 numbers of an attention head are shared among text, height and width."""


def _flux_components(channels: int = 16, *, guidance: bool = True) -> dict[str, Any]:
    import diffusers

    transformer = diffusers.FluxTransformer2DModel(
        patch_size=1,
        in_channels=channels,
        out_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=AXES,
        guidance_embeds=guidance,
    )
    return {
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(
            shift=3.0, use_dynamic_shifting=True
        ),
        "vae": autoencoder_kl(4, scaling=0.3611, shift=0.1159),
        "text_encoder": clip_text_encoder(),
        "tokenizer": clip_tokenizer(),
        "text_encoder_2": t5_encoder(),
        "tokenizer_2": t5_tokenizer(),
        "transformer": transformer,
    }


def _flux() -> Any:
    import diffusers

    return diffusers.FluxPipeline(**_flux_components())


def _flux_schnell() -> Any:
    import diffusers

    return diffusers.FluxPipeline(**_flux_components(guidance=False))


def _flux_fill() -> Any:
    import diffusers

    # Latents, those of the kept part, and 8 × 8 numbers of the mask for each, in patches of 2 × 2.
    return diffusers.FluxFillPipeline(**_flux_components(16 + 16 + 4 * 64))


def _flux_control() -> Any:
    import diffusers

    # Latents and those of the control map.
    return diffusers.FluxControlPipeline(**_flux_components(16 + 16))


def _flux_kontext() -> Any:
    import diffusers

    return diffusers.FluxKontextPipeline(**_flux_components())


def _flux_redux() -> Any:
    import diffusers

    return diffusers.FluxPriorReduxPipeline(
        image_encoder=siglip_vision(),
        feature_extractor=siglip_image_processor(),
        image_embedder=diffusers.pipelines.flux.ReduxImageEncoder(redux_dim=16, txt_in_features=32),
    )


def _stable_diffusion_3() -> Any:
    import diffusers

    transformer = diffusers.SD3Transformer2DModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        out_channels=16,
        num_layers=2,
        attention_head_dim=8,
        num_attention_heads=4,
        caption_projection_dim=32,
        joint_attention_dim=64,
        pooled_projection_dim=64,
    )
    return diffusers.StableDiffusion3Pipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder_kl(16, scaling=1.5305, shift=0.0609),
        text_encoder=clip_text_encoder(projection=True),
        tokenizer=clip_tokenizer(),
        text_encoder_2=clip_text_encoder(projection=True),
        tokenizer_2=clip_tokenizer(),
        text_encoder_3=t5_encoder(64),
        tokenizer_3=t5_tokenizer(),
    )


def _qwen_image_components() -> dict[str, Any]:
    import diffusers

    transformer = diffusers.QwenImageTransformer2DModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=2,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=AXES[::-1],
    )
    autoencoder = diffusers.AutoencoderKLQwenImage(
        base_dim=8,
        z_dim=4,
        dim_mult=[1, 1, 2, 2],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[0.0] * 4,
        latents_std=[1.0] * 4,
    )
    return {
        "scheduler": diffusers.FlowMatchEulerDiscreteScheduler(),
        "vae": autoencoder,
        "text_encoder": qwen25_vl(),
        "tokenizer": qwen_tokenizer(),
        "transformer": transformer,
    }


def _qwen_image() -> Any:
    import diffusers

    return diffusers.QwenImagePipeline(**_qwen_image_components())


def _qwen_image_edit(cls: str) -> Any:
    import diffusers

    return getattr(diffusers, cls)(**_qwen_image_components(), processor=qwen_image_processor())


def _z_image() -> Any:
    import diffusers
    import torch

    transformer = diffusers.ZImageTransformer2DModel(
        all_patch_size=(2,),
        all_f_patch_size=(1,),
        in_channels=16,
        dim=32,
        n_layers=2,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
        cap_feat_dim=16,
        rope_theta=256.0,
        t_scale=1000.0,
        axes_dims=[8, 4, 4],
        axes_lens=[1024, 512, 512],
    )
    with torch.no_grad():
        # They are made without values.
        transformer.x_pad_token.fill_(1)
        transformer.cap_pad_token.fill_(1)
    return diffusers.ZImagePipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=3.0),
        vae=autoencoder_kl(16, scaling=0.3611, shift=0.1159),
        text_encoder=qwen3("Qwen3Model", layers=2),
        tokenizer=qwen_tokenizer(),
        transformer=transformer,
    )


def _flux2_klein(*, distilled: bool, cls: str = "Flux2KleinPipeline") -> Any:
    import diffusers

    transformer = diffusers.Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=48,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=False,
    )
    return getattr(diffusers, cls)(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder_kl(4, scaling=1, shift=0, cls="AutoencoderKLFlux2"),
        # The pipeline reads the hidden states of its layers 9, 18 and 27.
        text_encoder=qwen3("Qwen3ForCausalLM", layers=28),
        tokenizer=qwen_tokenizer(),
        transformer=transformer,
        is_distilled=distilled,
    )


def _flux2() -> Any:
    import diffusers

    transformer = diffusers.Flux2Transformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=48,
        axes_dims_rope=(4, 4, 4, 4),
        guidance_embeds=True,
    )
    return diffusers.Flux2Pipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder_kl(4, scaling=1, shift=0, cls="AutoencoderKLFlux2"),
        # The pipeline reads the hidden states of its layers 10, 20 and 30.
        text_encoder=mistral3(layers=30),
        tokenizer=chat_tokenizer(),
        transformer=transformer,
    )


def _chroma() -> Any:
    import diffusers

    transformer = diffusers.ChromaTransformer2DModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        axes_dims_rope=AXES,
        approximator_hidden_dim=32,
        approximator_layers=1,
        approximator_num_channels=16,
    )
    return diffusers.ChromaPipeline(
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
        vae=autoencoder_kl(4, scaling=0.3611, shift=0.1159),
        text_encoder=t5_encoder(),
        tokenizer=t5_tokenizer(),
        transformer=transformer,
    )


PIPELINES: Mapping[str, Callable[[], Any]] = {
    **GEMMA_PIPELINES,
    **T5_PIPELINES,
    "chroma": _chroma,
    "flux": _flux,
    "flux-control": _flux_control,
    "flux-fill": _flux_fill,
    "flux-kontext": _flux_kontext,
    "flux-redux": _flux_redux,
    "flux-schnell": _flux_schnell,
    "flux2": _flux2,
    "flux2-klein": lambda: _flux2_klein(distilled=True),
    "flux2-klein-kv": lambda: _flux2_klein(distilled=True, cls="Flux2KleinKVPipeline"),
    "flux2-klein-base": lambda: _flux2_klein(distilled=False),
    "qwen-image": _qwen_image,
    "qwen-image-edit": lambda: _qwen_image_edit("QwenImageEditPipeline"),
    "qwen-image-edit-plus": lambda: _qwen_image_edit("QwenImageEditPlusPipeline"),
    "stable-diffusion-3": _stable_diffusion_3,
    "z-image": _z_image,
}
"""What makes the pipeline of each checkpoint, by its name without `random/`."""
