"""Results as files: a value of any kind that lasts, in safetensors, with what is known of it.

Arrays are tensors, everything else is JSON in the header; nothing in a file can run code. The
header alone says what the value is, so that a plan reads no arrays.
"""

from __future__ import annotations

import json
import os
import zlib
from collections.abc import Callable, Mapping
from io import FileIO
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

from sdgraph.values import ArrayValue, Checkpoint, Lora, Series, content_of, kinds

if TYPE_CHECKING:
    import numpy.typing as npt

    Arrays = dict[str, npt.NDArray[Any]]

VERSION = 1
"""The version of the format; a newer one is neither read nor touched."""

_LONGEST_HEADER = 100_000_000
_LONG = 2**63
_AT_ONCE = 4096
_SAMPLE = 2**16
_BINARY = getattr(os, "O_BINARY", 0)
_parsed = json.JSONDecoder().raw_decode
"""Half the time of `json.loads`, which looks for encodings and for what stands around a value."""
_DTYPES = {"U8": "uint8", "F32": "float32"}

_ARRAYS: dict[str, Callable[..., ArrayValue]] = {
    kind.__name__: kind
    for kind in (
        kinds.Image,
        kinds.ControlMap,
        kinds.EdgeMap,
        kinds.SoftEdgeMap,
        kinds.ScribbleMap,
        kinds.PoseMap,
        kinds.SegmentMap,
        kinds.NormalMap,
        kinds.DepthMap,
        kinds.Mask,
        kinds.Video,
    )
}
_SOURCES: dict[str, type[Checkpoint]] = {"Checkpoint": Checkpoint, "Lora": Lora}


class NotSerializableError(Exception):
    """A value of a kind that no file can hold."""


class DamagedRecordError(Exception):
    """A record that does not hold what it should."""


class NewerRecordError(Exception):
    """A record of a newer version of the format."""


class Header(NamedTuple):
    """What a record says of its value."""

    content: str
    """The content hash that the value must have."""
    node: str
    """The type of the node that made it."""
    seconds: float
    """How long that took."""
    files: Mapping[str, str] = MappingProxyType({})
    """The files that the value names, each with its sha256: changed, it is worth nothing."""
    value: Any = None
    """The value as JSON, its arrays by their numbers."""


def to_bytes(value: object, header: Header) -> bytes:
    """The record of a value; raises NotSerializableError for one that no file can hold."""
    from safetensors.numpy import save

    arrays: Arrays = {}
    told = {**header._asdict(), "files": dict(header.files), "value": _plain(value, arrays)}
    tensors = {name: _squeezed(array) for name, array in arrays.items()}
    shapes = {name: [array.dtype.name, *array.shape] for name, array in arrays.items()}
    text = json.dumps({**told, "arrays": shapes})
    made: bytes = save(tensors, {"sdgraph_result": str(VERSION), "record": text})
    return made


def read_header(path: str | Path) -> Header:
    """What a record says of its value, its arrays left unread.

    Raises OSError, DamagedRecordError, NewerRecordError.

    Finds a file that was cut short, and one with a damaged header.
    """
    file = os.open(path, os.O_RDONLY | _BINARY)
    try:
        told, _, _ = _opened(file)
    finally:
        os.close(file)
    return _header(told)


def read_value(path: str | Path, content: str) -> Any:
    """The value in a record.

    Raises OSError, NewerRecordError, and DamagedRecordError where it is not of that content.

    So any wrong byte is found.
    """
    with FileIO(path) as file:
        told, tensors, begin = _opened(file.fileno())
        file.seek(begin)
        data = file.readall()
    header = _header(told)
    try:
        arrays = {
            name: _array(data, tensors[name], dtype, tuple(shape))
            for name, (dtype, *shape) in told["arrays"].items()
        }
        value = _value(header.value, arrays)
        found = content_of(value)
    except Exception as error:  # damaged bytes make readers raise every kind
        raise DamagedRecordError(
            f"its value cannot be read ({type(error).__name__}: {error})"
        ) from error
    if found != content:
        raise DamagedRecordError("its value is not the one that was kept (its checksum differs)")
    return value


def _opened(file: int) -> tuple[dict[str, Any], dict[str, Any], int]:
    """What stands in the header of an open file, the tensors' places, and where they begin."""
    try:
        start = os.read(file, _AT_ONCE)
        length = int.from_bytes(start[:8], "little")
        if not 2 <= length <= _LONGEST_HEADER:
            raise ValueError(f"a header of {length} bytes")
        begin = 8 + length
        while len(start) < begin and (more := os.read(file, begin - len(start))):
            start += more
        text = start[8:begin].decode()
        tensors, stop = _parsed(text)
        if text[stop:].strip():
            raise ValueError("a header with more after it")
        marked = tensors.pop("__metadata__")
        version = int(marked["sdgraph_result"])
        if version > VERSION:
            raise NewerRecordError(f"version {version}, and this is {VERSION}")
        told, _ = _parsed(marked["record"])
        end = max([each["data_offsets"][1] for each in tensors.values()], default=0)
        # One that came in a single short reading has been read to its end.
        size = len(start) if len(start) < _AT_ONCE else os.fstat(file).st_size
        if version < 1 or size != begin + end:
            raise ValueError(f"{size} bytes of {begin + end}")
    except (ValueError, TypeError, KeyError, AttributeError, IndexError, RecursionError) as error:
        raise DamagedRecordError(f"it cannot be read ({error})") from error
    return told, tensors, begin


def _header(told: dict[str, Any]) -> Header:
    try:
        seconds = float(told["seconds"])
        return Header(told["content"], told["node"], seconds, dict(told["files"]), told["value"])
    except (ValueError, TypeError, KeyError) as error:
        raise DamagedRecordError(f"its header cannot be read ({error})") from error


def _squeezed(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """The array, or its bytes deflated where a sample says that this halves them at least.

    Masks, edges and drawings shrink by ten and more, in little time; photographs hardly do.
    """
    import numpy as np

    flat = array.reshape(-1).view(np.uint8)
    middle = max(0, flat.size // 2 - _SAMPLE // 2)
    sample = flat[middle : middle + _SAMPLE]
    if 2 * len(zlib.compress(sample.data, 1)) > sample.size:
        return array
    return np.frombuffer(zlib.compress(flat.data, 1), np.uint8)


def _array(
    data: bytes, tensor: dict[str, Any], dtype: str, shape: tuple[int, ...]
) -> npt.NDArray[Any]:
    import numpy as np

    kind = np.dtype(dtype)
    wanted = kind.itemsize * int(np.prod(shape, dtype=object))
    begin, end = tensor["data_offsets"]
    raw = data[begin:end]
    if tuple(tensor["shape"]) != shape or _DTYPES.get(tensor["dtype"]) != dtype:
        # At most as long as said, lest a damaged file fill the memory.
        raw = zlib.decompressobj().decompress(raw, wanted)
    array: npt.NDArray[Any] = np.frombuffer(raw, kind).reshape(shape)
    return array


def _plain(value: Any, arrays: Arrays) -> Any:
    """The value as JSON; its arrays go into `arrays` and are named by their numbers there."""
    kind = type(value)
    if kind is int and not -_LONG <= value < _LONG:
        return {"int": hex(value)}  # decimal digits have a limit
    if value is None or kind in (str, bool, int, float):
        return value
    name = kind.__name__
    if _ARRAYS.get(name) is kind:
        array, *more = value._arguments()
        number = str(len(arrays))
        arrays[number] = array
        return {name: [number, *more]}
    if _SOURCES.get(name) is kind:
        return {name: value._set()}
    if kind is Series:
        return {"Series": [value.fps, *(_plain(each, arrays) for each in value)]}
    if isinstance(value, Path) and kind is type(Path()):
        return {"path": str(value)}
    if kind is bytes:
        return _plain_bytes(value, arrays)
    if kind in (tuple, list):
        return {name: [_plain(each, arrays) for each in value]}
    if isinstance(value, Mapping):
        return {"map": [[_plain(k, arrays), _plain(v, arrays)] for k, v in value.items()]}
    raise NotSerializableError(f"{name}, which no record can hold")


def _plain_bytes(value: bytes, arrays: Arrays) -> Any:
    """A few in the header itself, many as an array, which no plan reads."""
    import numpy as np

    if len(value) < _AT_ONCE:
        return {"bytes": value.hex()}
    number = str(len(arrays))
    arrays[number] = np.frombuffer(value, np.uint8)
    return {"blob": number}


def _value(plain: Any, arrays: Arrays) -> Any:
    if not isinstance(plain, dict):
        return plain
    ((name, held),) = plain.items()
    if name in _ARRAYS:
        number, *more = held
        return _ARRAYS[name](arrays[number], *more)
    if name in _SOURCES:
        return _SOURCES[name](**held)
    if name == "blob":
        return arrays[held].tobytes()
    if name == "Series":
        fps, *items = held
        return Series((_value(each, arrays) for each in items), fps)
    if name == "map":
        return {_value(k, arrays): _value(v, arrays) for k, v in held}
    if name in ("tuple", "list"):
        items = [_value(each, arrays) for each in held]
        return items if name == "list" else tuple(items)
    if name == "int":
        return int(held, 16)
    return Path(held) if name == "path" else bytes.fromhex(held)
