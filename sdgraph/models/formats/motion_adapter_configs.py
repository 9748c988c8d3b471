"""Infers the config of a motion adapter in one file from the shapes of its tensors, without torch.

Its modules are named by diffusers, or as in the files of AnimateDiff's authors. The number of
attention heads and of groups in norms, which no shape tells, is as in all that are published.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

from .safetensors_files import TensorShapes

MODULE_PREFIX = "module."
"""What the names of tensors begin with in files that were saved while training on several GPUs."""

_MODULE = re.compile(
    r"(down_blocks|mid_block|up_blocks)\.(?:(\d{1,3})\.)?motion_modules\.(\d{1,3})\.(.*)"
)
_POSITIONS = ("pos_embed.pe", "pos_encoder.pe")
_USUAL_LENGTH = 32
"""The number of frames of an adapter whose file has no tensors of positions."""


def motion_adapter_config(shapes: TensorShapes) -> dict[str, Any] | None:
    """The config of the motion adapter in a file; None if its tensors do not tell it.

    Args:
        shapes: The shapes of its tensors, by name.
    """
    names = {name.removeprefix(MODULE_PREFIX): shape for name, shape in shapes.items()}
    widths: dict[int, int] = {}
    layers: dict[int, set[int]] = {}
    for name, shape in names.items():
        match = _MODULE.fullmatch(name)
        if match is not None and match[1] == "down_blocks":
            block = int(match[2] or 0)
            layers.setdefault(block, set()).add(int(match[3]))
            if match[4].endswith("proj_in.weight") and shape:
                widths[block] = shape[0]
    if not widths or sorted(widths) != list(range(len(widths))) or widths.keys() != layers.keys():
        return None
    counts = [len(layers[block]) for block in sorted(layers)]
    return {
        "_class_name": "MotionAdapter",
        "block_out_channels": [widths[block] for block in sorted(widths)],
        "conv_in_channels": _input_channels(names),
        "motion_layers_per_block": counts[0] if len(set(counts)) == 1 else counts,
        "motion_transformer_layers_per_block": _depth(names, "down_blocks"),
        "motion_transformer_layers_per_mid_block": _depth(names, "mid_block"),
        "motion_max_seq_length": _length(names),
        "motion_num_attention_heads": 8,
        "motion_norm_num_groups": 32,
        "use_motion_mid_block": any(name.startswith("mid_block.") for name in names),
    }


def _input_channels(names: TensorShapes) -> int | None:
    """The channels that a first layer of its own takes; None if it has none."""
    shape = names.get("conv_in.weight", ())
    return shape[1] if len(shape) > 1 else None


def _depth(names: Iterable[str], blocks: str) -> int:
    """How many blocks of transformers a motion module has, at most."""
    pattern = re.compile(rf"{blocks}\..*\btransformer_blocks\.(\d{{1,3}})\.")
    numbers = [int(match[1]) for name in names if (match := pattern.match(name))]
    return max(numbers, default=0) + 1


def _length(names: Mapping[str, tuple[int, ...]]) -> int:
    """The number of frames for which it has positions."""
    lengths = [
        shape[1] for name, shape in names.items() if name.endswith(_POSITIONS) and len(shape) == 3
    ]
    return min(lengths, default=_USUAL_LENGTH)
