"""The base class of all values, which are frozen and equal by content.

A kind of value is one subclass of `Value`. The class declares all that the engine needs to know:
the fields that are stored and restored (`_set_fields`), the suffixes of its files, the node that
loads one, and its name in messages.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from functools import cached_property
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn, Self

from sdgraph.errors import PackError, Problem
from sdgraph.formatting import with_article

from .array_ownership import TakesOver
from .arrays import is_array, read_only
from .content import SMALL, content_of, refuse_value, size_of
from .pack_name import pack_name
from .streams import ArrayStream

_OWN_PACK = __name__.partition(".")[0]
_SCALARS = (str, int, float, bool, type(None))
_STORABLE = "biuf"
"""Kinds of dtype that a value may hold: bool, integers, floats."""

_kinds: dict[str, type[Value]] = {}


class _NameWithArticle:
    """The label of a kind that declares none; it is made when a message needs it."""

    def __get__(self, value: Value | None, kind: type[Value]) -> str:
        return with_article(kind.__name__)


class Value(TakesOver):
    """A frozen value that one node passes to another; values of a class are equal by content.

    A subclass is a kind of value. Its constructor checks its arguments and passes them to
    `_set_fields`; after that the value does not change. Nothing else is needed for a value to be
    hashed, compared, pickled, and remembered in memory and on disk. A class whose name begins with
    an underscore is not a kind but a base of kinds.

    Example:
        A sound, in a node pack that also has a node `LoadSound(path)`::

            class Sound(Value):
                suffixes = (".wav",)
                loader = "LoadSound"

                def __init__(self, samples: np.ndarray, rate: int) -> None:
                    self._set_fields(samples=samples, rate=rate)
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    """The suffixes of its files, in lower case with the dot; a subclass inherits them."""

    read_only_suffixes: ClassVar[tuple[str, ...]] = ()
    """The suffixes of files that its loader reads and no node writes; inherited like `suffixes`."""

    loader: ClassVar[str | None] = None
    """The type name of the node that reads such a value from the file at its `path`.

    If a kind has one, an input of this kind accepts the path of a file. It is not inherited.
    """

    label: ClassVar[str] = "a Value"
    """The kind with its article, for messages; "an Image" unless the class declares another."""

    kind_name: ClassVar[str] = "Value"
    """The name that records use: the class's own for kinds that ship, else `pack.Class`."""

    _fields: Mapping[str, Any]

    def __init_subclass__(cls, **options: Any) -> None:
        """Declares a kind of value.

        Raises:
            PackError: Another module of the same pack has a kind of that name.
        """
        super().__init_subclass__(**options)
        own = vars(cls)
        cls.loader = own.get("loader")
        if "label" not in own:
            cls.label = _NameWithArticle()  # type: ignore[assignment]  # it gives a str
        is_own = cls.__module__.startswith(f"{_OWN_PACK}.")
        pack = _OWN_PACK if is_own else pack_name(cls.__module__)
        cls.kind_name = cls.__name__ if pack == _OWN_PACK else f"{pack}.{cls.__name__}"
        if cls.__name__.startswith("_"):
            return
        other = _kinds.get(cls.kind_name)
        if other and other.__module__ != cls.__module__ and other.__module__ in sys.modules:
            found = f"the kind of value {cls.__name__} in {other.__module__} and {cls.__module__}"
            raise PackError(Problem(pack, found, "a name for each", "rename one of the two"))
        _kinds[cls.kind_name] = cls  # a class that is defined again replaces the older one

    @classmethod
    def reads(cls, path: str | Path) -> bool:
        """Whether a file holds a value of this kind, by its suffix in upper or lower case.

        Args:
            path: The path of the file, which need not exist.
        """
        return Path(path).suffix.lower() in (*cls.suffixes, *cls.read_only_suffixes)

    def _set_fields(self, **fields: Any) -> None:
        """Sets the fields of the value; the constructor calls this once.

        The fields become attributes; arrays among them are made read-only. The constructor must
        take arguments of the same names: `type(value)(**value.fields)` makes an equal value.

        Args:
            **fields: Numpy arrays (of bool, integers or floats), streams of them, values, and
                whatever else `content_of` takes.

        Raises:
            InvalidValueError: An array holds something other than numbers.
        """
        for name, field in fields.items():
            if is_array(field):
                if field.dtype.kind not in _STORABLE:
                    subject = f"{type(self).__name__}.{name}"
                    refuse_value(subject, f"an array of {field.dtype}", "bool, integers or floats")
                fields[name] = read_only(field)
        self.__dict__.update(fields, _fields=MappingProxyType(fields))

    @property
    def fields(self) -> Mapping[str, Any]:
        """The fields by name: the arguments with which its class makes an equal value.

        Raises:
            NotImplementedError: The class does not call `_set_fields`.
        """
        try:
            return self._fields
        except AttributeError:
            kind = type(self).__name__
            raise NotImplementedError(f"{kind}.__init__ does not call _set_fields") from None

    @cached_property
    def content(self) -> str:
        """A hash of the class and all fields as 32 hexadecimal digits; computed once.

        It is half a SHA-256, which processors of today have instructions for.
        """
        arrays: list[Any] = []
        parts: list[Any] = [self.kind_name]
        for field in self.fields.values():
            if is_array(field) or isinstance(field, ArrayStream):
                arrays.append(field)
                parts += [field.dtype.str, field.shape]
            else:
                parts.append(field if type(field) in _SCALARS else [content_of(field)])
        digest = sha256(repr(tuple(parts)).encode("utf-8", "surrogatepass"))
        for array in arrays:
            for block in array.blocks() if isinstance(array, ArrayStream) else (array,):
                digest.update(block.reshape(-1).view("uint8").data)
        return digest.hexdigest()[:32]

    @property
    def nbytes(self) -> int:
        """Bytes of memory held by the arrays and all other fields that are not plain scalars."""
        held = (field for field in self.fields.values() if type(field) not in _SCALARS)
        return sum(map(size_of, held)) or SMALL

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

    def __repr__(self) -> str:
        fields = (f"{name}={_field_text(field)}" for name, field in self.fields.items())
        return f"{type(self).__name__}({', '.join(fields)})"

    def __deepcopy__(self, memo: object) -> Self:
        return self

    def __reduce__(self) -> tuple[Any, ...]:
        return _unpickle, (type(self), dict(self.fields))


def find_kind(name: str) -> type[Value] | None:
    """The kind of value with a name, or None if no imported module defines it.

    Nothing is imported to find it, so that a name in a file cannot run code.

    Args:
        name: The `kind_name` of the class.
    """
    return _kinds.get(name)


def is_media_file(path: str | Path) -> bool:
    """Whether a file is a picture, a video or another kind of value, by its suffix.

    Args:
        path: The path of the file, which need not exist.

    Example:
        >>> is_media_file("star.PNG"), is_media_file("flow.yaml")
        (True, False)
    """
    return any(kind.reads(path) for kind in _kinds.values())


def shipped_kinds() -> dict[str, type[Value]]:
    """The kinds of value that ship with sdgraph, by name."""
    return {name: kind for name, kind in _kinds.items() if "." not in name}


def _field_text(field: Any) -> str:
    return f"{field.dtype}{list(field.shape)}" if is_array(field) else repr(field)


def _unpickle(kind: type[Value], fields: dict[str, Any]) -> Value:
    for field in fields.values():
        if is_array(field):
            field.setflags(write=False)  # nothing else refers to it yet, so no copy is needed
    return kind(**fields)
