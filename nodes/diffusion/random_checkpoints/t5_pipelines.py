"""Pipelines whose only text encoder is of T5's kind, with small networks of random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .autoencoders import autoencoder_kl
from .text_encoders import t5_encoder, t5_tokenizer


def _pixart_sigma() -> Any:
    import diffusers

    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=8,
        num_layers=2,
        num_attention_heads=2,
        attention_head_dim=16,
        in_channels=4,
        out_channels=8,
        cross_attention_dim=32,
        caption_channels=32,
        use_additional_conditions=False,
        attention_bias=True,
    )
    scheduler = diffusers.DPMSolverMultistepScheduler(
        beta_schedule="linear", algorithm_type="dpmsolver++", solver_order=2
    )
    return diffusers.PixArtSigmaPipeline(
        tokenizer=t5_tokenizer(),
        text_encoder=t5_encoder(),
        vae=autoencoder_kl(4, scaling=0.13025, shift=0),
        transformer=transformer,
        scheduler=scheduler,
    )


def _aura_flow() -> Any:
    import diffusers

    transformer = diffusers.AuraFlowTransformer2DModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        num_mmdit_layers=1,
        num_single_dit_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=32,
        caption_projection_dim=32,
        pos_embed_max_size=4096,
    )
    return diffusers.AuraFlowPipeline(
        tokenizer=t5_tokenizer(),
        text_encoder=t5_encoder(kind="UMT5"),
        vae=autoencoder_kl(4, scaling=0.13025, shift=0),
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=1.73),
    )


T5_PIPELINES: Mapping[str, Callable[[], Any]] = {
    "aura-flow": _aura_flow,
    "pixart-sigma": _pixart_sigma,
}
"""What makes the pipeline of each checkpoint, by its name without `random/`."""
