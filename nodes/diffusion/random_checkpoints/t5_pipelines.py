"""Pipelines whose only text encoder is of T5's kind, with small networks of random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .autoencoders import autoencoder_kl
from .text_encoders import t5_encoder, t5_tokenizer


def _pixart(cls: str, *, sizes: bool) -> Any:
    """PixArt, with 2 layers.

    Args:
        cls: The class of its pipeline.
        sizes: Whether the transformer reads the size of the picture, as that of PixArt-Alpha for
            1024 pixels does.
    """
    import diffusers

    heads = 3 if sizes else 2  # a third of the width is for each number of a size
    transformer = diffusers.PixArtTransformer2DModel(
        sample_size=128 if sizes else 8,
        num_layers=2,
        num_attention_heads=heads,
        attention_head_dim=16,
        in_channels=4,
        out_channels=8,
        cross_attention_dim=16 * heads,
        caption_channels=32,
        use_additional_conditions=sizes,
        attention_bias=True,
    )
    scheduler = diffusers.DPMSolverMultistepScheduler(
        beta_schedule="linear", algorithm_type="dpmsolver++", solver_order=2
    )
    return getattr(diffusers, cls)(
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
    "pixart-alpha": lambda: _pixart("PixArtAlphaPipeline", sizes=True),
    "pixart-sigma": lambda: _pixart("PixArtSigmaPipeline", sizes=False),
}
"""What makes the pipeline of each checkpoint, by its name without `random/`."""
