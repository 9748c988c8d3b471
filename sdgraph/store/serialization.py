"""Records: files in the safetensors format with a value of any kind and a header about it.

A record is made and read in these steps:

1. A value becomes plain data (JSON): `{kind: {field: plain field}}`, down to numbers and texts.
2. Its arrays become tensors, which the plain data names by number; they are deflated if a sample
   shows that this is worth its time (`admission.is_worth_deflating`).
3. The plain data goes into the file's header, with the content hash and the node that made it. A
   plan reads only the header, and no arrays.
4. When a record is read, a kind is looked up by its name among those that are imported already.
   Nothing in a file can import a module or run code.
5. The content hash of the value that was read must be the one in the header, so that any wrong byte
   is detected.
"""

from __future__ import annotations

import json
import os
import time
import zlib
from collections.abc import Callable, Mapping
from json.encoder import encode_basestring_ascii as _dump_text
from math import inf, isfinite
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from sdgraph.files import open_regular_file
from sdgraph.formatting import with_article
from sdgraph.models.formats.safetensors_files import NUMPY_DTYPES, open_to_read
from sdgraph.models.formats.safetensors_files import read_header as read_safetensors_header
from sdgraph.values import Value, content_of, find_kind

from .admission import is_worth_deflating

if TYPE_CHECKING:
    import numpy.typing as npt

    Arrays = dict[str, npt.NDArray[Any]]

VERSION = 3
"""The version of the format; records of a newer version are neither read nor changed.

Version 1 had only the kinds of value that ship, by the order of their fields; 2 had no key.
"""

_MAX_INT = 2**63
_MAX_INLINE_BYTES = 4096
"""Longer bytes become a tensor, so that no plan reads them."""
_SAMPLE_BYTES = 2**16
_SAFETENSORS_DTYPES = {numpy: name for name, numpy in NUMPY_DTYPES.items()}
_dump_json = json.JSONEncoder(separators=(",", ":")).encode
_parse_json = json.JSONDecoder().raw_decode
"""Takes half the time of `json.loads`, which also looks for encodings and for extra data."""


class NotSerializableError(Exception):
    """A value of a kind that cannot be stored in a file."""


class DamagedRecordError(Exception):
    """A record with damaged content."""


class NewerRecordError(Exception):
    """A record of a newer version of the format."""


class UnknownKindError(Exception):
    """A record of a kind of value whose node pack is not in use."""


class Header(NamedTuple):
    """The header of a record: what it says about its value."""

    content: str
    """The content hash that the value must have."""
    node: str
    """The type of the node that made it."""
    seconds: float
    """How long that took."""
    files: Mapping[str, str] = MappingProxyType({})
    """The files that the value names, each with its sha256; when one changes the value is void."""
    value: Any = None
    """The value as plain data; its arrays are named by their numbers."""
    key: str = ""
    """The key that it is stored under, as hexadecimal digits: its file must have no other name."""
    remake_seconds: float = 0.0
    """How long it takes to make again: those seconds, and those of results that are not kept."""


def to_text(value: object, header: Header) -> str | None:
    """The record of a value without arrays as text; None if the value has arrays.

    Raises:
        NotSerializableError: A value of this kind cannot be stored.
    """
    arrays: Arrays = {}
    plain = to_plain(value, arrays)
    if arrays:
        return None
    content, node, seconds, files, _, key, remake_seconds = header
    # The encoder takes longer to begin with a list than with each of the texts and numbers in it.
    texts = f"{_dump_text(key)},{_dump_text(content)},{_dump_text(node)}"
    numbers = f"{_float_text(seconds)},{_float_text(remake_seconds)}"
    rest = f"{_dump_json(dict(files)) if files else '{}'},{_plain_text(plain)}"
    return f"[{VERSION},{texts},{numbers},{rest}]"


def _float_text(number: float) -> str:
    return repr(number) if type(number) is float and isfinite(number) else _dump_json(number)


def _plain_text(plain: object) -> str:
    return str(plain) if type(plain) is int else _dump_json(plain)


def header_from_text(text: str) -> Header:
    """The header in a record that `to_text` made.

    Raises:
        DamagedRecordError: It cannot be read.
        NewerRecordError: It is of a newer version.
    """
    try:
        record, _ = _parse_json(text)
        version, key, content, node, seconds, remake_seconds, files, plain = record
        if version > VERSION:
            raise NewerRecordError(f"version {version}, and this is {VERSION}")
        if version < VERSION:
            raise ValueError(f"of the old version {version}")
        return Header(content, node, float(seconds), files, plain, key, float(remake_seconds))
    except (ValueError, TypeError, IndexError, RecursionError) as error:
        raise DamagedRecordError(f"it cannot be read ({error})") from error


def value_of_header(header: Header) -> Any:
    """The value of a record without arrays.

    Raises:
        DamagedRecordError: The value does not have the content that the header names.
        UnknownKindError: The value is of a kind that no imported module defines.
    """
    return _checked_value(header, dict)


def to_bytes(value: object, header: Header) -> bytes:
    """The record of a value, as `to_chunks` gives it in chunks."""
    return b"".join(to_chunks(value, header))


def to_chunks(
    value: object, header: Header, disk_seconds_per_byte: float = inf
) -> list[bytes | memoryview]:
    """The record of a value, in chunks to be written one after another.

    The chunks of arrays are their own memory: a large picture is not copied.

    Args:
        value: The value.
        header: What the record says about it.
        disk_seconds_per_byte: How long it takes to write a byte and to read it again; arrays are
            deflated if that is quicker.

    Raises:
        NotSerializableError: A value of this kind cannot be stored.
    """
    arrays: Arrays = {}
    record = {**header._asdict(), "files": dict(header.files), "value": to_plain(value, arrays)}
    tensors = {name: _deflate(array, disk_seconds_per_byte) for name, array in arrays.items()}
    shapes = {name: [array.dtype.name, *array.shape] for name, array in arrays.items()}
    text = json.dumps({**record, "arrays": shapes})
    return _safetensors_chunks(tensors, {"sdgraph_result": str(VERSION), "record": text})


def _safetensors_chunks(
    tensors: Mapping[str, npt.NDArray[Any]], metadata: Mapping[str, str]
) -> list[bytes | memoryview]:
    """A safetensors file: its header, then the memory of the arrays, those of wide numbers first.

    In this order every array begins at a multiple of its numbers' size.
    """
    header: dict[str, Any] = {"__metadata__": metadata}
    chunks: list[bytes | memoryview] = []
    end = 0
    for name, array in sorted(tensors.items(), key=lambda item: -item[1].itemsize):
        begin, end = end, end + array.nbytes
        dtype = _SAFETENSORS_DTYPES[array.dtype.name]
        header[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": (begin, end)}
        chunks.append(array.reshape(-1).view("uint8").data)
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return [len(text).to_bytes(8, "little") + text, *chunks]


def read_header(path: str | Path) -> Header:
    """The header of a record; its arrays are not read.

    Raises:
        OSError: The file cannot be read.
        DamagedRecordError: It was cut short, or its header is damaged or of an old version.
        NewerRecordError: It is of a newer version.
    """
    file = open_to_read(path)
    try:
        record, _, _ = _read_record(file)
    finally:
        os.close(file)
    return _header_of(record)


def header_or_none(path: str | Path) -> Header | None:
    """The header of a record; None if it cannot be read or is of a newer version."""
    try:
        return read_header(path)
    except (OSError, DamagedRecordError, NewerRecordError):
        return None


def read_value(path: str | Path, content: str) -> Any:
    """The value in a record.

    Raises:
        OSError: The file cannot be read.
        DamagedRecordError: The value does not have this content.
        NewerRecordError: The record is of a newer version.
        UnknownKindError: The value is of a kind that no imported module defines.
    """
    with open_regular_file(path) as file:
        record, tensors, begin = _read_record(file.fileno())
        file.seek(begin)
        data = file.read()
    header = _header_of(record)

    def arrays() -> Arrays:
        return {
            name: _array(data, tensors[name], dtype, tuple(shape))
            for name, (dtype, *shape) in record["arrays"].items()
        }

    return _checked_value(header._replace(content=content), arrays)


def _checked_value(header: Header, arrays: Callable[[], Arrays]) -> Any:
    """The value that a header describes, if it has the content that the header names."""
    try:
        value = from_plain(header.value, arrays())
        actual = content_of(value)
    except UnknownKindError:
        raise
    except Exception as error:  # damaged bytes make readers raise errors of every kind
        raise DamagedRecordError(
            f"its value cannot be read ({type(error).__name__}: {error})"
        ) from error
    if actual != header.content:
        raise DamagedRecordError("its value is not the one that was kept (its checksum differs)")
    return value


def _read_record(file: int) -> tuple[dict[str, Any], Mapping[str, Any], int]:
    """The record in the header of an open file, where its tensors are, and where they begin."""
    try:
        header = read_safetensors_header(file)
        version = int(header.metadata["sdgraph_result"])
        if version > VERSION:
            raise NewerRecordError(f"version {version}, and this is {VERSION}")
        if version < VERSION:
            raise ValueError(f"of the old version {version}")
        record, _ = _parse_json(header.metadata["record"])
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise DamagedRecordError(f"it cannot be read ({error})") from error
    return record, header.tensors, header.begin


def _header_of(record: dict[str, Any]) -> Header:
    try:
        seconds, files = float(record["seconds"]), dict(record["files"])
        content, node, value, key = (record[name] for name in ("content", "node", "value", "key"))
        remake_seconds = float(record.get("remake_seconds", seconds))
        return Header(content, node, seconds, files, value, key, remake_seconds)
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedRecordError(f"its header cannot be read ({error})") from error


def _deflate(array: npt.NDArray[Any], disk_seconds_per_byte: float) -> npt.NDArray[Any]:
    """The array, or its bytes deflated if a sample shows that this is worth its time."""
    import numpy as np

    flat = array.reshape(-1).view(np.uint8)
    middle = max(0, flat.size // 2 - _SAMPLE_BYTES // 2)
    sample = flat[middle : middle + _SAMPLE_BYTES]
    began = time.perf_counter()
    size = max(1, sample.size)
    ratio = len(zlib.compress(sample.data, 1)) / size
    seconds_per_byte = (time.perf_counter() - began) / size
    if not is_worth_deflating(ratio, seconds_per_byte, disk_seconds_per_byte):
        return array
    return np.frombuffer(zlib.compress(flat.data, 1), np.uint8)


def _array(
    data: bytes, tensor: dict[str, Any], dtype: str, shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    """The array of this dtype and shape that a tensor holds, as it is or deflated."""
    import numpy as np

    element = np.dtype(dtype)
    size = element.itemsize * int(np.prod(shape, dtype=object))
    begin, end = tensor["data_offsets"]
    raw = data[begin:end]
    if tuple(tensor["shape"]) != shape or NUMPY_DTYPES.get(tensor["dtype"]) != dtype:
        # No more than `size`, so that a damaged file cannot fill the memory.
        raw = zlib.decompressobj().decompress(raw, size)
    array: npt.NDArray[Any] = np.frombuffer(raw, element).reshape(shape)
    return array


def to_plain(value: Any, arrays: Arrays) -> Any:
    """The value as JSON; its arrays go into `arrays`, and the JSON names them by their numbers.

    Raises:
        NotSerializableError: A value of this kind cannot be stored.
    """
    kind = type(value)
    if kind is int and not -_MAX_INT <= value < _MAX_INT:
        return {"int": hex(value)}  # Python limits the number of decimal digits
    if value is None or kind in (str, bool, int, float):
        return value
    if isinstance(value, Value):
        return _kind_to_plain(value, arrays)
    if isinstance(value, Path) and kind is type(Path()):
        return {"path": str(value)}
    if kind is bytes:
        return _bytes_to_plain(value, arrays)
    if kind in (tuple, list):
        return {kind.__name__: [to_plain(item, arrays) for item in value]}
    if isinstance(value, Mapping):
        return {"map": [[to_plain(k, arrays), to_plain(v, arrays)] for k, v in value.items()]}
    if kind.__module__ == "numpy" and getattr(value, "dtype", "") in NUMPY_DTYPES.values():
        return {"array": _add_array(value, arrays)}
    raise NotSerializableError(f"no file can hold {with_article(kind.__name__)}")


def _kind_to_plain(value: Value, arrays: Arrays) -> Any:
    kind = type(value)
    if find_kind(kind.kind_name) is not kind:
        raise NotSerializableError(f"{kind.kind_name} is now the name of another class")
    try:
        fields = value.fields
    except NotImplementedError as error:
        raise NotSerializableError(str(error)) from error
    return {kind.kind_name: {name: to_plain(field, arrays) for name, field in fields.items()}}


def _bytes_to_plain(value: bytes, arrays: Arrays) -> Any:
    """A few bytes are written into the header; many become an array, which no plan reads."""
    import numpy as np

    if len(value) < _MAX_INLINE_BYTES:
        return {"bytes": value.hex()}
    return {"blob": _add_array(np.frombuffer(value, np.uint8), arrays)}


def _add_array(array: npt.NDArray[Any], arrays: Arrays) -> str:
    number = str(len(arrays))
    arrays[number] = array
    return number


def from_plain(plain: Any, arrays: Arrays) -> Any:
    """The value that `to_plain` turned into this JSON."""
    if not isinstance(plain, dict):
        return plain
    ((name, data),) = plain.items()
    match name:
        case "array":
            return arrays[data]
        case "blob":
            return arrays[data].tobytes()
        case "map":
            return {from_plain(k, arrays): from_plain(v, arrays) for k, v in data}
        case "tuple":
            return tuple(from_plain(item, arrays) for item in data)
        case "list":
            return [from_plain(item, arrays) for item in data]
        case "int":
            return int(data, 16)
        case "path":
            return Path(data)
        case "bytes":
            return bytes.fromhex(data)
    kind = find_kind(name)
    if kind is None:
        raise UnknownKindError(f"a {name}, a kind of value of a node pack that is not in use")
    return kind(**{field: from_plain(item, arrays) for field, item in data.items()})
