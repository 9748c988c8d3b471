"""Small autoencoders of random weights that several families share."""

from __future__ import annotations

from typing import Any


def autoencoder_kl(
    latent_channels: int, *, scaling: float, shift: float | None, cls: str = ""
) -> Any:
    """An autoencoder of Stable Diffusion's kind, whose latents are an eighth of a picture's side.

    Args:
        latent_channels: The number of channels of latents.
        scaling: What latents are multiplied by.
        shift: What is subtracted from latents before; None for nothing.
        cls: Its class in diffusers, if it is not AutoencoderKL; then it has no scaling and shift.
    """
    import diffusers

    return getattr(diffusers, cls or "AutoencoderKL")(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 16, 16, 16),
        layers_per_block=1,
        latent_channels=latent_channels,
        norm_num_groups=8,
        sample_size=64,
        use_quant_conv=False,
        use_post_quant_conv=False,
        **({} if cls else {"scaling_factor": scaling, "shift_factor": shift}),
    )


def autoencoder_dc() -> Any:
    """A deep-compression autoencoder, whose latents are a 32nd of a picture's side."""
    import diffusers

    return diffusers.AutoencoderDC(
        in_channels=3,
        latent_channels=4,
        attention_head_dim=4,
        encoder_block_types="ResBlock",
        decoder_block_types="ResBlock",
        encoder_block_out_channels=(4, 4, 8, 8, 8, 8),
        decoder_block_out_channels=(4, 4, 8, 8, 8, 8),
        encoder_layers_per_block=(1, 1, 1, 1, 1, 1),
        decoder_layers_per_block=(1, 1, 1, 1, 1, 1),
        encoder_qkv_multiscales=((),) * 6,
        decoder_qkv_multiscales=((),) * 6,
        downsample_block_type="Conv",
        upsample_block_type="interpolate",
        decoder_norm_types="rms_norm",
        decoder_act_fns="silu",
        scaling_factor=0.41407,
    )
