"""LoRA: small adapters added to a denoiser's attention projections, which alone are trained."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from .frozen import hash_tensors
from .pipeline_parts import PipelineParts
from .training_folders import replace_folder

_ADAPTER = "lora_"
"""What is in the names of the adapters' weights."""


def add_lora_layers(parts: PipelineParts, rank: int, seed: int) -> None:
    """Freezes the denoiser and gives it adapters that add nothing at first (Hu et al. 2021).

    Args:
        parts: The parts with the denoiser; the family says which layers get an adapter.
        rank: The rank of the adapters.
        seed: What their weights are drawn by.
    """
    import torch
    from peft import LoraConfig

    parts.denoiser.requires_grad_(False)
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        parts.denoiser.add_adapter(
            LoraConfig(
                r=rank,
                lora_alpha=rank,
                init_lora_weights="gaussian",
                target_modules=list(parts.family.denoiser.lora_targets),
            )
        )


def fuse_lora_layers(parts: PipelineParts) -> None:
    """Adds the adapters to the weights of the denoiser's own layers and removes them."""
    parts.denoiser.fuse_lora()
    parts.denoiser.unload_lora()


def hash_without_adapters(module: Any) -> str:
    """The hash that a module had before it got adapters, if its own weights are the same."""
    return hash_tensors(
        {
            name.replace(".base_layer.", "."): value
            for name, value in module.state_dict().items()
            if _ADAPTER not in name
        }
    )


def save_lora(parts: PipelineParts, folder: Path) -> None:
    """Writes the adapters as pytorch_lora_weights.safetensors, for `load_lora_weights`.

    Raises:
        MediaError: The disk does not take it.
    """
    import diffusers
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    layers = convert_state_dict_to_diffusers(get_peft_model_state_dict(parts.denoiser))
    weights = {name: value.cpu() for name, value in layers.items()}
    pipeline = getattr(diffusers, parts.family.pipelines["text-to-image"])
    with replace_folder(folder) as new:
        pipeline.save_lora_weights(new, **{f"{parts.family.denoiser.name}_lora_layers": weights})
