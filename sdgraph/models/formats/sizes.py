"""The bytes that components take in memory: estimated from files, or counted after loading."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from math import prod
from pathlib import Path
from typing import Any

from sdgraph.files import FileStamp
from sdgraph.values import DTYPE_BYTES, Part

from .gguf_headers import stays_in_blocks
from .safetensors_files import file_header
from .scaled_weights import FP8_DTYPES, without_scales
from .single_file_kinds import component_tensors

_FLOATS = ("F16", "BF16", "F32", "F64", *FP8_DTYPES)
"""The dtypes of files that are cast to the computing dtype when they are loaded."""
_BYTES = "U8"
_UNCAST = ("norm", "pos_embed", "patch_embed", r"^proj_(in|out)\.", r"(^|\.)(?!weight$|bias$)\w+$")
"""What diffusers' layerwise casting leaves in the computing dtype: some layers, by parts of their
names, and parameters that belong to no layer."""
_NOT_LINEAR = r"(embed_tokens|_embedding|shared|relative_attention_bias)\.weight$|^lm_head\."
"""Matrices that are no weights of linear layers, or that stay as they are: not quantized."""


def footprint(
    part: Part,
    files: Sequence[Path],
    dtype: str,
    prefix: str | None = None,
    *,
    in_blocks: bool = False,
    precise: tuple[str, ...] = (),
) -> int:
    """The bytes that a component takes when it is loaded; an estimate for a quantized one.

    Args:
        part: The component.
        files: Its weight files; empty if they are not on this disk.
        dtype: The dtype that it computes in, unless its checkpoint names another.
        prefix: What the names of its tensors begin with, if its file has other components, too.
        in_blocks: Whether quantized weights of linear layers in a GGUF file stay so.
        precise: Regular expressions of the names of layers that stay in float32.
    """
    casting, quantization = part.casting, part.quantization
    computed = part.checkpoint.dtype or dtype
    width = DTYPE_BYTES.get(quantization or casting or computed, 1)
    uncast: tuple[str, ...] = ()
    if quantization:
        uncast = (_NOT_LINEAR,)
    elif casting:
        uncast = (*_UNCAST, *part.uncast_layers)
    widths = dict.fromkeys(uncast, DTYPE_BYTES.get(computed, 1))
    if not quantization:
        widths = {**dict.fromkeys(precise, 4), **widths}
    matrices_only = quantization is not None
    more = (prefix, matrices_only, in_blocks)
    return sum([_cast_bytes(path, width, widths, *more) for path in files])


def tensor_bytes(path: Path, prefix: str) -> int:
    """The bytes that the tensors of one component take in a file.

    Args:
        path: The file.
        prefix: What the names of the component's tensors begin with.
    """
    return _tensor_bytes_in(path, prefix, FileStamp.of(path))


@lru_cache(maxsize=1024)
def _tensor_bytes_in(path: Path, prefix: str, stamp: FileStamp) -> int:
    tensors = file_header(path, stamp).tensors
    places = (tensors[name]["data_offsets"] for name in component_tensors(tensors, prefix))
    return int(sum(ends - begins for begins, ends in places))


def _cast_bytes(
    path: Path,
    width: float,
    widths: Mapping[str, float],
    prefix: str | None,
    matrices_only: bool,
    in_blocks: bool,
) -> int:
    """The bytes of a file's tensors when each number of a floating dtype takes `width` bytes.

    `widths` are the bytes of a number in the kinds of layers that are left out; with
    `matrices_only` the tensors that are no matrices, such as biases and convolutions, are of the
    first kind.
    """
    stamp = FileStamp.of(path)
    counts = _count_numbers(path, tuple(widths), prefix, stamp, matrices_only, in_blocks)
    if counts is None:
        return path.stat().st_size
    sizes = (
        count * (widths.get(layer, width) if name in _FLOATS else own)
        for (name, own, layer), count in counts.items()
    )
    return int(sum(sizes))


@lru_cache(maxsize=1024)
def _count_numbers(
    path: Path,
    layers: tuple[str, ...],
    prefix: str | None,
    stamp: FileStamp,
    matrices_only: bool = False,
    in_blocks: bool = False,
) -> Mapping[tuple[str, int, str], int] | None:
    """How many numbers of each dtype and kind of layer a file contains; None if it is unreadable.

    The dtype is its name and its bytes per number. The kind of layer is the first of `layers`
    (regular expressions) that is found in the tensor's name, or ""; with `matrices_only` the first
    one for all tensors that are no matrices. With `in_blocks` weights of linear layers that are
    quantized in a GGUF file count as bytes.
    """
    counts: Counter[tuple[str, int, str]] = Counter()
    try:
        tensors = file_header(path, stamp).tensors
        names = without_scales(tensors) if prefix is None else component_tensors(tensors, prefix)
        for name in names:
            tensor = tensors[name]
            begins, ends = tensor["data_offsets"]
            if in_blocks and stays_in_blocks(name, tensor):
                counts[_BYTES, 1, ""] += ends - begins
            elif ends > begins:
                count = prod(tensor["shape"])
                other = matrices_only and len(tensor["shape"]) != 2
                kind = layers[0] if other else _kind(name, layers)
                counts[tensor["dtype"], (ends - begins) // count, kind] += count
    except (OSError, ValueError, TypeError, KeyError, AttributeError, ArithmeticError):
        # A damaged file is refused when the graph is checked; here its size is good enough.
        return None
    return dict(counts) or None


def _kind(name: str, layers: tuple[str, ...]) -> str:
    return next((layer for layer in layers if re.search(layer, name)), "")


def bytes_of(module: Any) -> int:
    """The bytes of a module's parameters and persistent buffers; 0 if it has none.

    Other buffers, which a module makes itself, contain only a few numbers.
    """
    if not hasattr(module, "parameters"):
        return 0
    return sum(map(_tensor_bytes, (*module.parameters(), *_persistent_buffers(module))))


def _persistent_buffers(module: Any) -> Iterator[Any]:
    for layer in module.modules() if hasattr(module, "modules") else ():
        for name, buffer in layer.named_buffers(recurse=False):
            if name not in layer._non_persistent_buffers_set:
                yield buffer


def _tensor_bytes(tensor: Any) -> int:
    """The bytes of a tensor; for a quantized one, those of the tensors inside it."""
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(_tensor_bytes(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    return int(tensor.numel() * tensor.element_size())
