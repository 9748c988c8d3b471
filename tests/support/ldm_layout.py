"""Checkpoints as one file in the layout of LDM (CompVis, A1111, ComfyUI), made from folders.

The names of diffusers and transformers are changed to those of LDM and OpenCLIP, the inverse of
what diffusers' `from_single_file` does. Tensors may be without data (torch's "meta" device).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

Tensors = dict[str, Any]

_RESNET = {
    "norm1": "in_layers.0",
    "conv1": "in_layers.2",
    "norm2": "out_layers.0",
    "conv2": "out_layers.3",
    "time_emb_proj": "emb_layers.1",
    "conv_shortcut": "skip_connection",
}
_OUTER = {
    "time_embedding.linear_1": "time_embed.0",
    "time_embedding.linear_2": "time_embed.2",
    "add_embedding.linear_1": "label_emb.0.0",
    "add_embedding.linear_2": "label_emb.0.2",
    "conv_in": "input_blocks.0.0",
    "conv_norm_out": "out.0",
    "conv_out": "out.2",
}
_VAE = {
    r"encoder\.down_blocks\.(\d+)\.resnets": r"encoder.down.\1.block",
    r"encoder\.down_blocks\.(\d+)\.downsamplers\.0": r"encoder.down.\1.downsample",
    r"mid_block\.attentions\.0": "mid.attn_1",
    r"mid_block\.resnets\.0": "mid.block_1",
    r"mid_block\.resnets\.1": "mid.block_2",
    r"conv_shortcut": "nin_shortcut",
    r"conv_norm_out": "norm_out",
    r"group_norm": "norm",
    r"to_([qkv])\b": r"\1",
    r"to_out\.0": "proj_out",
}
_OPEN_CLIP = {
    r"^embeddings\.position_embedding\.weight": "positional_embedding",
    r"^embeddings\.token_embedding": "token_embedding",
    r"^final_layer_norm": "ln_final",
    r"^encoder\.layers\.": "transformer.resblocks.",
    r"layer_norm([12])": r"ln_\1",
    r"\.fc1\.": ".c_fc.",
    r"\.fc2\.": ".c_proj.",
    r"\.self_attn\.": ".attn.",
}


def unet_name(name: str, config: Mapping[str, Any], attentions: frozenset[int]) -> str:
    """The name of a U-Net's tensor in the layout of LDM.

    Args:
        name: Its name in diffusers.
        config: The U-Net's config.
        attentions: The numbers of the up blocks that have attention.
    """
    count = config["layers_per_block"] + 1
    for old, new in _OUTER.items():
        if name.startswith(f"{old}."):
            return name.replace(old, new, 1)
    side, rest = name.split(".", 1)
    if side == "mid_block":
        kind, number, inner = rest.split(".", 2)
        place = 1 if kind == "attentions" else 2 * int(number)
        return f"middle_block.{place}.{_inner(inner, kind)}"
    block, kind, number, inner = rest.split(".", 3)
    index = int(block) * count + int(number)
    if kind == "downsamplers":
        return f"input_blocks.{(int(block) + 1) * count}.0.op.{inner.removeprefix('conv.')}"
    if kind == "upsamplers":
        place = 2 if int(block) in attentions else 1
        return f"output_blocks.{int(block) * count + count - 1}.{place}.{inner}"
    own = f"input_blocks.{index + 1}" if side == "down_blocks" else f"output_blocks.{index}"
    return f"{own}.{int(kind == 'attentions')}.{_inner(inner, kind)}"


def _inner(name: str, kind: str) -> str:
    if kind == "attentions":
        return name
    layer, rest = name.split(".", 1)
    return f"{_RESNET[layer]}.{rest}"


def ldm_unet(tensors: Tensors, config: Mapping[str, Any]) -> Tensors:
    found = (re.match(r"up_blocks\.(\d+)\.attentions", name) for name in tensors)
    attentions = frozenset(int(match[1]) for match in found if match)
    return {unet_name(name, config, attentions): tensor for name, tensor in tensors.items()}


def ldm_vae(tensors: Tensors, config: Mapping[str, Any]) -> Tensors:
    last = len(config["block_out_channels"]) - 1
    converted = {}
    for name, tensor in tensors.items():
        new = name
        for old, replacement in _VAE.items():
            new = re.sub(old, replacement, new)
        new = re.sub(
            r"decoder\.up_blocks\.(\d+)\.(resnets|upsamplers\.0)",
            lambda m: (
                f"decoder.up.{last - int(m[1])}.{'block' if m[2] == 'resnets' else 'upsample'}"
            ),
            new,
        )
        is_attention = re.search(r"attn_1\.(q|k|v|proj_out)\.weight$", new)
        converted[new] = tensor[:, :, None, None] if is_attention else tensor
    return converted


def ldm_clip(tensors: Tensors, config: Mapping[str, Any]) -> Tensors:
    bare = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    return {f"transformer.text_model.{name}": tensor for name, tensor in bare.items()}


def ldm_open_clip(tensors: Tensors, config: Mapping[str, Any]) -> Tensors:
    import torch

    bare = {name.removeprefix("text_model."): tensor for name, tensor in tensors.items()}
    converted = {}
    for name, tensor in bare.items():
        match = re.fullmatch(r"(.+\.self_attn)\.([qkv])_proj\.(weight|bias)", name)
        if match:
            if match[2] != "q":
                continue
            rows = [bare[f"{match[1]}.{letter}_proj.{match[3]}"] for letter in "qkv"]
            name, tensor = f"{match[1]}.in_proj_{match[3]}", torch.cat(rows)
        elif name == "text_projection.weight":
            name, tensor = "text_projection", tensor.T.contiguous()
        for old, new in _OPEN_CLIP.items():
            name = re.sub(old, new, name)
        converted[f"model.{name}"] = tensor
    return converted


_Conversion = Callable[[Tensors, Mapping[str, Any]], Tensors]

_FIRST: Mapping[str, tuple[str, _Conversion]] = {
    "unet": ("model.diffusion_model.", ldm_unet),
    "vae": ("first_stage_model.", ldm_vae),
}
LAYOUTS: Mapping[str, Mapping[str, tuple[str, _Conversion]]] = {
    "1": {**_FIRST, "text_encoder": ("cond_stage_model.", ldm_clip)},
    "2": {**_FIRST, "text_encoder": ("cond_stage_model.", ldm_open_clip)},
    "XL": {
        **_FIRST,
        "text_encoder": ("conditioner.embedders.0.", ldm_clip),
        "text_encoder_2": ("conditioner.embedders.1.", ldm_open_clip),
    },
}
"""For each version of Stable Diffusion, the prefix and the names of its components."""


def convert(components: Mapping[str, Tensors], folder: Path, layout: str) -> Tensors:
    """The tensors of a whole checkpoint under the names of LDM.

    Args:
        components: The tensors of each component under the names of its class.
        folder: The folder with their configs.
        layout: A key of `LAYOUTS`.
    """
    converted: Tensors = {}
    for name, (prefix, change) in LAYOUTS[layout].items():
        config = json.loads((folder / name / "config.json").read_text())
        own = change(components[name], config)
        converted |= {f"{prefix}{tensor}": value for tensor, value in own.items()}
    return converted


def write_single_file(folder: Path, path: Path, layout: str, **more: Any) -> Path:
    """Writes the weights of a folder in diffusers' layout as one file.

    Args:
        folder: The checkpoint's folder.
        path: Where the file is written.
        layout: A key of `LAYOUTS`.
        more: Further tensors, by name.
    """
    from safetensors.torch import load_file, save_file

    components = {
        name: load_file(next((folder / name).glob("*.safetensors"))) for name in LAYOUTS[layout]
    }
    tensors = {**convert(components, folder, layout), **more}
    save_file({name: tensor.contiguous() for name, tensor in tensors.items()}, path)
    return path


def ldm_controlnet(tensors: Tensors, config: Mapping[str, Any]) -> Tensors:
    """The tensors of a ControlNet under their names in the layout of LDM.

    Args:
        tensors: Those of diffusers, for latents eight times smaller than the map.
        config: The ControlNet's config.
    """
    hints = {f"blocks.{number}": f"input_hint_block.{2 * number + 2}" for number in range(6)}
    hints |= {"conv_in": "input_hint_block.0", "conv_out": "input_hint_block.14"}
    converted = {}
    for name, tensor in tensors.items():
        begin, _, rest = name.partition(".")
        layer, _, kind = rest.rpartition(".")
        if begin == "controlnet_cond_embedding":
            new = f"{hints[layer]}.{kind}"
        elif begin == "controlnet_down_blocks":
            new = f"zero_convs.{layer}.0.{kind}"
        elif begin == "controlnet_mid_block":
            new = f"middle_block_out.0.{rest}"
        else:
            new = unet_name(name, config, frozenset())
        converted[f"control_model.{new}"] = tensor
    return converted
