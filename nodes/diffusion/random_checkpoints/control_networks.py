"""ControlNets of the families, small and with random weights, for the pipelines of this package."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from .pipelines import AXES

_ZERO_LAYERS = ("controlnet", "input_block", "pos_embed_input", "before_proj", "after_proj")
"""What the names of layers have in them that begin as zeros, so that the network does nothing."""


def _with_effect(network: Any) -> Any:
    """The ControlNet with random numbers where a new one has zeros."""
    import torch

    with torch.no_grad():
        for name, weights in network.named_parameters():
            if any(layer in name for layer in _ZERO_LAYERS):
                weights.normal_(std=0.3)
    return network.eval()


def _flux(modes: int | None = None) -> Any:
    import diffusers

    network = diffusers.FluxControlNetModel(
        patch_size=1,
        in_channels=16,
        num_layers=1,
        num_single_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=32,
        pooled_projection_dim=32,
        axes_dims_rope=AXES,
        num_mode=modes,
    )
    return _with_effect(network)


def _qwen_image(*, repaints: bool = False) -> Any:
    import diffusers

    network = diffusers.QwenImageControlNetModel(
        patch_size=2,
        in_channels=16,
        out_channels=4,
        num_layers=1,
        attention_head_dim=16,
        num_attention_heads=2,
        joint_attention_dim=16,
        axes_dims_rope=AXES[::-1],
        # The mask of each latent in a patch of 2 × 2.
        extra_condition_channels=4 if repaints else 0,
    )
    return _with_effect(network)


def _z_image(*, repaints: bool = False) -> Any:
    import diffusers

    network = diffusers.ZImageControlNetModel(
        control_layers_places=[0],
        control_refiner_layers_places=[0] if repaints else [],
        # Latents of the map; with a mask also those of the picture.
        control_in_dim=16 + 1 + 16 if repaints else 16,
        add_control_noise_refiner="control_noise_refiner" if repaints else None,
        dim=32,
        n_refiner_layers=1,
        n_heads=2,
        n_kv_heads=2,
    )
    return _with_effect(network)


def _stable_diffusion_3(*, repaints: bool = False) -> Any:
    import diffusers

    network = diffusers.SD3ControlNetModel(
        sample_size=8,
        patch_size=2,
        in_channels=16,
        num_layers=1,
        attention_head_dim=8,
        num_attention_heads=4,
        joint_attention_dim=64,
        caption_projection_dim=32,
        pooled_projection_dim=64,
        extra_conditioning_channels=1 if repaints else 0,
    )
    return _with_effect(network)


def _sana() -> Any:
    import diffusers

    network = diffusers.SanaControlNetModel(
        in_channels=4,
        out_channels=4,
        num_attention_heads=2,
        attention_head_dim=16,
        num_layers=1,
        num_cross_attention_heads=2,
        cross_attention_head_dim=16,
        cross_attention_dim=32,
        caption_channels=32,
        sample_size=8,
    )
    return _with_effect(network)


CONTROL_NETWORKS: Mapping[str, Callable[[], Any]] = {
    "flux-controlnet": _flux,
    "flux-controlnet-union": lambda: _flux(modes=3),
    "qwen-image-controlnet": _qwen_image,
    "qwen-image-controlnet-inpaint": lambda: _qwen_image(repaints=True),
    "sana-controlnet": _sana,
    "stable-diffusion-3-controlnet": _stable_diffusion_3,
    "stable-diffusion-3-controlnet-inpaint": lambda: _stable_diffusion_3(repaints=True),
    "z-image-controlnet": _z_image,
    "z-image-controlnet-inpaint": lambda: _z_image(repaints=True),
}
"""What makes each ControlNet, by its name without `random/`."""
