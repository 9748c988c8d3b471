"""LoRA: small adapters beside a U-Net's attention projections, which alone are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .assembly import whole
from .frozen import hash_of_state

TARGETS = ("to_q", "to_k", "to_v", "to_out.0")
"""The attention projections that get an adapter."""

_ADAPTER = "lora_"
"""What is in the names of the adapters' weights."""


def add_lora_layers(unet: Any, rank: int, seed: int) -> Any:
    """The U-Net, frozen, with adapters of a rank that add nothing at first (Hu et al. 2021)."""
    import torch
    from peft import LoraConfig

    unet.requires_grad_(False)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        unet.add_adapter(
            LoraConfig(
                r=rank,
                lora_alpha=rank,
                init_lora_weights="gaussian",
                target_modules=list(TARGETS),
            )
        )
    return unet


def fuse_lora_layers(unet: Any) -> Any:
    """The U-Net with its adapters added to the weights beside them, and gone."""
    unet.fuse_lora()
    unet.unload_lora()
    return unet


def hash_without(module: Any) -> str:
    """The hash that a module had before it got adapters, if its own weights are the same."""
    return hash_of_state(
        {
            name.replace(".base_layer.", "."): value
            for name, value in module.state_dict().items()
            if _ADAPTER not in name
        }
    )


def save_lora(unet: Any, pipeline: str, folder: Path) -> None:
    """Writes pytorch_lora_weights.safetensors into a folder of its own.

    `pipeline` is the name of diffusers' class whose `load_lora_weights` takes the folder. Raises
    MediaError where the disk will not take it.
    """
    import diffusers
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(unet))
    with whole(folder) as beside:
        getattr(diffusers, pipeline).save_lora_weights(
            beside, unet_lora_layers={name: value.cpu() for name, value in layers.items()}
        )
