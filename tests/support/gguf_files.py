"""Writes small GGUF files: plain tensors, and those in blocks of 8 bits (Q8_0)."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from math import prod
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file

_TYPES = {"F32": 0, "F16": 1, "Q8_0": 8}
_ALIGNMENT = 32


def write(
    path: Path,
    tensors: Mapping[str, tuple[str, tuple[int, ...]]],
    content: Mapping[str, bytes] | None = None,
    settings: Mapping[str, list[int] | list[float]] | None = None,
) -> Path:
    """Writes a file; returns its path.

    Args:
        path: The file.
        tensors: The type and the shape of each tensor.
        content: Their bytes; zeros for those that are not given.
        settings: Lists of numbers, which are all whole or all not.
    """
    data = b"".join(
        _text(name)
        + struct.pack("<IIQ", 9, 5 if type(numbers[0]) is int else 6, len(numbers))
        + struct.pack(f"<{len(numbers)}{'i' if type(numbers[0]) is int else 'f'}", *numbers)
        for name, numbers in (settings or {}).items()
    )
    body = b""
    for name, (kind, shape) in tensors.items():
        sides = list(reversed(shape))
        data += _text(name) + struct.pack(
            f"<I{len(sides)}QIQ", len(sides), *sides, _TYPES[kind], len(body)
        )
        body += _padded((content or {}).get(name, bytes(_size(kind, shape))))
    start = struct.pack("<4sIQQ", b"GGUF", 3, len(tensors), len(settings or {}))
    path.write_bytes(_padded(start + data) + body)
    return path


def quantize(values: np.ndarray) -> tuple[bytes, np.ndarray]:
    """Numbers as blocks of Q8_0, and the numbers that they stand for.

    Args:
        values: An array in float32, whose last side is a multiple of 32.
    """
    blocks = values.reshape(-1, 32)
    scales = (np.abs(blocks).max(axis=1, keepdims=True) / 127).astype(np.float16)
    divisors = np.where(scales == 0, 1, scales).astype(np.float32)
    numbers = np.rint(blocks / divisors).clip(-127, 127).astype(np.int8)
    data = np.concatenate([scales.view(np.uint8), numbers.view(np.uint8)], axis=1)
    meant = scales.astype(np.float32) * numbers.astype(np.float32)
    return data.tobytes(), meant.reshape(values.shape)


def _size(kind: str, shape: tuple[int, ...]) -> int:
    return prod(shape) // 32 * 34 if kind == "Q8_0" else prod(shape) * (4 if kind == "F32" else 2)


def _padded(data: bytes) -> bytes:
    return data + bytes(-len(data) % _ALIGNMENT)


def _text(text: str) -> bytes:
    return struct.pack("<Q", len(text.encode())) + text.encode()


def write_module(path: Path, files: Iterable[Path]) -> Path:
    """Writes the tensors of safetensors files, with the matrices that can be in Q8_0 in that.

    Args:
        path: The file.
        files: The files.
    """
    kinds: dict[str, tuple[str, tuple[int, ...]]] = {}
    content: dict[str, bytes] = {}
    for file in files:
        for name, values in load_file(file).items():
            kind, data = "F32", values.astype(np.float32).tobytes()
            if values.ndim == 2 and values.shape[1] % 32 == 0 and name.endswith(".weight"):
                kind, data = "Q8_0", quantize(values.astype(np.float32))[0]
            kinds[name], content[name] = (kind, values.shape), data
    return write(path, kinds, content)
