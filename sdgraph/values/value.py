"""What a value is, and the text and the size that its content comes to."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import FrozenInstanceError
from hashlib import blake2b
from itertools import chain
from pathlib import PurePath
from typing import Any, NoReturn, Self

from sdgraph.errors import InvalidValueError, Problem

_SMALL = 64  # bytes: about what a scalar, or a container beside its items, holds


class Value:
    """A frozen value that travels on an edge; equal to another of its type by content alone."""

    @property
    def content(self) -> str:
        """32 hexadecimal digits that stand for the type and all that is held; made once."""
        raise NotImplementedError

    def __setattr__(self, name: str, value: object = None) -> NoReturn:
        kind = type(self).__name__
        raise FrozenInstanceError(f"{kind}.{name}: values are frozen; make a new {kind}")

    __delattr__ = __setattr__

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self is other or self.content == other.content

    def __hash__(self) -> int:
        return hash(self.content)

    def __deepcopy__(self, memo: object) -> Self:
        return self


def content_of(value: object) -> str:
    """A text that two values share only if they are of one kind and hold the same.

    Takes values and str, bytes, int, float, bool, None, paths (the text, not the file), and tuples,
    lists and mappings of those, a mapping in any order; other types and NaN raise
    InvalidValueError. No white space and no comma is in it, so a caller may join several by either.
    """
    if writer := _WRITERS.get(type(value)):
        return writer(value)
    content = getattr(value, "content", None)
    if isinstance(content, str):
        return content
    for kind, writer in _WRITERS.items():
        if isinstance(value, kind):
            return writer(value)
    wanted = "a value of sdgraph, a str, number, path, or a tuple, list or mapping of them"
    return refuse_value("content_of", f"a {type(value).__qualname__}", wanted)


def size_of(value: object) -> int:
    """Bytes that a value holds: exact for arrays, about right for the rest."""
    held = getattr(value, "nbytes", None)
    if isinstance(held, int):
        return held
    if isinstance(value, str | bytes):
        return _SMALL + len(value)
    if isinstance(value, Mapping):
        return _SMALL + sum(map(size_of, chain.from_iterable(value.items())))
    return _SMALL + sum(map(size_of, value)) if isinstance(value, tuple | list) else _SMALL


def digest(data: bytes) -> str:
    """32 hexadecimal digits that stand for `data`."""
    return blake2b(data, digest_size=16).hexdigest()


def refuse_value(subject: str, found: str, wanted: str, fix: str = "") -> NoReturn:
    """Raises InvalidValueError."""
    raise InvalidValueError(Problem(subject, found, wanted, fix))


def _of_float(value: float) -> str:
    if value != value:
        refuse_value(
            "content_of", "NaN", "a number that equals itself", "give the parameter a number"
        )
    return f"float:{value.hex()}"


def _of_many(tag: str, contents: list[str]) -> str:
    return f"{tag}:{digest(','.join(contents).encode())}"


def _of_mapping(value: Mapping[Any, Any]) -> str:
    return _of_many("map", sorted(f"{content_of(k)}={content_of(v)}" for k, v in value.items()))


_WRITERS: dict[type, Callable[[Any], str]] = {
    int: lambda value: f"int:{value:x}",
    str: lambda value: "str:" + digest(value.encode("utf-8", "surrogatepass")),
    float: _of_float,
    bool: lambda value: "bool:true" if value else "bool:false",
    type(None): "none:{}".format,
    bytes: lambda value: "bytes:" + digest(value),
    tuple: lambda value: _of_many("tuple", [content_of(item) for item in value]),
    list: lambda value: _of_many("list", [content_of(item) for item in value]),
    PurePath: lambda value: "path:" + digest(str(value).encode("utf-8", "surrogatepass")),
    Mapping: _of_mapping,
}
