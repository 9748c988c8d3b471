"""Reads tensors from a file of any format, as the numbers that are computed with.

- safetensors: as they are; weights in fp8 with scales are multiplied by them in float32.
- Pickles: by torch's reader of tensors alone.
- GGUF: quantized weights are computed in float32 by the gguf package, or stay in their blocks.

So the weights are exactly those that the file stands for, rounded once to the dtype that the
module computes in; they take the memory of that dtype, or of their blocks.
"""

from __future__ import annotations

from collections.abc import Collection
from importlib import import_module
from pathlib import Path
from typing import Any

from .gguf_blocks import BlockRows
from .gguf_headers import MAGIC, stays_in_blocks
from .pickles import is_pickle, read_pickle
from .safetensors_files import refuse_damaged
from .scaled_weights import scales_by_weight

_PLAIN = (0, 1, 30)
"""The types of GGUF that are float32, float16 and bfloat16."""


def read_tensors(
    path: Path,
    names: Collection[str] | None = None,
    rounded_to: Any = None,
    *,
    in_blocks: bool = False,
) -> dict[str, Any]:
    """Tensors of a file by name, as torch tensors in host memory.

    Args:
        path: The file.
        names: Their names; None for all.
        rounded_to: The dtype that computed weights are rounded to at once, which saves memory;
            None leaves them in float32.
        in_blocks: Whether the quantized weights of linear layers in a GGUF file are returned as
            `BlockRows`.

    Raises:
        CheckpointError: The file is damaged, or a pickle while pickles are not allowed.
    """
    if names is None:
        names = list(refuse_damaged(path).tensors)
    with path.open("rb") as file:
        start = file.read(9)
    if is_pickle(start):
        return read_pickle(path, names)
    if start.startswith(MAGIC):
        return _read_gguf(path, names, rounded_to, in_blocks)
    return _read_safetensors(path, names, rounded_to)


def _read_safetensors(path: Path, names: Collection[str], rounded_to: Any) -> dict[str, Any]:
    from safetensors import safe_open

    scales = scales_by_weight(refuse_damaged(path).tensors)
    tensors: dict[str, Any] = {}
    with safe_open(path, framework="pt") as file:
        for name in names:
            tensor = file.get_tensor(name)
            if name in scales:
                scale = file.get_tensor(scales[name]).float()
                if scale.numel() > 1:
                    scale = scale.reshape(-1, *[1] * (tensor.dim() - 1))
                tensor = (tensor.float() * scale).to(rounded_to)
            tensors[name] = tensor
    return tensors


def _read_gguf(
    path: Path, names: Collection[str], rounded_to: Any, in_blocks: bool
) -> dict[str, Any]:
    import torch

    gguf = import_module("gguf")
    entries, wanted = refuse_damaged(path).tensors, set(names)
    tensors: dict[str, Any] = {}
    for entry in gguf.GGUFReader(path).tensors:
        name = entry.name
        if name in wanted and in_blocks and stays_in_blocks(name, entries[name]):
            data = torch.from_numpy(entry.data.copy()).reshape(entries[name]["shape"][0], -1)
            tensors[name] = BlockRows(data, int(entry.tensor_type))
        elif name in wanted:
            values = gguf.quants.dequantize(entry.data, entry.tensor_type)
            tensor = torch.from_numpy(values if values.flags.writeable else values.copy())
            if entry.tensor_type not in _PLAIN:
                tensor = tensor.to(rounded_to)
            tensors[name] = tensor.reshape(entries[name]["shape"])
    return {name: tensors[name] for name in names}
