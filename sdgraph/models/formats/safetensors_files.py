"""Reads the headers of safetensors files.

A safetensors file consists of the length of the header (8 bytes, little endian), the header (JSON)
and the bytes of the tensors. The header contains for each tensor its dtype, its shape and its place
among those bytes. `read_header` reads it without torch and without the tensors, and refuses a file
that has another size than its header describes.
"""

from __future__ import annotations

import errno
import json
import os
from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import prod
from pathlib import Path
from stat import S_ISREG
from typing import Any, NamedTuple

from sdgraph.errors import CheckpointError, Problem
from sdgraph.files import FileStamp, special_kind

from .file_hashes import refuse_unreadable
from .gguf_headers import MAGIC, GgufHeaderError, read_gguf_header
from .pickles import is_pickle

TensorShapes = Mapping[str, tuple[int, ...]]
"""The names of a file's tensors, each with its shape."""

FIRST_READ_BYTES = 4096
"""How many bytes are read first: the whole header of most small files."""

NUMPY_DTYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
}
"""The dtypes of safetensors, each with numpy's name for it."""

_MAX_HEADER_BYTES = 100_000_000
_LFS_POINTER = b"version https://git-lfs"
_BINARY = getattr(os, "O_BINARY", 0)
_NONBLOCK = getattr(os, "O_NONBLOCK", 0)  # opening a named pipe does not wait for a writer
_DOWNLOAD_AGAIN = "download or copy it again"
_decode = json.JSONDecoder().raw_decode
"""Takes half the time of `json.loads`, which also looks for encodings and for extra data."""


class SafetensorsHeader(NamedTuple):
    """The content of the header of a safetensors file."""

    tensors: Mapping[str, Mapping[str, Any]]
    """For each tensor by name its "dtype", "shape" and "data_offsets"."""
    metadata: Mapping[str, str]
    begin: int
    """The place in the file from which the offsets of the tensors count."""


_BITS = {
    **dict.fromkeys(("F4",), 4),
    **dict.fromkeys(("F6_E2M3", "F6_E3M2"), 6),
    **dict.fromkeys(
        ("BOOL", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E5M2FNUZ", "F8_E4M3FNUZ", "F8_E8M0"), 8
    ),
    **dict.fromkeys(("U16", "I16", "F16", "BF16"), 16),
    **dict.fromkeys(("U32", "I32", "F32"), 32),
    **dict.fromkeys(("U64", "I64", "F64", "C64"), 64),
}
"""The bits of a number in each dtype of the format."""


class SafetensorsError(ValueError):
    """A file is not in the format; it says what was found, what was wanted, and a fix."""

    def __init__(
        self, found: str, wanted: str = "a safetensors file", fix: str = _DOWNLOAD_AGAIN
    ) -> None:
        self.found = found
        self.wanted = wanted
        self.fix = fix
        super().__init__(found)

    def problem(self, path: Path) -> Problem:
        """The problem of the file at `path`."""
        return Problem(str(path), self.found, self.wanted, self.fix)


def open_to_read(path: str | Path) -> int:
    """Opens a plain file for `read_header`, and returns the descriptor. Raises OSError."""
    file = os.open(path, os.O_RDONLY | _BINARY | _NONBLOCK)
    mode = os.fstat(file).st_mode
    if not S_ISREG(mode):
        os.close(file)
        raise OSError(errno.EINVAL, f"{special_kind(mode) or 'a folder'}, not a plain file")
    return file


def read_header(file: int) -> SafetensorsHeader:
    """The header of an open file.

    Args:
        file: A file descriptor at the start of the file.

    Raises:
        SafetensorsError: The file is cut short or too long, or its header is damaged.
        OSError: The file cannot be read.
    """
    start = os.read(file, FIRST_READ_BYTES)
    # If the first read returns fewer bytes, it has reached the end of the file.
    size = len(start) if len(start) < FIRST_READ_BYTES else os.fstat(file).st_size
    if start.startswith(_LFS_POINTER):
        found = "a pointer of Git LFS in place of the file"
        raise SafetensorsError(found, fix="fetch the file itself with `git lfs pull`")
    if start[:20].lstrip().lower().startswith((b"<!doctype", b"<html")):
        raise SafetensorsError("its header cannot be read: it is a web page")
    if size < 8:
        raise _wrong_size(size, 8, "at least ")
    length = int.from_bytes(start[:8], "little")
    if length > _MAX_HEADER_BYTES:
        raise SafetensorsError(f"its header cannot be read: it claims a length of {length} bytes")
    begin = 8 + length
    if size < begin:
        raise _wrong_size(size, begin, "at least ")
    while len(start) < begin and (more := os.read(file, begin - len(start))):
        start += more
    try:
        tensors, metadata, end = _parse_header(start[8:begin])
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        reason = str(error) or type(error).__name__
        raise SafetensorsError(f"its header cannot be read: {reason}") from error
    if size != begin + end:
        raise _wrong_size(size, begin + end)
    return SafetensorsHeader(tensors, metadata, begin)


def _wrong_size(found: int, wanted: int, bound: str = "") -> SafetensorsError:
    reason = "it is cut short" if found < wanted else "it is too long"
    return SafetensorsError(f"{found} bytes: {reason}", f"{bound}{wanted} bytes")


def _parse_header(data: bytes) -> tuple[dict[str, Any], dict[str, str], int]:
    """The tensors, the metadata, and the bytes that all tensors take together."""
    text = data.decode()
    header, stop = _decode(text)
    if text[stop:].strip():
        raise ValueError("something follows after it")
    metadata = header.pop("__metadata__", {})
    end = _end_of_tensors(header.values())
    for name, tensor in header.items():
        _refuse_wrong_bytes(name, tensor)
    return header, metadata, end


def _refuse_wrong_bytes(name: str, tensor: Mapping[str, Any]) -> None:
    """Raises ValueError for a tensor of no dtype, or with other bytes than its shape takes."""
    bits = _BITS.get(tensor["dtype"])
    if bits is None:
        raise ValueError(
            f"{name} has the dtype {tensor['dtype']!r}, which the format does not have"
        )
    begins, ends = tensor["data_offsets"]
    if prod(tensor["shape"]) * bits != 8 * (ends - begins):
        shape, dtype = tensor["shape"], tensor["dtype"]
        raise ValueError(f"{name} has {ends - begins} bytes for the shape {shape} in {dtype}")


def _end_of_tensors(tensors: Iterable[Mapping[str, Any]]) -> int:
    """The bytes of all tensors, which must follow one another without gaps."""
    end = 0
    for begins, ends in sorted([tuple(tensor["data_offsets"]) for tensor in tensors]):
        if begins != end or ends < begins:
            raise ValueError(f"a tensor is at {begins} to {ends}, after one that ends at {end}")
        end = ends
    if type(end) is not int:
        raise ValueError(f"a tensor ends at {end!r}")
    return end


def file_header(path: Path, stamp: FileStamp | None = None) -> SafetensorsHeader:
    """The header of the file at `path`, remembered while the file keeps its stamp.

    The same is read from a GGUF file, and from a pickle without running anything in it.

    Args:
        path: The file.
        stamp: Its stamp, if that is known already.

    Raises SafetensorsError and OSError as `read_header` does.
    """
    return _file_header(path, stamp or FileStamp.of(path))


@lru_cache(maxsize=64)
def _file_header(path: Path, stamp: FileStamp) -> SafetensorsHeader:
    file = open_to_read(path)
    try:
        start = os.read(file, 9)
        if is_pickle(start):
            return _pickle_header(path)
        if start.startswith(MAGIC):
            return SafetensorsHeader(read_gguf_header(path), {}, 0)
        os.lseek(file, 0, os.SEEK_SET)
        return read_header(file)
    except GgufHeaderError as error:
        wanted = "a GGUF file that can be computed" if error.fix else "a whole GGUF file"
        raise SafetensorsError(str(error), wanted, error.fix or _DOWNLOAD_AGAIN) from None
    finally:
        os.close(file)


def _pickle_header(path: Path) -> SafetensorsHeader:
    """The tensors of a pickle; what reads one is imported only here."""
    from .pickle_headers import PickleHeaderError, read_pickle_header

    try:
        return SafetensorsHeader(read_pickle_header(path), {}, 0)
    except PickleHeaderError as error:
        damaged = "cut short" in str(error) or "cannot be read" in str(error)
        fix = _DOWNLOAD_AGAIN if damaged else "take its safetensors"
        raise SafetensorsError(str(error), "a file with nothing but tensors", fix) from None


def refuse_damaged(path: Path, stamp: FileStamp | None = None) -> SafetensorsHeader:
    """The header of a file; raises CheckpointError if the file is damaged or cut short.

    The bytes of the tensors are not read or checked.

    Args:
        path: The file.
        stamp: Its stamp, if that is known already.
    """
    try:
        return file_header(path, stamp)
    except SafetensorsError as error:
        raise CheckpointError(error.problem(path)) from error
    except OSError as error:
        refuse_unreadable(path, "a safetensors file", error)


def tensor_shapes(path: Path, header: SafetensorsHeader | None = None) -> TensorShapes:
    """The shapes of the tensors in a safetensors file, by name.

    Raises CheckpointError for a file that is damaged or cut short.

    Args:
        path: The file.
        header: Its header, if that was read already.
    """
    header = header or refuse_damaged(path)
    try:
        return {name: tuple(map(int, tensor["shape"])) for name, tensor in header.tensors.items()}
    except (ValueError, TypeError, KeyError) as error:
        found = f"its header gives no shape of a tensor ({error})"
        raise CheckpointError(SafetensorsError(found).problem(path)) from None
