"""Random checkpoints with the layouts of the published ones, at three tenths of their widths.

Levels, layers, attention and the order of sizes are those of Stable Diffusion 1.5, its inpainting
model and its ControlNet, of Stable Diffusion 2 with depth, and of SDXL Turbo; so a checkpoint has
about a tenth of the numbers. As published, those of the 1.5 line hold one text encoder and one
autoencoder, and the others each their own.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdgraph.models.sources.shipped import shipped_folder

from .random_weights import fill

_WIDTHS = [96, 192, 384, 384]
"""For 320, 640, 1280 and 1280."""
_ATTENDING, _PLAIN = "CrossAttn{}Block2D", "{}Block2D"

_DENOISER: dict[str, Any] = {
    "in_channels": 4,
    "block_out_channels": _WIDTHS,
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 256,
}
_VAE = {
    "_class_name": "AutoencoderKL",
    "latent_channels": 4,
    "sample_size": 512,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [40, 80, 160, 160],
    "layers_per_block": 2,
    "norm_num_groups": 8,
}


def _unet(levels: str, **more: Any) -> dict[str, Any]:
    """A U-Net whose levels are written from above: "A" with attention, "-" without."""
    kinds = [_ATTENDING if level == "A" else _PLAIN for level in levels]
    down = [kind.format("Down") for kind in kinds]
    up = [kind.format("Up") for kind in reversed(kinds)]
    fixed = {"_class_name": "UNet2DConditionModel", "sample_size": 64, "out_channels": 4}
    return {**_DENOISER, **fixed, "down_block_types": down, "up_block_types": up, **more}


def _text(width: int, layers: int, act: str = "quick_gelu", **more: Any) -> dict[str, Any]:
    """A CLIP text encoder of that width, with a smaller vocabulary."""
    ends = {"bos_token_id": 782, "eos_token_id": 783, "pad_token_id": 783}
    return {
        "architectures": ["CLIPTextModel"],
        "model_type": "clip_text_model",
        "vocab_size": 8192,
        "max_position_embeddings": 77,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": width // 64,
        "hidden_act": act,
        "projection_dim": width,
        **ends,
        **more,
    }


_SD = {"text_encoder": _text(256, 12), "vae": _VAE}
_CONTROLNET = {
    **_DENOISER,
    "_class_name": "ControlNetModel",
    "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
    "conditioning_embedding_out_channels": [16, 32, 96, 256],
}
_ESTIMATOR = {
    "architectures": ["DPTForDepthEstimation"],
    "model_type": "dpt",
    "image_size": 384,
    "patch_size": 16,
    "hidden_size": 256,
    "intermediate_size": 1024,
    "num_hidden_layers": 12,
    "num_attention_heads": 4,
    "backbone_out_indices": [2, 5, 8, 11],
    "neck_hidden_sizes": [32, 64, 128, 128],
    "fusion_hidden_size": 64,
}
_XL = {
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 6 * 256 + 384,
}

LAYOUTS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "text-to-image": {**_SD, "unet": _unet("AAA-")},
    "inpaint": {**_SD, "unet": _unet("AAA-", in_channels=9)},
    "controlnet-edges": {"": _CONTROLNET},
    "depth": {
        "text_encoder": _text(320, 23, "gelu"),
        "vae": {**_VAE, "_name_or_path": "stable-diffusion-2-depth"},
        "unet": _unet(
            "AAA-",
            in_channels=5,
            cross_attention_dim=320,
            use_linear_projection=True,
            attention_head_dim=[3, 6, 12, 12],
        ),
        "depth_estimator": _ESTIMATOR,
    },
    "turbo": {
        "text_encoder": _text(256, 12, _name_or_path="sdxl-turbo"),
        "text_encoder_2": _text(
            384, 32, "gelu", architectures=["CLIPTextModelWithProjection"], pad_token_id=0
        ),
        "vae": {**_VAE, "scaling_factor": 0.13025},
        "unet": _unet(
            "-AA",
            block_out_channels=_WIDTHS[:3],
            cross_attention_dim=256 + 384,
            transformer_layers_per_block=[1, 2, 10],
            attention_head_dim=[3, 6, 12],
            use_linear_projection=True,
            **_XL,
        ),
    },
}
"""For each checkpoint, named as the shipped one whose other files it has, its configs."""


def make(folder: Path) -> None:
    """Writes them all: configs, tokenizers and random weights in float32, about 2.7 GB."""
    for name, components in LAYOUTS.items():
        target = folder / name
        weightless = shutil.ignore_patterns("*.safetensors", "*.md")
        shutil.copytree(shipped_folder(f"tiny/{name}"), target, ignore=weightless)
        for component, config in components.items():
            (target / component / "config.json").write_text(json.dumps(config))
        processor = target / "feature_extractor" / "preprocessor_config.json"
        if processor.is_file():
            side = {"height": _ESTIMATOR["image_size"], "width": _ESTIMATOR["image_size"]}
            original = json.loads(processor.read_text())
            processor.write_text(json.dumps({**original, "size": side}))
        fill(target)
