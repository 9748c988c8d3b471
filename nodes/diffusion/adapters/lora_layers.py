"""The layers of a LoRA file and of a network, compared by the names and shapes in their headers.

Three programs name the same layer in three ways:

- diffusers and peft write `unet.down_blocks.0.attentions.0.proj_in.lora_A.weight`,
- older versions of diffusers `unet.….attn1.processor.to_q_lora.down.weight`,
- kohya's scripts `lora_unet_down_blocks_0_attentions_0_proj_in.lora_down.weight`, and for SDXL the
  block names of its first code: `lora_unet_input_blocks_4_1_proj_in.lora_down.weight`.

`flat_name` makes one name of all of them, with `_` for each dot.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import lru_cache
from pathlib import Path

from sdgraph.errors import CheckpointError
from sdgraph.files import FileStamp
from sdgraph.models import resolve_part, tensor_shapes
from sdgraph.nodes.diffusion.families import TRANSFORMER_LORA_PREFIXES, all_families
from sdgraph.values import MOTION, Checkpoint, Part

from .adapter_tensors import Shape, first_match

_MOTION_MODULES = r"motion_modules"
_ARCHITECTURES = {
    r"img_mlp_fc|_mod_linear|individual_token_refiner": "HunyuanVideo",
    _MOTION_MODULES: "AnimateDiff",
    r"lora_prior_|^prior\.": "a prior, such as Stable Cascade's",
    r"model\.layers\.\d+\.self_attn": "a language model",
}
"""Networks that no family here has, by a regular expression of names in LoRAs for them."""

_ATTENTION = re.compile(r"(?:^|_)(?:to_q|qkv|q|add_q_proj)$")
"""Layers whose input is as wide as the tokens of a transformer."""

_FIRST_BLOCKS = re.compile(r"lora_unet_((input|output)_blocks_\d|middle_block_\d)")
_OWN_BLOCKS = re.compile(r"lora_unet_((down|up)_blocks_\d|mid_block_)")


def other_architecture(names: Iterable[str], *, animated: bool = False) -> str:
    """The network other than a U-Net that a LoRA is for, by the names of its tensors; or "".

    Args:
        names: The names.
        animated: Whether the U-Net has motion modules, which a LoRA may be for.
    """
    listed = tuple(names)
    others = {key: _ARCHITECTURES[key] for key in _ARCHITECTURES if key != _MOTION_MODULES}
    return (
        first_match(others if animated else _ARCHITECTURES, listed)
        or transformer_label(dict.fromkeys(listed, ()))
        or first_match({r"^(?:lora_)?transformer[._]": "a diffusion transformer"}, listed)
    )


def transformer_label(layers: Mapping[str, Shape | None]) -> str:
    """The families of transformers that a LoRA may be for; "" for none.

    Args:
        layers: The shapes of the weights of its layers, by their names as written.
    """
    flat = {_without_prefix(name): shape for name, shape in layers.items()}
    lines = "\n".join(flat)
    named = [
        family.lora_names
        for family in all_families()
        if family.lora_names.mark and re.search(family.lora_names.mark, lines, re.M)
    ]
    widths = {shape[1] for n, shape in flat.items() if shape and shape[1:] and _ATTENTION.search(n)}
    fitting = [names for names in named if widths & set(names.widths)]
    return " or ".join(dict.fromkeys(names.label for names in fitting or named[:1]))


_PREFIX = re.compile(
    "|".join(map(re.escape, sorted(filter(None, TRANSFORMER_LORA_PREFIXES), key=len, reverse=True)))
)


def _without_prefix(name: str) -> str:
    match = _PREFIX.match(name)
    return name[match.end() if match else 0 :].replace(".", "_")


def two_layouts(names: Iterable[str]) -> tuple[str, str] | None:
    """A name with SDXL's first block names and one with those of diffusers, if a file has both.

    diffusers renames all blocks of such a file or none.
    """
    listed = [name for name in names if name.startswith("lora_unet_")]
    first = next((name for name in listed if _FIRST_BLOCKS.match(name)), None)
    own = next((name for name in listed if _OWN_BLOCKS.match(name)), None)
    return None if first is None or own is None else (first, own)


def flat_name(layer: str, blocks: int = 2) -> str:
    """A layer's name in a LoRA file, without its component's prefix, as in `network_layers`.

    Args:
        layer: The name, such as `input_blocks_4_1_proj_in`.
        blocks: The U-Net's `layers_per_block`.

    Example:
        >>> flat_name("input_blocks_4_1_proj_in")
        'down_blocks_1_attentions_0_proj_in'
        >>> flat_name("mid_block.attentions.0.transformer_blocks.0.attn1.processor.to_out")
        'mid_block_attentions_0_transformer_blocks_0_attn1_to_out_0'
    """
    if _MOTION_MODULES in layer:
        layer = re.sub(_MOTION_LAYER, lambda match: _MOTION_NAMES[match[0]], layer)
    name = layer.replace(".processor.", ".").replace(".", "_").removeprefix("text_model_")
    name = re.sub(r"_attn([12])_to_out$", r"_attn\1_to_out_0", name)
    name = re.sub(r"_self_attn_to_(q|k|v|out)$", r"_self_attn_\1_proj", name)
    for pattern, replacement in _OUTER_LAYERS.items():
        name = re.sub(pattern, replacement, name)
    match = re.fullmatch(r"(input_blocks|output_blocks|middle_block)_(\d+)(?:_(\d+))?_(.+)", name)
    if match is None:
        return name
    side, number, rest = match[1], int(match[2]), match[4]
    if side == "middle_block":
        # Its inner numbers belong to the layer: middle_block_1_transformer_blocks_0_….
        rest = name.removeprefix(f"middle_block_{number}_")
        block = "mid_block", ("resnets_0", "attentions_0", "resnets_1")[min(number, 2)]
    else:
        down = side == "input_blocks"
        block_number, index = divmod(number - 1 if down else number, blocks + 1)
        inner = int(match[3] or 0)
        kinds = (f"resnets_{index}", f"attentions_{index}", "upsamplers_0")
        kind = "downsamplers_0" if down and rest == "op" else kinds[min(inner, 2)]
        if not down and rest == "conv":
            kind = "upsamplers_0"
        block = f"{'down' if down else 'up'}_blocks_{block_number}", kind
    for pattern, replacement in _INNER_LAYERS.items():
        rest = re.sub(pattern, replacement, rest)
    return "_".join((*block, rest))


_MOTION_NAMES = {
    ".temporal_transformer.": ".",
    ".attention_blocks.0.": ".attn1.",
    ".attention_blocks.1.": ".attn2.",
    ".norms.0": ".norm1",
    ".norms.1": ".norm2",
    ".ff_norm": ".norm3",
}
"""The names in files of AnimateDiff's authors, and in diffusers."""

_MOTION_LAYER = "|".join(map(re.escape, _MOTION_NAMES))

_OUTER_LAYERS = {
    r"^input_blocks_0_0$": "conv_in",
    r"^out_2$": "conv_out",
    r"^time_embed_0$": "time_embedding_linear_1",
    r"^time_embed_2$": "time_embedding_linear_2",
    r"^label_emb_0_0$": "add_embedding_linear_1",
    r"^label_emb_0_2$": "add_embedding_linear_2",
}
"""Layers outside of the blocks: their names in the first code of SDXL, and in diffusers."""

_INNER_LAYERS = {
    r"^in_layers_2$": "conv1",
    r"^out_layers_3$": "conv2",
    r"^emb_layers_1$": "time_emb_proj",
    r"^skip_connection$": "conv_shortcut",
    r"^op$": "conv",
}
"""Layers of blocks: their names in the first code of SDXL, and in diffusers."""


def network_layers(checkpoint: Checkpoint, component: str) -> Mapping[str, Shape] | None:
    """The shapes of a network's weights and biases by `flat_name`; None if its files do not tell.

    That is where they are not on this disk, are pickles, are stored quantized, or have the names
    of LDM, as in a checkpoint of one file.
    """
    try:
        part = resolve_part(Part(checkpoint, component))
        files = () if part.tensor_prefix is not None else part.files
        if component == "unet" and MOTION in checkpoint.parts:
            files = (*files, *resolve_part(Part(checkpoint, MOTION)).files) if files else ()
        stamps = tuple((path, FileStamp.of(path)) for path in files)
    except (CheckpointError, OSError):
        return None
    if not files or any(path.suffix != ".safetensors" for path in files):
        return None
    return _weight_shapes(stamps)


@lru_cache(maxsize=16)
def _weight_shapes(files: tuple[tuple[Path, FileStamp], ...]) -> Mapping[str, Shape] | None:
    shapes: dict[str, Shape] = {}
    for path, _ in files:
        try:
            tensors = tensor_shapes(path)
        except CheckpointError:  # reported where the checkpoint itself is checked
            return None
        for name, shape in tensors.items():
            if "quant" in name or name.endswith((".absmax", ".SCB")):
                return None
            shapes[flat_name(name.removesuffix(".weight"))] = shape
    return shapes
