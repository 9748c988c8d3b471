"""Infers the config of a T2I-Adapter in one file from its tensors, and their names in diffusers.

Published files have the names of the adapter's authors or those of diffusers, in which each level
of the network has a number of its own. There are two kinds: a full one begins with a convolution of
the map, and a light one has narrow layers in each level.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from .safetensors_files import TensorShapes

_PREFIX = "adapter."
"""What the names of tensors begin with in diffusers."""

_LEVELS = 4
_XL_FACTOR = 16
"""How much smaller than the map the first results are in adapters for SDXL; 8 in others."""


def map_adapter_config(shapes: TensorShapes) -> dict[str, Any] | None:
    """The config of the T2I-Adapter in a file; None if its tensors do not tell it.

    Args:
        shapes: The shapes of its tensors, by name.
    """
    try:
        names = map_adapter_names(shapes)
        return _config({new: shapes[old] for old, new in names.items()})
    except (LookupError, ValueError, TypeError):
        return None  # a part of one, or shapes that no such network has


def map_adapter_names(names: Collection[str]) -> dict[str, str]:
    """The names in diffusers of the tensors of a T2I-Adapter, by their names in a file.

    Example:
        >>> map_adapter_names(["conv_in.weight", "body.0.block1.weight"])["conv_in.weight"]
        'adapter.conv_in.weight'
    """
    if any(name.startswith(_PREFIX) for name in names):
        return {name: name for name in names}
    if any(re.match(r"body\.\d+\.out_conv\.", name) for name in names):
        return {name: _PREFIX + re.sub(r"(\.\d+\.)body\.", r"\1resnets.", name) for name in names}
    numbers = (re.match(r"body\.(\d+)\.", name) for name in names)
    count = 1 + max((int(match[1]) for match in numbers if match), default=0)
    blocks = max(1, count // _LEVELS)
    return {name: _PREFIX + _with_level(name, blocks) for name in names}


def _with_level(name: str, blocks: int) -> str:
    """The name of a tensor of a full adapter, whose blocks are numbered through all levels."""
    match = re.match(r"body\.(\d+)\.(block\d|in_conv)\.", name)
    if match is None:
        return name
    level, block = divmod(int(match[1]), blocks)
    place = "in_conv" if match[2] == "in_conv" else f"resnets.{block}.{match[2]}"
    return f"body.{level}.{place}.{name[match.end() :]}"


def _config(shapes: Mapping[str, tuple[int, ...]]) -> dict[str, Any]:
    light = f"{_PREFIX}conv_in.weight" not in shapes
    first = "body.0.in_conv" if light else "conv_in"
    channels, factor = _map_of(shapes[f"{_PREFIX}{first}.weight"][1])
    layer = "out_conv" if light else "resnets.0.block1"
    levels = range(_LEVELS)
    widths = [shapes[f"{_PREFIX}body.{level}.{layer}.weight"][0] for level in levels]
    blocks = (re.match(r"adapter\.body\.0\.resnets\.(\d+)\.", name) for name in shapes)
    kind = "full_adapter_xl" if factor == _XL_FACTOR else "full_adapter"
    return {
        "_class_name": "T2IAdapter",
        "in_channels": channels,
        "channels": widths[:-1] if light else widths,
        "num_res_blocks": 1 + max(int(match[1]) for match in blocks if match),
        "downscale_factor": factor,
        "adapter_type": "light_adapter" if light else kind,
    }


def _map_of(numbers: int) -> tuple[int, int]:
    """The channels of the map and the side of its patches, by the numbers of a patch."""
    sizes = {channels * side**2: (channels, side) for channels in (1, 3) for side in (8, 16)}
    return sizes[numbers]
