"""Reads tensors from one file of any format, as the numbers that are computed with.

- safetensors: as they are; weights in fp8 with scales are multiplied by them in float32.
- Pickles: by torch's reader of tensors alone.
- GGUF: quantized weights are computed in float32 by the gguf package.

So the weights are exactly those that the file stands for, rounded once to the dtype that the
module computes in; they take the memory of that dtype.
"""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module
from pathlib import Path
from typing import Any

from sdgraph.models.formats.gguf_headers import MAGIC
from sdgraph.models.formats.pickles import is_pickle, read_pickle
from sdgraph.models.formats.safetensors_files import refuse_damaged
from sdgraph.models.formats.scaled_weights import scales_by_weight


def read_tensors(path: Path, names: Sequence[str], rounded_to: Any = None) -> dict[str, Any]:
    """Some tensors of a file by name.

    Args:
        path: The file.
        names: Their names.
        rounded_to: The dtype that computed weights are rounded to at once, which saves memory;
            None leaves them in float32.
    """
    with path.open("rb") as file:
        start = file.read(9)
    if is_pickle(start):
        return read_pickle(path, names)
    if start.startswith(MAGIC):
        return _read_gguf(path, names, rounded_to)
    return _read_safetensors(path, names, rounded_to)


def _read_safetensors(path: Path, names: Sequence[str], rounded_to: Any) -> dict[str, Any]:
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


def _read_gguf(path: Path, names: Sequence[str], rounded_to: Any) -> dict[str, Any]:
    import torch

    gguf = import_module("gguf")
    shapes, wanted = refuse_damaged(path).tensors, set(names)
    tensors: dict[str, Any] = {}
    for entry in gguf.GGUFReader(path).tensors:
        if entry.name in wanted:
            values = gguf.quants.dequantize(entry.data, entry.tensor_type)
            tensor = torch.from_numpy(values if values.flags.writeable else values.copy())
            if entry.tensor_type not in _PLAIN:
                tensor = tensor.to(rounded_to)
            tensors[entry.name] = tensor.reshape(shapes[entry.name]["shape"])
    return {name: tensors[name] for name in names}


_PLAIN = (0, 1, 30)
"""The types of GGUF that are float32, float16 and bfloat16."""
