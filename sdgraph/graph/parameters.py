"""The types of parameters: which a node class may declare, and how plain data becomes them.

A workflow file holds plain data: texts, numbers, lists and maps. A parameter may also be an enum, a
path, a frozen dataclass or a set, alone or in lists and maps: `from_plain` makes them of plain data
before the fields are validated.
"""

from __future__ import annotations

import dataclasses
import types
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from functools import cache
from pathlib import Path, PurePath
from typing import (
    Annotated,
    Any,
    Literal,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

from pydantic import BaseModel, TypeAdapter, ValidationError

from sdgraph.formatting import with_article
from sdgraph.values import Value

SUPPORTED = (
    "text, a number, a switch, a Path, an Enum, a frozen dataclass, or lists, sets and maps of them"
)

_LEAVES = (str, int, float, bool, type(None), object, Any)
_SETS = (set, frozenset)
_ITEMS = (list, tuple, Sequence, Iterable, *_SETS)


def unsupported_type(annotation: Any) -> str:
    """What is wrong with the type of a parameter, in words; "" if workflow files can write it."""
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        own_schema = any(hasattr(mark, "__get_pydantic_core_schema__") for mark in marks)
        return "" if own_schema else unsupported_type(inner)
    if get_origin(annotation) is Literal or not _is_class(annotation):
        inner_types = () if get_origin(annotation) is Literal else get_args(annotation)
        return next(filter(None, map(unsupported_type, inner_types)), "")
    if annotation in _LEAVES or issubclass(annotation, Enum | Value):
        return ""
    if annotation in (Path, PurePath, *_ITEMS, dict, Mapping):
        return ""
    if dataclasses.is_dataclass(annotation):
        return _dataclass_problem(annotation)
    is_schema = hasattr(annotation, "__get_pydantic_core_schema__")
    if is_schema or is_typeddict(annotation) or issubclass(annotation, BaseModel | tuple):
        return ""
    return f"a parameter of type {annotation.__name__}"


def _dataclass_problem(cls: Any) -> str:
    if not cls.__dataclass_params__.frozen:
        return f"{cls.__name__}, a dataclass that can be changed"
    return next(filter(None, map(unsupported_type, _field_types(cls).values())), "")


def _is_class(annotation: Any) -> bool:
    return isinstance(annotation, type) and get_origin(annotation) is None


def needs_conversion(annotation: Any) -> bool:
    """Whether a type is, or contains, one that plain data must be converted to."""
    if _is_class(annotation):
        return (
            annotation in _SETS
            or issubclass(annotation, Enum | PurePath)
            or dataclasses.is_dataclass(annotation)
        )
    if get_origin(annotation) is Annotated:
        inner, *marks = get_args(annotation)
        return not any(hasattr(mark, "validate") for mark in marks) and needs_conversion(inner)
    if get_origin(annotation) is Literal:
        return False
    return get_origin(annotation) in _SETS or any(map(needs_conversion, get_args(annotation)))


def from_plain(annotation: Any, value: Any) -> Any:
    """The value of a type that plain data stands for; the data itself if it stands for none.

    Args:
        annotation: The type.
        value: Plain data, or a value of the type, which is returned as it is.

    Example:
        >>> from_plain(list[Path], ["a.png"]) == [Path("a.png")]
        True
    """
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return from_plain(arguments[0], value)
    if origin in (Union, types.UnionType):
        return _first_that_changes(arguments, value)
    if isinstance(value, Mapping) and origin in (dict, Mapping):
        return {key: from_plain(arguments[1], item) for key, item in value.items()}
    is_set = (origin or annotation) in _SETS and isinstance(value, set | frozenset)
    if is_set or (isinstance(value, list | tuple) and (origin or annotation) in _ITEMS):
        return _items_from_plain(origin or annotation, arguments, value)
    return _leaf_from_plain(annotation, value) if _is_class(annotation) else value


def _first_that_changes(options: tuple[Any, ...], value: Any) -> Any:
    plain = {type(value)} & set(options)
    for option in options if not plain else ():
        converted = from_plain(option, value)
        if converted is not value and type(converted) is not type(value):
            return converted
    return value


def _items_from_plain(kind: Any, arguments: tuple[Any, ...], value: Iterable[Any]) -> Any:
    if kind is tuple and arguments and arguments[-1] is not Ellipsis:
        each: Iterator[Any] = iter(arguments)
        return tuple(from_plain(next(each, Any), item) for item in value)
    items = [from_plain(arguments[0], item) if arguments else item for item in value]
    try:
        return kind(items) if kind in _SETS else items
    except TypeError:  # an item that cannot be in a set, which the validation reports
        return value


def _leaf_from_plain(cls: Any, value: Any) -> Any:
    if issubclass(cls, Enum) and isinstance(value, str | int | float | bool):
        same = (m for m in cls if type(m.value) is type(value) and m.value == value)
        named = cls.__members__.get(value) if isinstance(value, str) else None
        return next(same, named if named is not None else value)
    if issubclass(cls, PurePath) and isinstance(value, str):
        return cls(value) if value and "\0" not in value else value
    if dataclasses.is_dataclass(cls) and isinstance(value, Mapping):
        return _dataclass_from_plain(cls, value)
    return value


def _dataclass_from_plain(cls: Any, value: Mapping[Any, Any]) -> Any:
    """The dataclass of a map of its fields; the map itself if a field is wrong or missing."""
    field_types = _field_types(cls)
    try:
        fields = {
            name: _adapter(field_types[name]).validate_python(
                from_plain(field_types[name], item), strict=True
            )
            for name, item in value.items()
        }
        return cls(**fields)
    except (KeyError, TypeError, ValueError, ValidationError):
        return value


@cache
def _adapter(annotation: Any) -> TypeAdapter[Any]:
    return TypeAdapter(annotation)


@cache
def _field_types(cls: Any) -> Mapping[str, Any]:
    hints = get_type_hints(cls, include_extras=True)
    return {field.name: hints[field.name] for field in dataclasses.fields(cls) if field.init}


def describe_type(annotation: Any) -> str:
    """What plain data a parameter of a type takes, in words; "" for types that need none."""
    origin, arguments = get_origin(annotation), get_args(annotation)
    if origin is Annotated:
        return describe_type(arguments[0])
    if origin in (Union, types.UnionType):
        return " or ".join(filter(None, map(describe_type, arguments)))
    if origin in (dict, Mapping):
        return f"a map of {describe_type(arguments[1]) or 'values'}"
    if (origin or annotation) in _ITEMS:
        inner = describe_type(arguments[0]) if arguments else ""
        return f"a list, each item {inner}" if inner else "a list"
    if not _is_class(annotation):
        return ""
    if issubclass(annotation, Enum):
        return f"one of {', '.join(str(to_plain(member)) for member in annotation)}"
    if issubclass(annotation, PurePath):
        return "a path"
    if dataclasses.is_dataclass(annotation):
        return _describe_dataclass(annotation)
    if annotation in _WORDS:
        return _WORDS[annotation]
    return "" if annotation is type(None) else with_article(annotation.__name__)


def _describe_dataclass(cls: Any) -> str:
    fields = (f"{name} ({_type_name(kind)})" for name, kind in _field_types(cls).items())
    return f"a map of {', '.join(fields)}"


_WORDS = {str: "text", int: "a whole number", float: "a number", bool: "true or false"}


def _type_name(annotation: Any) -> str:
    return annotation.__name__ if _is_class(annotation) else str(annotation)


def to_plain(value: Any) -> Any:
    """The plain data that stands for an enum, a dataclass or a set; other values as they are."""
    if isinstance(value, Enum):
        return value.value if isinstance(value.value, str | int | float) else value.name
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = (field.name for field in dataclasses.fields(value) if field.init)
        return {name: getattr(value, name) for name in fields}
    if isinstance(value, set | frozenset):
        return sorted(map(to_plain, value), key=lambda item: (type(item).__name__, str(item)))
    return value


def freeze_lists(value: Any) -> Any:
    """Lists as tuples, at any depth."""
    return tuple(map(freeze_lists, value)) if isinstance(value, list | tuple) else value
