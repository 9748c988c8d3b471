"""Pipelines whose text encoder is Gemma 2, with small networks of random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .autoencoders import autoencoder_dc, autoencoder_kl
from .text_encoders import gemma2, gemma_tokenizer


def _sana_components(**settings: Any) -> dict[str, Any]:
    import diffusers

    transformer = diffusers.SanaTransformer2DModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=2,
        num_cross_attention_heads=2,
        cross_attention_head_dim=16,
        cross_attention_dim=32,
        caption_channels=32,
        sample_size=8,
        **settings,
    )
    return {
        "vae": autoencoder_dc(),
        "text_encoder": gemma2(),
        "tokenizer": gemma_tokenizer(),
        "transformer": transformer,
    }


def _sana() -> Any:
    import diffusers

    scheduler = diffusers.DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
    )
    return diffusers.SanaPipeline(**_sana_components(), scheduler=scheduler)


def _sana_sprint() -> Any:
    import diffusers

    components = _sana_components(guidance_embeds=True, qk_norm="rms_norm_across_heads")
    return diffusers.SanaSprintPipeline(**components, scheduler=diffusers.SCMScheduler())


def _lumina2() -> Any:
    import diffusers

    transformer = diffusers.Lumina2Transformer2DModel(
        sample_size=8,
        in_channels=4,
        hidden_size=24,
        num_layers=2,
        num_refiner_layers=1,
        num_attention_heads=3,
        num_kv_heads=1,
        multiple_of=8,
        axes_dim_rope=(4, 2, 2),
        axes_lens=(300, 512, 512),
        cap_feat_dim=32,
    )
    return diffusers.Lumina2Pipeline(
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(shift=6.0),
        vae=autoencoder_kl(4, scaling=0.3611, shift=0.1159),
        text_encoder=gemma2(),
        tokenizer=gemma_tokenizer(),
    )


GEMMA_PIPELINES: Mapping[str, Callable[[], Any]] = {
    "lumina2": _lumina2,
    "sana": _sana,
    "sana-sprint": _sana_sprint,
}
"""What makes the pipeline of each checkpoint, by its name without `random/`."""
