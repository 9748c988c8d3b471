"""A text that identifies the content of a value, and the memory that a value takes."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from functools import cached_property
from hashlib import blake2b
from itertools import chain
from pathlib import PurePath
from typing import Any, NoReturn

from sdgraph.errors import InvalidValueError, Problem

_PROPERTIES = (property, cached_property)

_NUMBERS = (int, float, bool, type(None))

SMALL = 64
"""An estimate of the bytes of a number, or of a container without its items."""


def content_of(value: object) -> str:
    """A text that is the same for two values only if they have the same type and content.

    Args:
        value: A `Value`, a str, bytes, int, float, bool, None, enum or path (the text of the path,
            not the file), or a tuple, list, set, dataclass or mapping of those; the order of a
            mapping has no effect.

    Returns:
        A text without white space and commas, so that several of them can be joined with either.

    Raises:
        InvalidValueError: The value is of another type, or not a number (NaN).

    Example:
        >>> content_of(1), content_of(1.0), content_of(True)
        ('int:1', 'float:0x1.0000000000000p+0', 'bool:true')
    """
    if writer := _WRITERS.get(type(value)):
        return writer(value)
    if isinstance(value, Enum):
        return f"enum:{type(value).__qualname__}.{value.name}"
    if is_dataclass(value) and not isinstance(getattr(type(value), "content", None), _PROPERTIES):
        pairs = [f"{f.name}={content_of(getattr(value, f.name))}" for f in fields(value)]
        return _items_content(type(value).__qualname__, pairs)
    content = getattr(value, "content", None)
    if isinstance(content, str):
        return content
    for kind, writer in _WRITERS.items():
        if isinstance(value, kind):
            return writer(value)
    wanted = "a value of sdgraph, a str, number, path, or a tuple, list or mapping of them"
    return refuse_value("content_of", f"a {type(value).__qualname__}", wanted)


def size_of(value: object) -> int:
    """Bytes of memory that a value holds: exact for arrays, an estimate for everything else.

    Args:
        value: Any value or Python object.

    Example:
        >>> size_of("four"), size_of(("four", "four"))
        (68, 200)
    """
    if type(value) in _NUMBERS:
        return SMALL
    held = getattr(value, "nbytes", None)
    if isinstance(held, int):
        return held
    if isinstance(value, str | bytes):
        return SMALL + len(value)
    if isinstance(value, Mapping):
        return SMALL + sum(map(size_of, chain.from_iterable(value.items())))
    return SMALL + sum(map(size_of, value)) if isinstance(value, tuple | list) else SMALL


def digest(data: bytes | memoryview) -> str:
    """A hash of `data` as 32 hexadecimal digits."""
    return blake2b(data, digest_size=16).hexdigest()


def refuse_value(subject: str, found: str, wanted: str, fix: str = "") -> NoReturn:
    """Raises InvalidValueError.

    Args:
        subject: What the error is about: a class, or a field of one ("Video.fps").
        found: What was found, in words.
        wanted: What is valid, in words.
        fix: What to do about it.
    """
    raise InvalidValueError(Problem(subject, found, wanted, fix))


def _float_content(value: float) -> str:
    if value != value:
        refuse_value(
            "content_of", "NaN", "a number that is equal to itself", "replace NaN by a number"
        )
    return f"float:{value.hex()}"


def _items_content(tag: str, contents: list[str]) -> str:
    return f"{tag}:{digest(','.join(contents).encode())}"


def _mapping_content(value: Mapping[Any, Any]) -> str:
    pairs = sorted(f"{content_of(key)}={content_of(item)}" for key, item in value.items())
    return _items_content("map", pairs)


_WRITERS: dict[type, Callable[[Any], str]] = {
    int: lambda value: f"int:{value:x}",
    str: lambda value: "str:" + digest(value.encode("utf-8", "surrogatepass")),
    float: _float_content,
    bool: lambda value: "bool:true" if value else "bool:false",
    type(None): "none:{}".format,
    bytes: lambda value: "bytes:" + digest(value),
    tuple: lambda value: _items_content("tuple", [content_of(item) for item in value]),
    list: lambda value: _items_content("list", [content_of(item) for item in value]),
    frozenset: lambda value: _items_content("set", sorted(map(content_of, value))),
    set: lambda value: _items_content("set", sorted(map(content_of, value))),
    PurePath: lambda value: "path:" + digest(str(value).encode("utf-8", "surrogatepass")),
    Mapping: _mapping_content,
}
