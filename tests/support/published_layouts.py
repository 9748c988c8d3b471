"""The text encoders, U-Nets and VAEs of Stable Diffusion 1.5, 2.1 and XL, as they were published.

The configs are those of the published checkpoints. The names and shapes of the tensors follow from
them by the classes of today, changed to the names that the published files have: the text encoders
have a prefix and their `position_ids`, the VAEs the names of their attention of 2022. Files have a
header and no data, so that they take no place on the disk.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

Shapes = dict[str, tuple[int, ...]]

_UNET: dict[str, Any] = {
    "_class_name": "UNet2DConditionModel",
    "in_channels": 4,
    "out_channels": 4,
    "sample_size": 64,
    "block_out_channels": [320, 640, 1280, 1280],
    "layers_per_block": 2,
    "attention_head_dim": 8,
    "cross_attention_dim": 768,
    "norm_num_groups": 32,
}
_VAE: dict[str, Any] = {
    "_class_name": "AutoencoderKL",
    "in_channels": 3,
    "out_channels": 3,
    "latent_channels": 4,
    "sample_size": 512,
    "down_block_types": ["DownEncoderBlock2D"] * 4,
    "up_block_types": ["UpDecoderBlock2D"] * 4,
    "block_out_channels": [128, 256, 512, 512],
    "layers_per_block": 2,
    "norm_num_groups": 32,
}


def _text(class_name: str, width: int, layers: int, heads: int, projection: int) -> dict[str, Any]:
    return {
        "architectures": [class_name],
        "model_type": "clip_text_model",
        "vocab_size": 49408,
        "max_position_embeddings": 77,
        "hidden_size": width,
        "intermediate_size": 4 * width,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "projection_dim": projection,
    }


_XL_UNET = {
    **_UNET,
    "sample_size": 128,
    "block_out_channels": [320, 640, 1280],
    "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
    "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"],
    "transformer_layers_per_block": [1, 2, 10],
    "attention_head_dim": [5, 10, 20],
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}
_2_UNET = {
    **_UNET,
    "sample_size": 96,
    "attention_head_dim": [5, 10, 20, 20],
    "cross_attention_dim": 1024,
    "use_linear_projection": True,
}

PUBLISHED: Mapping[str, Mapping[str, Mapping[str, Any]]] = {
    "stable-diffusion-v1-5": {
        "unet": _UNET,
        "vae": _VAE,
        "text_encoder": _text("CLIPTextModel", 768, 12, 12, 768),
    },
    "stable-diffusion-2-1": {
        "unet": _2_UNET,
        "vae": {**_VAE, "sample_size": 768},
        "text_encoder": _text("CLIPTextModel", 1024, 23, 16, 512),
    },
    "stable-diffusion-xl-base-1.0": {
        "unet": _XL_UNET,
        "vae": {**_VAE, "sample_size": 1024, "force_upcast": True},
        "text_encoder": _text("CLIPTextModel", 768, 12, 12, 768),
        "text_encoder_2": _text("CLIPTextModelWithProjection", 1280, 32, 20, 1280),
    },
}
"""The configs of the networks of each checkpoint."""

_OLD_ATTENTION = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def class_of(config: Mapping[str, Any]) -> Any:
    """The class that a config names."""
    import diffusers
    import transformers

    if "_class_name" in config:
        return getattr(diffusers, config["_class_name"])
    return getattr(transformers, config["architectures"][0])


def shapes_today(config: Mapping[str, Any]) -> Shapes:
    """The names and shapes of the tensors of a network by the class of today."""
    import torch

    cls = class_of(config)
    with torch.device("meta"):
        if "_class_name" in config:
            module = cls.from_config(dict(config))
        else:
            module = cls(cls.config_class.from_dict(dict(config)))
    return {name: tuple(tensor.shape) for name, tensor in module.state_dict().items()}


def published_shapes(config: Mapping[str, Any]) -> Shapes:
    """The names and shapes of the tensors in the file that was published."""
    shapes = shapes_today(config)
    if "_class_name" not in config:
        prefixed = {
            name if name.startswith("text_") else f"text_model.{name}": shape
            for name, shape in shapes.items()
        }
        return {**prefixed, "text_model.embeddings.position_ids": (1, 77)}
    if config["_class_name"] == "AutoencoderKL":
        for new, old in _OLD_ATTENTION.items():
            shapes = {
                name.replace(f"attentions.0.{new}.", f"attentions.0.{old}."): shape
                for name, shape in shapes.items()
            }
    return shapes


def write_header(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> None:
    """Writes a safetensors file with these tensors in float16, whose data is a hole in the file."""
    header, end = {}, 0
    for name, shape in shapes.items():
        begin, end = end, end + 2 * prod(shape)
        header[name] = {"dtype": "F16", "shape": shape, "data_offsets": [begin, end]}
    text = json.dumps(header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        file.truncate(8 + len(text) + end)


def write_component(folder: Path, config: Mapping[str, Any], shapes: Shapes) -> None:
    """Writes the config of a network and a file that has only the header of its weights."""
    diffusers = "_class_name" in config
    write_header(folder / f"{'diffusion_pytorch_' * diffusers}model.safetensors", shapes)
    (folder / "config.json").write_text(json.dumps(config))
