"""Infers the config of a ControlNet in one file from the shapes of its tensors, without torch.

Such a file has no config. The shapes say all that differs among the ControlNets that people have;
what they do not say, such as the number of attention heads, is as in those published.

1. The names tell the class: a U-Net's in the layout of diffusers or of LDM, or a transformer's.
2. Of a U-Net each level is read: its width, and whether it has attention, and how deep.
3. Of a transformer the widths of its first layers and the numbers of its layers are read.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Mapping
from typing import Any, NamedTuple

from .safetensors_files import TensorShapes

LDM_PREFIX = "control_model."
"""What the names of tensors begin with in the layout of LDM."""

_HEAD_WIDTH = 64
"""The width of an attention head in a U-Net with linear projections; others have 8 heads."""

_XL_TEXT_WIDTH = 2048
_FLUX_AXES = {128: [16, 56, 56]}
"""How the numbers of an attention head are shared among axes, by their count."""

_Z_IMAGE_STEPS = {6: 5}
"""The distance of the layers of Z-Image that a ControlNet acts on, by how many it has itself."""


class _Level(NamedTuple):
    """A level of a U-Net: its width, its number of layers, and how deep their attention is."""

    width: int
    layers: int
    depth: int


def control_network_config(shapes: TensorShapes) -> dict[str, Any] | None:
    """The config of the ControlNet in a file; None if its tensors do not tell it.

    Args:
        shapes: The shapes of its tensors, by name.
    """
    names = {name.removeprefix(LDM_PREFIX): shape for name, shape in shapes.items()}
    try:
        return _config(names)
    except (LookupError, ValueError, ZeroDivisionError):
        return None  # a part of one, or shapes that no such network has


def _config(names: TensorShapes) -> dict[str, Any] | None:
    """The config; LookupError, ValueError or ZeroDivisionError if tensors are missing or odd."""
    if "controlnet_cond_embedding.conv_in.weight" in names:
        return _of_unet(names)
    if "input_hint_block.0.weight" in names and "input_blocks.0.0.weight" in names:
        return _of_ldm(names)
    if "control_all_x_embedder.2-1.weight" in names:
        return _of_z_image(names)
    if "controlnet_x_embedder.weight" in names and "txt_in.weight" in names:
        return _of_qwen_image(names)
    if "controlnet_x_embedder.weight" in names and "context_embedder.weight" in names:
        return _of_flux(names)
    return None


def _of_unet(shapes: TensorShapes) -> dict[str, Any]:
    levels = []
    for number in range(_count(shapes, r"down_blocks\.(\d+)\.")):
        block = rf"down_blocks\.{number}\."
        layers = _count(shapes, rf"{block}resnets\.(\d+)\.")
        depth = _count(shapes, rf"{block}attentions\.0\.transformer_blocks\.(\d+)\.")
        width = shapes[f"down_blocks.{number}.resnets.0.conv1.weight"][0]
        levels.append(_Level(width, layers, depth))
    places = ["conv_in"]
    for number in range(1, _count(shapes, r"controlnet_cond_embedding\.blocks\.(\d+)\."), 2):
        places.append(f"blocks.{number}")
    config = _unet_config(
        shapes,
        levels,
        first="conv_in.weight",
        embedding="add_embedding.linear_1.weight",
        attention=r"(down_blocks\.\d+\.attentions\.\d+|mid_block\.attentions\.0)\.",
        maps=[f"controlnet_cond_embedding.{place}.weight" for place in places],
    )
    config["conditioning_channels"] = shapes["controlnet_cond_embedding.conv_in.weight"][1]
    if _count(shapes, r"mid_block\.attentions\.(\d+)\.") == 0:
        config["mid_block_type"] = "UNetMidBlock2D"
    if "task_embedding" in shapes:
        kinds, width = shapes["task_embedding"]
        config |= {
            "_class_name": "ControlNetUnionModel",
            "num_control_type": kinds,
            "num_trans_channel": width,
            "num_trans_layer": _count(shapes, r"transformer_layes\.(\d+)\."),
            "num_proj_channel": shapes["spatial_ch_projs.weight"][0],
        }
        config.pop("mid_block_type", None)
    return config


def _of_ldm(shapes: TensorShapes) -> dict[str, Any]:
    levels: list[_Level] = []
    width = layers = depth = 0
    for number in range(1, _count(shapes, r"input_blocks\.(\d+)\.")):
        block = f"input_blocks.{number}"
        if f"{block}.0.op.weight" in shapes:
            levels.append(_Level(width, layers, depth))
            layers = depth = 0
            continue
        width, layers = shapes[f"{block}.0.in_layers.2.weight"][0], layers + 1
        depth = _count(shapes, rf"input_blocks\.{number}\.1\.transformer_blocks\.(\d+)\.")
    levels.append(_Level(width, layers, depth))
    last = _count(shapes, r"input_hint_block\.(\d+)\.") - 1
    config = _unet_config(
        shapes,
        levels,
        first="input_blocks.0.0.weight",
        embedding="label_emb.0.0.weight",
        attention=r"(input_blocks\.\d+\.1|middle_block\.1)\.",
        # Every second layer has weights; of each pair the second makes the picture smaller.
        maps=[f"input_hint_block.{place}.weight" for place in range(0, last, 4)],
    )
    config["conditioning_channels"] = shapes["input_hint_block.0.weight"][1]
    return config


def _unet_config(
    shapes: TensorShapes,
    levels: list[_Level],
    *,
    first: str,
    embedding: str,
    attention: str,
    maps: Iterable[str],
) -> dict[str, Any]:
    """The config of a U-Net's ControlNet.

    Args:
        shapes: The shapes of its tensors.
        levels: Its levels, from the widest picture to the smallest.
        first: The name of its first layer.
        embedding: The name of the layer that reads the size of the picture, in SDXL.
        attention: A pattern for what the names of its attention's layers begin with.
        maps: The names of the layers that read the map, of which each has another width.
    """
    text = _first(shapes, rf"{attention}transformer_blocks\.0\.attn2\.to_k\.weight")
    projection = _first(shapes, rf"{attention}proj_in\.weight")
    is_linear = projection is None or len(projection) == 2
    widths = [level.width for level in levels]
    depths = [max(level.depth, 1) for level in levels]
    config: dict[str, Any] = {
        "_class_name": "ControlNetModel",
        "in_channels": shapes[first][1],
        "down_block_types": [
            "CrossAttnDownBlock2D" if level.depth else "DownBlock2D" for level in levels
        ],
        "block_out_channels": widths,
        "layers_per_block": levels[0].layers,
        "cross_attention_dim": _XL_TEXT_WIDTH if text is None else text[1],
        "transformer_layers_per_block": depths if max(depths) > 1 else 1,
        "use_linear_projection": is_linear,
        "attention_head_dim": [width // _HEAD_WIDTH for width in widths] if is_linear else 8,
        "conditioning_embedding_out_channels": [shapes[name][0] for name in maps],
    }
    if embedding in shapes:
        config |= {
            "addition_embed_type": "text_time",
            "addition_time_embed_dim": 256,
            "projection_class_embeddings_input_dim": shapes[embedding][1],
        }
    return config


def _of_flux(shapes: TensorShapes) -> dict[str, Any]:
    width, channels = shapes["x_embedder.weight"]
    head = shapes["transformer_blocks.0.attn.norm_q.weight"][0]
    modes = shapes.get("controlnet_mode_embedder.weight")
    hint = shapes.get("input_hint_block.conv_out.weight")
    return {
        "_class_name": "FluxControlNetModel",
        "patch_size": 1 if hint is None else 2,
        "in_channels": channels,
        "num_layers": _count(shapes, r"transformer_blocks\.(\d+)\."),
        "num_single_layers": _count(shapes, r"single_transformer_blocks\.(\d+)\."),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": shapes["context_embedder.weight"][1],
        "pooled_projection_dim": shapes["time_text_embed.text_embedder.linear_1.weight"][1],
        "guidance_embeds": "time_text_embed.guidance_embedder.linear_1.weight" in shapes,
        "axes_dims_rope": _FLUX_AXES.get(head, _shares(head)),
        "num_mode": None if modes is None else modes[0],
        "conditioning_embedding_channels": None if hint is None else hint[0],
    }


def _of_qwen_image(shapes: TensorShapes) -> dict[str, Any]:
    width, channels = shapes["img_in.weight"]
    head = shapes["transformer_blocks.0.attn.norm_q.weight"][0]
    return {
        "_class_name": "QwenImageControlNetModel",
        "patch_size": 2,
        "in_channels": channels,
        "out_channels": channels // 4,
        "num_layers": _count(shapes, r"transformer_blocks\.(\d+)\."),
        "attention_head_dim": head,
        "num_attention_heads": width // head,
        "joint_attention_dim": shapes["txt_in.weight"][1],
        "axes_dims_rope": _FLUX_AXES.get(head, _shares(head)),
        "extra_condition_channels": shapes["controlnet_x_embedder.weight"][1] - channels,
    }


def _of_z_image(shapes: TensorShapes) -> dict[str, Any] | None:
    width, patch = shapes["control_all_x_embedder.2-1.weight"]
    layers = _count(shapes, r"control_layers\.(\d+)\.")
    step = _Z_IMAGE_STEPS.get(layers)
    # Published files with such layers differ in settings that shapes do not tell.
    if step is None or "control_noise_refiner.0.after_proj.weight" in shapes:
        return None
    head = shapes["control_layers.0.attention.norm_q.weight"][0]
    refiners = _count(shapes, r"control_noise_refiner\.(\d+)\.")
    return {
        "_class_name": "ZImageControlNetModel",
        "control_layers_places": list(range(0, layers * step, step)),
        "control_refiner_layers_places": [],
        "control_in_dim": patch // 4,
        "add_control_noise_refiner": None,
        "dim": width,
        "n_refiner_layers": refiners,
        "n_heads": width // head,
        "n_kv_heads": shapes["control_layers.0.attention.to_k.weight"][0] // head,
    }


def _shares(head: int) -> list[int]:
    """How the numbers of an attention head of another width are shared among three axes."""
    text = max(2, head // 16 * 2)
    rest = (head - text) // 4 * 2
    return [head - 2 * rest, rest, rest]


def _count(names: Collection[str], pattern: str) -> int:
    """How many layers there are of which the names begin with a pattern, with their number.

    Raises ValueError for more layers than there are names.
    """
    begins = re.compile(pattern).match
    matches = (begins(name) for name in names)
    count = 1 + max((int(match[1]) for match in matches if match), default=-1)
    if count > len(names):
        raise ValueError(f"{count} layers in {len(names)} tensors")
    return count


def _first(shapes: Mapping[str, tuple[int, ...]], pattern: str) -> tuple[int, ...] | None:
    matches = re.compile(pattern).fullmatch
    return next((shape for name, shape in shapes.items() if matches(name)), None)
