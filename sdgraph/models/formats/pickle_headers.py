"""Reads the names, shapes and dtypes of the tensors in a file of torch, without torch.

Such a file is a pickle, which could run any code. Here nothing of it is run:

1. A file is a zip archive with `NAME/data.pkl` and one entry for each storage; before torch 1.6, a
   sequence of pickles.
2. The pickle is read with an unpickler that knows a few names only. Those of torch's tensors stand
   for shapes; every other name is refused, as torch's own safe reader does.
3. The bytes of all storages must be in the file.
4. The tensors are those of the mapping in the file, or of its `state_dict`.
"""

from __future__ import annotations

import os
import pickle
import struct
import zipfile
import zlib
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import IO, Any, ClassVar

from .pickles import NESTED_KEYS

_MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
"""With it files begin that torch wrote before version 1.6."""

_MAX_PICKLE_BYTES = 64 * 2**20

_DTYPES = {
    "BoolStorage": ("BOOL", 1),
    "ByteStorage": ("U8", 1),
    "CharStorage": ("I8", 1),
    "ShortStorage": ("I16", 2),
    "IntStorage": ("I32", 4),
    "LongStorage": ("I64", 8),
    "HalfStorage": ("F16", 2),
    "BFloat16Storage": ("BF16", 2),
    "FloatStorage": ("F32", 4),
    "DoubleStorage": ("F64", 8),
    "UntypedStorage": ("U8", 1),
    "float8_e4m3fn": ("F8_E4M3", 1),
    "float8_e5m2": ("F8_E5M2", 1),
}
"""The classes of storages, with the names of safetensors for their dtypes, and their bytes."""


class PickleHeaderError(ValueError):
    """A file is no pickle of tensors, is damaged, or holds what only code could read."""


@dataclass(frozen=True)
class _Tensor:
    """What stands for a tensor: its dtype, its shape and its bytes."""

    dtype: str
    shape: tuple[int, ...]
    size: int


@dataclass(frozen=True)
class _Storage:
    dtype: str
    width: int
    numbers: int


@dataclass(frozen=True)
class _Named:
    """What stands for a class of storages, or for a dtype."""

    name: str


class _Unknown:
    """What stands for an object that is read and not used."""

    def __init__(self, *arguments: object) -> None:
        pass


def read_pickle_header(path: Path) -> dict[str, dict[str, Any]]:
    """The tensors in a file of torch, as the header of a safetensors file lists them.

    Args:
        path: The file.

    Returns:
        The "dtype", "shape" and "data_offsets" of each tensor by name; the offsets only tell how
        many bytes it has.

    Raises:
        PickleHeaderError: It is damaged, or not a mapping of names to tensors.
        OSError: It cannot be read.
    """
    with path.open("rb") as file:
        content = _read_zip(file) if file.read(2) == b"PK" else _read_sequence(file)
    header, end = {}, 0
    for name, tensor in _tensors_in(content).items():
        header[name] = {
            "dtype": tensor.dtype,
            "shape": list(tensor.shape),
            "data_offsets": [end, end + tensor.size],
        }
        end += tensor.size
    return header


def _tensors_in(content: object) -> dict[str, _Tensor]:
    """The tensors of a mapping, or of the state_dict in it; those of other parts are left out."""
    for key in NESTED_KEYS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
            break
    if not isinstance(content, Mapping):
        raise PickleHeaderError("it holds no mapping of names to tensors")
    tensors = {
        name: tensor
        for name, tensor in content.items()
        if isinstance(name, str) and isinstance(tensor, _Tensor)
    }
    if not tensors:
        raise PickleHeaderError("it holds no tensors by name")
    return tensors


def _read_zip(file: IO[bytes]) -> object:
    try:
        archive = zipfile.ZipFile(file)
    except zipfile.BadZipFile:
        raise PickleHeaderError("an archive without an end: it is cut short") from None
    except _DAMAGED as error:
        raise _damaged(error) from None
    names = [name for name in archive.namelist() if name.endswith("/data.pkl")]
    if len(names) != 1:
        raise PickleHeaderError("an archive without a data.pkl, which torch writes")
    size = archive.getinfo(names[0]).file_size
    if size > _MAX_PICKLE_BYTES:
        raise PickleHeaderError(f"its data.pkl claims {size} bytes")
    try:
        with archive.open(names[0]) as data:
            unpickler = _Unpickler(data)
            content = unpickler.load()
    except _DAMAGED as error:
        raise _damaged(error) from None
    sizes = {entry.filename: entry.file_size for entry in archive.infolist()}
    folder = names[0].removesuffix("data.pkl")
    for key, wanted in unpickler.storages.items():
        if sizes.get(f"{folder}data/{key}", -1) < wanted:
            found = f"an archive that is cut short: the {wanted} bytes of data/{key} are missing"
            raise PickleHeaderError(found)
    return content


def _read_sequence(file: IO[bytes]) -> object:
    """The content of a file of torch before version 1.6, or of a plain pickle."""
    file.seek(0)
    try:
        first = _Unpickler(file).load()
        if first != _MAGIC_NUMBER:
            return first
        for _ in ("the version of the protocol", "the sizes of numbers"):
            _Unpickler(file).load()
        unpickler = _Unpickler(file)
        content = unpickler.load()
    except _DAMAGED as error:
        raise _damaged(error) from None
    least = file.tell() + sum(unpickler.storages.values())
    size = file.seek(0, os.SEEK_END)
    if size < least:
        raise PickleHeaderError(f"{size} bytes: it is cut short, of at least {least} bytes")
    return content


_DAMAGED = (
    pickle.UnpicklingError,
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    RuntimeError,
    EOFError,
    ValueError,
    TypeError,
    AttributeError,
    LookupError,
    OverflowError,
    MemoryError,
)
"""What reading a damaged pickle or archive raises."""


def _damaged(error: BaseException) -> PickleHeaderError:
    if isinstance(error, PickleHeaderError):
        return error
    return PickleHeaderError(f"it cannot be read: {error or type(error).__name__}")


def _rebuild_tensor(storage: object, offset: object, shape: Any, *rest: object) -> _Tensor:
    if not isinstance(storage, _Storage) or not all(type(side) is int for side in shape):
        raise PickleHeaderError("a tensor without a storage or a shape")
    return _Tensor(storage.dtype, tuple(shape), prod(shape) * storage.width)


def _rebuild_tensor_v3(
    storage: object,
    offset: object,
    shape: Any,
    stride: Any,
    grad: Any,
    hooks: Any,
    dtype: object,
    *rest: object,
) -> _Tensor:
    if not isinstance(dtype, _Named) or dtype.name not in _DTYPES:
        raise PickleHeaderError("a tensor of an unknown dtype")
    name, width = _DTYPES[dtype.name]
    tensor = _rebuild_tensor(storage, offset, shape)
    return replace(tensor, dtype=name, size=prod(shape) * width)


def _first_argument(value: object, *rest: object) -> object:
    return value


_KNOWN: dict[tuple[str, str], Callable[..., object]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v2"): _rebuild_tensor,
    ("torch._utils", "_rebuild_tensor_v3"): _rebuild_tensor_v3,
    ("torch._utils", "_rebuild_parameter"): _first_argument,
    ("torch.nn.parameter", "Parameter"): _first_argument,
    ("torch", "Size"): tuple,
    ("torch", "device"): _Unknown,
    ("torch.serialization", "_get_layout"): _Unknown,
    ("_codecs", "encode"): _Unknown,
    ("builtins", "set"): set,
    ("__builtin__", "set"): set,
    # A real one could be asked for with any number of bytes.
    ("builtins", "bytearray"): _Unknown,
}
"""What names in a pickle stand for; torch's reader with `weights_only` knows them, too."""


def _skip_attributes(unpickler: Any) -> None:
    """Reads the attributes of an object and sets none: it may be a class, which all files share."""
    unpickler.stack.pop()


class _Unpickler(pickle._Unpickler):
    """An unpickler that calls nothing but the functions in `_KNOWN`.

    It is the one in Python, not in C: that one can be made to allocate any amount of memory.
    """

    def __init__(self, file: IO[bytes]) -> None:
        super().__init__(file, encoding="latin1")
        self.storages: dict[str, int] = {}
        """The bytes of each storage, by its key."""

    dispatch: ClassVar = {**pickle._Unpickler.dispatch, pickle.BUILD[0]: _skip_attributes}

    def find_class(self, module: str, name: str) -> Callable[..., object] | _Named:
        """What a name stands for; raises PickleHeaderError for one that is not known."""
        known = _KNOWN.get((module, name))
        if known is not None:
            return known
        if module in ("torch", "torch.storage") and (
            name.endswith("Storage") or name in _DTYPES or name.startswith(("float", "int", "uint"))
        ):
            return _Named(name)
        found = f"it holds {module}.{name} besides tensors, which only code could read"
        raise PickleHeaderError(found)

    def persistent_load(self, pid: Any) -> _Storage:
        """What stands for a storage, whose bytes are elsewhere in the file."""
        if not isinstance(pid, tuple) or len(pid) < 5 or pid[0] != "storage":
            raise PickleHeaderError("a reference to something else than a storage")
        name = pid[1].name if isinstance(pid[1], _Named) else ""
        if name not in _DTYPES or type(pid[4]) is not int:
            raise PickleHeaderError(f"a storage of an unknown kind ({name or pid[1]})")
        dtype, width = _DTYPES[name]
        self.storages[str(pid[2])] = pid[4] * width
        return _Storage(dtype, width, pid[4])
