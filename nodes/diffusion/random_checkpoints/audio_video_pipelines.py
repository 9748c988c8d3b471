"""Pipelines of the families that make videos with sound, with small networks of random weights."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .text_encoders import gemma3, gemma_tokenizer

_WIDTH = 32
_MEL_BINS = 16


def _autoencoders() -> dict[str, Any]:
    """The autoencoders of videos and of spectrograms, and what makes sound of a spectrogram."""
    import diffusers
    from diffusers.pipelines.ltx2 import LTX2Vocoder

    video = diffusers.AutoencoderKLLTX2Video(
        latent_channels=8,
        block_out_channels=(8, 8, 8, 8),
        decoder_block_out_channels=(8, 16, 32),
        layers_per_block=(1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1),
        decoder_spatial_padding_mode="zeros",  # of one latent nothing can be reflected
        spatial_compression_ratio=32,
        temporal_compression_ratio=8,
    )
    audio = diffusers.AutoencoderKLLTX2Audio(
        base_channels=8,
        ch_mult=(1,),
        num_res_blocks=1,
        resolution=32,
        latent_channels=2,
        mel_bins=_MEL_BINS,
    )
    vocoder = LTX2Vocoder(
        in_channels=2 * _MEL_BINS,
        hidden_channels=32,
        upsample_kernel_sizes=[4, 4],
        upsample_factors=[2, 2],
        resnet_kernel_sizes=[3],
        resnet_dilations=[[1, 3, 5]],
    )
    return {"vae": video, "audio_vae": audio, "vocoder": vocoder}


def _ltx2() -> Any:
    import diffusers
    from diffusers.pipelines.ltx2 import LTX2TextConnectors

    text_encoder = gemma3(_WIDTH)
    heads = {"num_attention_heads": 4, "attention_head_dim": 8, "num_layers": 1}
    connectors = LTX2TextConnectors(
        caption_channels=_WIDTH,
        text_proj_in_factor=text_encoder.config.text_config.num_hidden_layers + 1,
        connector_rope_base_seq_len=1024,
        rope_type="split",
        **{f"video_connector_{name}": value for name, value in heads.items()},
        **{f"audio_connector_{name}": value for name, value in heads.items()},
    )
    transformer = diffusers.LTX2VideoTransformer3DModel(
        in_channels=8,
        out_channels=8,
        num_attention_heads=4,
        attention_head_dim=8,
        cross_attention_dim=_WIDTH,
        audio_in_channels=8,
        audio_out_channels=8,
        audio_num_attention_heads=4,
        audio_attention_head_dim=4,
        audio_cross_attention_dim=16,
        num_layers=2,
        caption_channels=_WIDTH,
        rope_type="split",
    )
    return diffusers.LTX2Pipeline(
        **_autoencoders(),
        text_encoder=text_encoder,
        tokenizer=gemma_tokenizer(),
        connectors=connectors,
        transformer=transformer,
        scheduler=diffusers.FlowMatchEulerDiscreteScheduler(),
    )


PIPELINES: Mapping[str, Callable[[], Any]] = {"ltx-2": _ltx2}
"""What makes the pipeline of each checkpoint, by its name without `random/`."""
