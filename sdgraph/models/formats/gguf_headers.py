"""Reads the names, shapes and types of the tensors in a GGUF file (no torch, no gguf package).

The format (github.com/ggml-org/ggml, docs/gguf.md), all numbers little endian:

1. "GGUF", the version (2 or 3), the number of tensors and of settings.
2. The settings: a name, a type and a value each. Tensors that were reshaped to be quantized have
   their own shape in `comfy.gguf.orig_shape.NAME`.
3. For each tensor its name, its sides (the last one first), its type and its place.
4. From the next multiple of `general.alignment` on, the bytes of the tensors.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import IO, Any, TypeGuard

MAGIC = b"GGUF"

BLOCKS: Mapping[int, tuple[int, int]] = {
    0: (1, 4),  # F32
    1: (1, 2),  # F16
    2: (32, 18),  # Q4_0
    3: (32, 20),  # Q4_1
    6: (32, 22),  # Q5_0
    7: (32, 24),  # Q5_1
    8: (32, 34),  # Q8_0
    10: (256, 84),  # Q2_K
    11: (256, 110),  # Q3_K
    12: (256, 144),  # Q4_K
    13: (256, 176),  # Q5_K
    14: (256, 210),  # Q6_K
    16: (256, 66),  # IQ2_XXS
    17: (256, 74),  # IQ2_XS
    18: (256, 98),  # IQ3_XXS
    19: (256, 50),  # IQ1_S
    20: (32, 18),  # IQ4_NL
    21: (256, 110),  # IQ3_S
    22: (256, 82),  # IQ2_S
    23: (256, 136),  # IQ4_XS
    29: (256, 56),  # IQ1_M
    30: (1, 2),  # BF16
}
"""The types that the gguf package can compute the weights of: numbers and bytes of a block."""

_PLAIN = {0: "F32", 1: "F16", 30: "BF16"}
"""The types that are not quantized, with the names of safetensors for them."""

KEPT_TYPES = frozenset({2, 3, 6, 7, 8, 10, 11, 12, 13, 14, 20, 23})
"""The quantized types that diffusers computes the same weights of as gguf, bit for bit."""

_LINEAR = re.compile(r"(?!.*\btime_embed(der|ding)\b|.*_embed(ding)?s?\.weight$).*\.weight")

_SCALARS = {
    0: "B",
    1: "b",
    2: "H",
    3: "h",
    4: "I",
    5: "i",
    6: "f",
    7: "?",
    10: "Q",
    11: "q",
    12: "d",
}
_TEXT, _LIST = 8, 9
_MOST = 1_000_000
"""No file has more tensors or settings, and no setting more items."""

_OTHER_FILE = "take another quantization of it, or its safetensors"

_ORIGINAL_SHAPE = "comfy.gguf.orig_shape."


class GgufHeaderError(ValueError):
    """A file is no GGUF file, is damaged, or has tensors of an unknown type.

    Args:
        found: What is wrong.
        fix: What to do about it; "" for a file that is damaged.
    """

    def __init__(self, found: str, fix: str = "") -> None:
        super().__init__(found)
        self.fix = fix


def read_gguf_header(path: Path) -> dict[str, dict[str, Any]]:
    """The tensors in a GGUF file, as the header of a safetensors file lists them.

    Args:
        path: The file.

    Returns:
        The "dtype", "shape" and "data_offsets" of each tensor by name. A quantized one has the
        dtype "F32", in which its weights are computed, and the bytes that it has in the file.

    Raises:
        GgufHeaderError: It is damaged, or of a type that cannot be computed.
        OSError: It cannot be read.
    """
    size = path.stat().st_size
    try:
        with path.open("rb") as file:
            tensors, begin = _read_tensors(file)
    except (struct.error, UnicodeDecodeError, OverflowError, MemoryError) as error:
        raise GgufHeaderError(f"its header cannot be read: {error}") from None
    end = begin + max((entry["data_offsets"][1] for entry in tensors.values()), default=0)
    if size < end:
        raise GgufHeaderError(f"{size} bytes: it is cut short, of at least {end} bytes")
    return tensors


def is_gguf(path: Path) -> bool:
    """Whether a file begins as a GGUF file does; raises OSError if it cannot be read."""
    with path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


def stays_in_blocks(name: str, tensor: Mapping[str, Any]) -> bool:
    """Whether a tensor may stay quantized in memory: the weight of a linear layer, by its header.

    Those that embed the time do not: models ask for their dtype, and keep some in float32. Tables
    of embeddings are no linear layers.

    Args:
        name: Its name.
        tensor: Its entry in the header, as `read_gguf_header` gives it.

    Example:
        >>> entry = {"shape": [8, 64], "gguf_type": 8}
        >>> stays_in_blocks("proj.weight", entry), stays_in_blocks("proj.bias", entry)
        (True, False)
    """
    kind, shape = tensor.get("gguf_type"), tensor["shape"]
    if kind not in KEPT_TYPES or len(shape) != 2 or not _LINEAR.fullmatch(name):
        return False
    return bool(shape[1] % BLOCKS[kind][0] == 0)


def _read_tensors(file: IO[bytes]) -> tuple[dict[str, dict[str, Any]], int]:
    """The tensors by name, and where the bytes of the first one begin."""
    if file.read(4) != MAGIC:
        raise GgufHeaderError("it does not begin as a GGUF file does")
    version, count, settings_count = _read(file, "<IQQ")
    if version not in (2, 3):
        raise GgufHeaderError(f"it is of version {version} of GGUF; 2 and 3 are read", _OTHER_FILE)
    if max(count, settings_count) > _MOST:
        raise GgufHeaderError(f"it claims {count} tensors and {settings_count} settings")
    settings = {_text(file): _value(file, *_read(file, "<I")) for _ in range(settings_count)}
    tensors = dict(_tensor(file, settings) for _ in range(count))
    alignment = settings.get("general.alignment", 32)
    if type(alignment) is not int or alignment <= 0:
        raise GgufHeaderError(f"its alignment is {alignment!r}")
    return tensors, -(-file.tell() // alignment) * alignment


def _tensor(file: IO[bytes], settings: Mapping[str, Any]) -> tuple[str, dict[str, Any]]:
    name = _text(file)
    (sides,) = _read(file, "<I")
    if sides > 8:
        raise GgufHeaderError(f"{name} has {sides} sides")
    shape = list(reversed(_read(file, f"<{sides}Q")))
    kind, offset = _read(file, "<IQ")
    if kind not in BLOCKS:
        found = f"{name} is quantized in an unknown way (type {kind})"
        raise GgufHeaderError(found, _OTHER_FILE)
    numbers, width = BLOCKS[kind]
    count = prod(shape)
    if count % numbers:
        raise GgufHeaderError(f"{name} of shape {shape} is no number of blocks of {numbers}")
    original = settings.get(f"{_ORIGINAL_SHAPE}{name}")
    if _is_shape(original) and prod(original) == count:
        shape = original
    bytes_taken = count // numbers * width
    offsets = [offset, offset + bytes_taken]
    dtype = _PLAIN.get(kind, "F32")
    return name, {"dtype": dtype, "shape": shape, "data_offsets": offsets, "gguf_type": kind}


def _is_shape(value: Any) -> TypeGuard[list[int]]:
    return isinstance(value, list) and all(type(side) is int and side >= 0 for side in value)


def _value(file: IO[bytes], kind: int) -> Any:
    if kind == _TEXT:
        return _text(file)
    if kind == _LIST:
        item_kind, count = _read(file, "<IQ")
        if count > _MOST or item_kind == _LIST:
            raise GgufHeaderError("a setting with too many items")
        return [_value(file, item_kind) for _ in range(count)]
    if kind not in _SCALARS:
        raise GgufHeaderError(f"a setting of an unknown type ({kind})")
    return _read(file, f"<{_SCALARS[kind]}")[0]


def _text(file: IO[bytes]) -> str:
    (length,) = _read(file, "<Q")
    if length > 2**24:
        raise GgufHeaderError(f"a text of {length} bytes")
    return file.read(length).decode()


def _read(file: IO[bytes], layout: str) -> tuple[Any, ...]:
    return struct.unpack(layout, file.read(struct.calcsize(layout)))
