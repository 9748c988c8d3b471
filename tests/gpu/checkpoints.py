"""Random checkpoints with the widths and layers of the published ones, made when first asked for.

Vocabularies are small, and of the new families the text encoders and autoencoders are tiny: what
is measured is a denoiser of real width (`DENOISERS` says how many of its layers). On a CPU all are
those that ship, or tiny.
"""

from __future__ import annotations

import copy
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdgraph.models import quiet_libraries
from sdgraph.models.sources.shipped import shipped_folder
from sdgraph.nodes.diffusion.random_checkpoints import MAKERS, make_checkpoint
from tests.benchmarks.layouts import LAYOUTS

from .check import Bench

_WIDTHS = [320, 640, 1280, 1280]
_VAE = {"block_out_channels": [128, 256, 512, 512], "norm_num_groups": 32}
_TEXT = {
    "hidden_size": 768,
    "intermediate_size": 3072,
    "num_attention_heads": 12,
    "projection_dim": 768,
}
_WIDE_TEXT = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "projection_dim": 1024,
}
_BIG_TEXT = {
    "hidden_size": 1280,
    "intermediate_size": 5120,
    "num_attention_heads": 20,
    "projection_dim": 1280,
}
_UNET = {"block_out_channels": _WIDTHS, "cross_attention_dim": 768}
_DPT = {
    "hidden_size": 1024,
    "intermediate_size": 4096,
    "num_attention_heads": 16,
    "num_hidden_layers": 24,
    "backbone_out_indices": [5, 11, 17, 23],
    "neck_hidden_sizes": [256, 512, 1024, 1024],
    "fusion_hidden_size": 256,
}

_SD: dict[str, Any] = {"text_encoder": _TEXT, "vae": _VAE, "unet": _UNET}
WIDENED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "text-to-image": _SD,
    "inpaint": _SD,
    "controlnet-edges": {"": _UNET},
    "depth": {
        "text_encoder": _WIDE_TEXT,
        "vae": _VAE,
        "unet": {**_UNET, "cross_attention_dim": 1024, "attention_head_dim": [5, 10, 20, 20]},
        "depth_estimator": _DPT,
    },
    "turbo": {
        "text_encoder": _TEXT,
        "text_encoder_2": _BIG_TEXT,
        "vae": _VAE,
        "unet": {
            "block_out_channels": _WIDTHS[:3],
            "cross_attention_dim": 2048,
            "attention_head_dim": [5, 10, 20],
            "projection_class_embeddings_input_dim": 6 * 256 + 1280,
        },
    },
}
"""What the layouts of the benchmarks have at three tenths of the published widths."""

_VIDEO: Mapping[str, Mapping[str, Any]] = {
    "text_encoder": {**LAYOUTS["depth"]["text_encoder"], **_WIDE_TEXT},
    "vae": {**LAYOUTS["depth"]["vae"], **_VAE},
    "unet": {
        "_class_name": "UNet3DConditionModel",
        "sample_size": 32,
        "in_channels": 4,
        "out_channels": 4,
        "down_block_types": ["CrossAttnDownBlock3D"] * 3 + ["DownBlock3D"],
        "up_block_types": ["UpBlock3D"] + ["CrossAttnUpBlock3D"] * 3,
        "block_out_channels": _WIDTHS,
        "layers_per_block": 2,
        "cross_attention_dim": 1024,
        "attention_head_dim": 64,
    },
}

DENOISERS: Mapping[str, Mapping[str, Any]] = {
    # FLUX.1: 24 heads of 128; 4 of 19 and 8 of 38 blocks.
    "flux": {
        "num_attention_heads": 24,
        "attention_head_dim": 128,
        "num_layers": 4,
        "num_single_layers": 8,
        "axes_dims_rope": [16, 56, 56],
    },
    # Z-Image: width 3840; 6 of 30 layers.
    "z-image": {
        "dim": 3840,
        "n_heads": 30,
        "n_kv_heads": 30,
        "n_layers": 6,
        "n_refiner_layers": 2,
        "axes_dims": [32, 48, 48],
    },
    # Wan 2.1, 1.3B: 12 heads of 128, all 30 layers.
    "wan": {
        "num_attention_heads": 12,
        "attention_head_dim": 128,
        "ffn_dim": 8960,
        "num_layers": 30,
    },
}
"""For each of the new families, what its denoiser has in place of the tiny one's settings."""


def layout(name: str) -> dict[str, dict[str, Any]]:
    """The configs of the components of a system's checkpoint, of real width."""
    if name == "text-to-video":
        return copy.deepcopy({key: dict(config) for key, config in _VIDEO.items()})
    wider = WIDENED[name]
    return {key: {**config, **wider[key]} for key, config in LAYOUTS[name].items()}


def checkpoint(bench: Bench, name: str) -> str:
    """The source of a system's or a family's checkpoint, made if it is not there.

    Args:
        bench: Where it is made; on a CPU a system's is the one that ships.
        name: "text-to-image", "inpaint", …, or "random/flux", ….
    """
    family = name.removeprefix("random/")
    if bench.is_small and family == name:
        return f"tiny/{name}"
    target = bench.folder / family
    if not (target / ".complete").exists():
        with quiet_libraries():
            if family != name:
                _make_family(family, target, bench)
            else:
                _make_system(name, target, bench)
        (target / ".complete").touch()
    return str(target)


def _make_family(name: str, target: Path, bench: Bench) -> None:
    if bench.is_small:
        make_checkpoint(name, target)
        return
    import torch

    torch.manual_seed(0)
    pipe = MAKERS[name]()
    config = {**dict(pipe.transformer.config), **DENOISERS[name]}
    with torch.device(bench.device):
        torch.set_default_dtype(torch.bfloat16)
        try:
            denoiser = type(pipe.transformer).from_config(config)
        finally:
            torch.set_default_dtype(torch.float32)
    fill_empty(denoiser)
    pipe.register_modules(transformer=denoiser)
    pipe.save_pretrained(target)


def fill_empty(module: Any) -> None:
    """Gives every weight that is made without values small random ones, and keeps the others."""
    import torch

    with torch.no_grad():
        for weight in module.parameters():
            if not torch.isfinite(weight).all() or weight.abs().max() > 100:
                weight.normal_(0, 0.02)
        for name in ("x_pad_token", "cap_pad_token"):
            if hasattr(module, name):
                getattr(module, name).fill_(1)


def _make_system(name: str, target: Path, bench: Bench) -> None:
    import diffusers
    import torch
    import transformers

    weightless = shutil.ignore_patterns("*.safetensors", "*.md")
    shutil.copytree(shipped_folder(f"tiny/{name}"), target, ignore=weightless, dirs_exist_ok=True)
    for component, config in layout(name).items():
        torch.manual_seed(0)
        with torch.device(bench.device):
            if "_class_name" in config:
                module = getattr(diffusers, config["_class_name"]).from_config(config)
            else:
                cls = getattr(transformers, config["architectures"][0])
                module = cls(cls.config_class.from_dict(config))
        module.half().save_pretrained(target / component)
    processor = target / "feature_extractor" / "preprocessor_config.json"
    if processor.is_file():
        side = {"height": 384, "width": 384}
        processor.write_text(json.dumps({**json.loads(processor.read_text()), "size": side}))
