"""The bytes that components take in memory: told from their files, and once they are loaded.

A safetensors file begins with the length of a JSON header (8 bytes, little endian), which says of
each tensor its dtype and its shape.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from sdgraph.values import Lora, Part

from . import checkpoint_files

_BYTES = {"float32": 4, "float16": 2, "bfloat16": 2, "nf4": 0.5, "fp4": 0.5}
"""What a number takes in memory; 1 in all that is not named: int8, float8 and their like."""
_FLOATS = ("F16", "BF16", "F32", "F64")
"""The dtypes that loading casts to the one that is computed in."""
_UNCAST = ("norm", "pos_embed", "patch_embed")
"""Layers that diffusers' layerwise casting leaves in the dtype computed in, by their names."""


def footprint(part: Part, dtype: str) -> int:
    """The bytes a component takes once it is loaded in a dtype; 0 while its files are not here.

    An estimate for what is quantized.
    """
    if isinstance(part.checkpoint, Lora):
        return 0
    computed = part.checkpoint.dtype or dtype
    width = _BYTES.get(part.quantization or part.casting or computed, 1)
    uncast: tuple[str, ...] = ()
    if part.casting and not part.quantization:
        uncast = (*_UNCAST, *part.uncast_layers)
    widths = dict.fromkeys(uncast, _BYTES.get(computed, 1))
    return sum(_cast(path, width, widths) for path in checkpoint_files.files(part))


def _cast(path: Path, width: float, widths: Mapping[str, float]) -> int:
    """The bytes of a file's tensors when each number of a floating dtype takes `width` bytes.

    Those of some layers take others, by what their names hold.
    """
    counts = tensors(path, tuple(widths))
    if counts is None:
        return path.stat().st_size
    sizes = (
        count * (widths.get(layer, width) if name in _FLOATS else own)
        for (name, own, layer), count in counts.items()
    )
    return int(sum(sizes))


def tensors(path: Path, layers: tuple[str, ...] = ()) -> Mapping[tuple[str, int, str], int] | None:
    """How many numbers a file holds of each dtype and kind of layer; None if unreadable.

    The dtype by its name and bytes; the kind is the first of `layers`, regular expressions, that
    is found in the tensor's name, or "".
    """
    status = path.stat()
    return _tensors(str(path), layers, status.st_size, (status.st_mtime_ns, status.st_ino))


@lru_cache(maxsize=1024)
def _tensors(
    path: str, layers: tuple[str, ...], size: int, when: tuple[int, ...]
) -> Mapping[tuple[str, int, str], int] | None:
    counts: Counter[tuple[str, int, str]] = Counter()
    try:
        with Path(path).open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length < size else {}
        for name, told in header.items():
            begins, ends = told["data_offsets"] if name != "__metadata__" else (0, 0)
            if ends > begins:
                count = prod(told["shape"])
                counts[told["dtype"], (ends - begins) // count, _kind(name, layers)] += count
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        # What is damaged is refused where the graph is checked; here its size will do.
        return None
    return dict(counts) or None


def _kind(name: str, layers: tuple[str, ...]) -> str:
    return next((layer for layer in layers if re.search(layer, name)), "")


def bytes_of(module: Any) -> int:
    """The bytes of what a module keeps in its files: parameters and buffers; 0 for what has none.

    Buffers that are made with the module and in no file are a few numbers.
    """
    if not hasattr(module, "parameters"):
        return 0
    return sum(map(_held, (*module.parameters(), *_kept_buffers(module))))


def _kept_buffers(module: Any) -> Iterator[Any]:
    for each in module.modules() if hasattr(module, "modules") else ():
        for name, buffer in each.named_buffers(recurse=False):
            if name not in each._non_persistent_buffers_set:
                yield buffer


def _held(tensor: Any) -> int:
    """The bytes of a tensor, of a quantized one those of the tensors inside it."""
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(_held(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    return int(tensor.numel() * tensor.element_size())
