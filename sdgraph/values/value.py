"""What every kind of value is: frozen, equal by content, and known by its class.

A kind of value is one subclass of `Value`. What the rest of the engine must know of it, it
declares: how its arrays are stored and come back (`_set_fields`), the suffixes of its files, the
node that loads one, and what people call it.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import FrozenInstanceError
from functools import cached_property
from hashlib import blake2b
from types import MappingProxyType
from typing import Any, ClassVar, NoReturn, Self

from sdgraph.errors import PackError, Problem
from sdgraph.formatting import with_article

from .arrays import is_array, read_only
from .content import SMALL, content_of, refuse_value, size_of
from .pack_name import pack_name

_OWN_PACK = __name__.partition(".")[0]
_SCALARS = (str, int, float, bool, type(None))
_STORABLE = "biuf"
"""Kinds of dtype that a value may hold: bool, integers, floats."""

_kinds: dict[str, type[Value]] = {}


class Value:
    """A frozen value that travels on an edge; equal to another of its class by content.

    A subclass is a kind of value. Its constructor checks what it is given and hands it to
    `_set_fields`; after that nothing about the value changes. With that alone a value is hashed,
    compared, pickled, and remembered in memory and on disk. A class whose name begins with an
    underscore is no kind, only a base of some.

    Example:
        A sound, in a node pack that also has a node `LoadSound(path)`::

            class Sound(Value):
                suffixes = (".wav",)
                loader = "LoadSound"

                def __init__(self, samples: np.ndarray, rate: int) -> None:
                    self._set_fields(samples=samples, rate=rate)
    """

    suffixes: ClassVar[tuple[str, ...]] = ()
    """The suffixes of files that hold one, in lower case with the dot; a subclass inherits them."""

    loader: ClassVar[str | None] = None
    """The type name of the node that reads one from the file at its `path`; never inherited.

    With it, an input of this kind takes the path of a file.
    """

    label: ClassVar[str] = "a Value"
    """One of them in words, for messages; "an Image" unless the class declares another."""

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
        cls.label = own.get("label") or with_article(cls.__name__)
        pack = pack_name(cls.__module__)
        cls.kind_name = cls.__name__ if pack == _OWN_PACK else f"{pack}.{cls.__name__}"
        if cls.__name__.startswith("_"):
            return
        other = _kinds.get(cls.kind_name)
        if other and other.__module__ != cls.__module__ and other.__module__ in sys.modules:
            found = f"the kind of value {cls.__name__} in {other.__module__} and {cls.__module__}"
            raise PackError(Problem(pack, found, "a name for each", "rename one of the two"))
        _kinds[cls.kind_name] = cls  # a class that is defined again replaces the older one

    def _set_fields(self, **fields: Any) -> None:
        """Sets what the value is made of, for its constructor to call once.

        The fields become attributes; arrays among them are made read-only. The constructor must
        take the same names: `type(value)(**value.fields)` is how an equal value is made again.

        Args:
            **fields: Numpy arrays (of bool, integers or floats), values, and what `content_of`
                takes.

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
        """What the value is made of: the arguments with which its class makes an equal one.

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
        """32 hexadecimal digits that stand for the class and all fields; computed once."""
        arrays: list[Any] = []
        parts: list[Any] = [self.kind_name]
        for field in self.fields.values():
            if is_array(field):
                arrays.append(field)
                parts += [field.dtype.str, field.shape]
            else:
                parts.append(field if type(field) in _SCALARS else [content_of(field)])
        digest = blake2b(repr(tuple(parts)).encode("utf-8", "surrogatepass"), digest_size=16)
        for array in arrays:
            digest.update(array.reshape(-1).view("uint8").data)
        return digest.hexdigest()

    @property
    def nbytes(self) -> int:
        """Bytes of memory held: those of the arrays and of what else is not a plain scalar."""
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
        shown = (f"{name}={_shown(field)}" for name, field in self.fields.items())
        return f"{type(self).__name__}({', '.join(shown)})"

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


def all_kinds() -> tuple[type[Value], ...]:
    """Every kind of value whose module was imported, in the order of their definition."""
    return tuple(_kinds.values())


def shipped_kinds() -> dict[str, type[Value]]:
    """The kinds of value that ship with sdgraph, by name."""
    return {name: kind for name, kind in _kinds.items() if "." not in name}


def _shown(field: Any) -> str:
    return f"{field.dtype}{list(field.shape)}" if is_array(field) else repr(field)


def _unpickle(kind: type[Value], fields: dict[str, Any]) -> Value:
    for field in fields.values():
        if is_array(field):
            field.setflags(write=False)  # nobody else holds it yet, so that no copy is needed
    return kind(**fields)
