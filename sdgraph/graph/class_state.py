"""What the functions of a node class use besides their own code, as it is at the time of a run.

The tag of a class is made when the class is defined. After that a function that it calls may be
defined again in another cell of a notebook, a constant of its module may get another value, and a
file that it imports may be edited. `code_state` is a part of the keys of its results:

1. A class of sdgraph or of an installed pack has none.
2. If a file that the class was made from has changed since, its results are not remembered until
   it is loaded again: it is not known which code ran.
3. Otherwise it is a hash of the global variables that its functions read, of the functions among
   them, and so on. Variables that these functions write to (logs, counters, caches) do not count.
4. A variable of a kind that cannot be told apart makes the results of a class without a file
   unknown. For a class in a file it is left out, since the file says where it came from.
"""

from __future__ import annotations

import dis
import enum
import functools
import re
import sys
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import PurePath
from types import BuiltinFunctionType, CodeType, FunctionType, GenericAlias, MethodType, ModuleType
from typing import Any, NamedTuple

from sdgraph.memoize import scope_results
from sdgraph.values import Value

from .class_identity import (
    code_text,
    digest_of,
    functions_of,
    is_library_class,
    is_library_module,
    plain_text,
)
from .source_tree import LOADED_PREFIX, hash_source_tree, tree_changed

_HARMLESS = ("Logger", "lock", "RLock", "Lock", "_lru_cache_wrapper")
"""Types of library objects that hold no input of a computation."""

_WRITING_METHODS = frozenset(
    (
        *("add", "append", "appendleft", "clear", "discard", "extend", "insert"),
        *("pop", "popitem", "remove", "setdefault", "update"),
    )
)
"""Methods that change a container."""

_LOADS = frozenset(("LOAD_GLOBAL", "LOAD_NAME"))
_ATTRIBUTES = frozenset(("LOAD_ATTR", "LOAD_METHOD"))
_MAX_DEPTH = 20
"""How deep containers and objects are looked into."""


def code_state(cls: Any) -> str | None:
    """A text of what a class uses now, "" for nothing; None if it cannot be known.

    It is computed once within a `memoized_scope`.

    Args:
        cls: A node class.
    """
    identity = cls.definition.identity
    if identity.installed:
        return ""
    memoized = scope_results.get()
    if memoized is None:
        return _compute_state(cls)
    key = (code_state, cls)
    if key not in memoized:
        memoized[key] = _compute_state(cls)
    state: str | None = memoized[key]
    return state


def _compute_state(cls: Any) -> str | None:
    if not cls.definition.identity.remembered or tree_changed(cls.__module__):
        return None
    has_file = cls.definition.identity.has_file
    uses = _Uses(has_file)
    for klass in cls.__mro__:
        if not is_library_class(klass):
            for function in functions_of(klass):
                uses.add_function(function)
    if uses.unknown and not has_file:
        return None
    return digest_of(*(f"{name}={text}" for name, text in sorted(uses.texts.items())))


class _Uses:
    """The variables that functions use, by name, each with a text of its value."""

    def __init__(self, has_file: bool) -> None:
        self.texts: dict[str, str] = {}
        self.unknown: set[str] = set()
        """The names of variables of which two values cannot be distinguished."""
        self._has_file = has_file
        self._seen: set[int] = set()

    def add_function(self, function: FunctionType) -> None:
        """Adds all that a function uses; a function of a library is not looked into."""
        if id(function.__code__) in self._seen or is_library_module(function.__module__):
            return
        self._seen.add(id(function.__code__))
        names = _names_in(function.__code__)
        for name in names.read - names.written:
            if name in function.__globals__:
                self._add(
                    f"{_portable(function.__module__)}.{name}", function.__globals__[name], names
                )
        if not self._has_file:  # the imports of a file are known by the files
            for name in names.imported:
                self._add_import(name, names)

    def _add(self, name: str, value: Any, names: _Names) -> None:
        if name in self.texts:
            return
        self.texts[name] = ""
        if isinstance(value, ModuleType):
            if is_library_module(value.__name__):
                return
            for attribute in names.attributes & vars(value).keys():
                self._add(f"{_portable(value.__name__)}.{attribute}", vars(value)[attribute], names)
            return
        text = self._text(value, 0)
        if text is None:
            self.unknown.add(name)
            text = type(value).__name__
        self.texts[name] = text

    def _add_import(self, name: str, names: _Names) -> None:
        """Adds a module that a function imports when it runs."""
        if is_library_module(name):
            return
        module = sys.modules.get(name)
        if module is not None:
            self._add(name, module, names)
            return
        file = _file_of_unloaded(name)
        if file is not None:
            self.texts[name] = ",".join(hash_source_tree(file, name) or ())

    def _text(self, value: Any, depth: int) -> str | None:
        """A text that differs for any two values; None for a value of another kind."""
        if depth > _MAX_DEPTH:
            return None
        if (text := plain_text(value)) is not None:
            return text
        kind = type(value)
        name = f"{_portable(kind.__module__)}.{kind.__qualname__}"
        if isinstance(value, functools.partial):
            inner = (value.func, value.args, value.keywords)
            return self._join("partial", inner, depth)
        if isinstance(value, MethodType):
            return self._join("method", (value.__func__, value.__self__), depth)
        if isinstance(value, list | tuple | set | frozenset):
            return self._join(name, value, depth, ordered=isinstance(value, list | tuple))
        if isinstance(value, Mapping):
            return self._join(name, [part for item in value.items() for part in item], depth)
        function = getattr(value, "__wrapped__", value)
        if isinstance(function, FunctionType):
            return self._function_text(function)
        if isinstance(value, type):
            return self._class_text(value)
        if isinstance(value, Value) or hasattr(kind, "definition"):
            return f"{name}:{getattr(value, 'content', None) or value.identity.hex()}"
        if not is_library_class(kind):
            state = getattr(value, "__dict__", None)
            inner_text = None if state is None else self._text(dict(state), depth + 1)
            return None if inner_text is None else f"{self._class_text(kind)}({inner_text})"
        return _library_text(value)

    def _join(self, name: str, items: Any, depth: int, *, ordered: bool = True) -> str | None:
        texts = [self._text(item, depth + 1) for item in items]
        known = [text for text in texts if text is not None]
        if len(known) < len(texts):
            return None
        return f"{name}({','.join(known if ordered else sorted(known))})"

    def _function_text(self, function: FunctionType) -> str:
        self.add_function(function)
        if is_library_module(function.__module__):
            return f"function:{_portable(function.__module__)}.{function.__qualname__}"
        cells = [cell.cell_contents for cell in function.__closure__ or () if _is_set(cell)]
        defaults = (function.__defaults__, function.__kwdefaults__)
        captured = [self._text(value, 1) for value in (*cells, *defaults)]
        if None in captured:
            self.unknown.add(f"{_portable(function.__module__)}.{function.__qualname__}")
        return f"{code_text(function.__code__)}{captured}"

    def _class_text(self, klass: Any) -> str:
        name = f"class:{_portable(klass.__module__)}.{klass.__qualname__}"
        if is_library_class(klass) or id(klass) in self._seen:
            return name
        self._seen.add(id(klass))
        functions = [self._function_text(function) for function in functions_of(klass)]
        attributes = ((key, plain_text(value)) for key, value in sorted(vars(klass).items()))
        constants = [f"{key}={text}" for key, text in attributes if text and key[:2] != "__"]
        return digest_of(name, *functions, *constants)


def _portable(module: str) -> str:
    """The name of a module without that of its folder, if it was loaded by its path."""
    return module.partition(".")[2] if module.startswith(LOADED_PREFIX) else module


def _is_set(cell: Any) -> bool:
    try:
        return bool(cell.cell_contents is not cell)
    except ValueError:
        return False


def _library_text(value: Any) -> str | None:
    """The text of an object of a library, for the kinds whose content is known."""
    kind = type(value)
    name = f"{_portable(kind.__module__)}.{kind.__qualname__}"
    if kind.__name__ in _HARMLESS:
        return name
    if isinstance(value, enum.Enum | PurePath | range | slice | re.Pattern | bytearray):
        return f"{name}:{value!r}"
    if isinstance(value, GenericAlias) or kind.__module__ in ("typing", "types", "decimal"):
        return f"{name}:{value!r}"
    if isinstance(value, BuiltinFunctionType) or kind.__name__ in ("ufunc", "builtin_function"):
        return f"function:{getattr(value, '__module__', '')}.{value.__name__}"
    if kind.__module__ == "numpy" and hasattr(value, "tobytes"):
        return f"{name}:{value.dtype}:{value.shape}:{digest_of(value.tobytes().hex())}"
    return None


def _file_of_unloaded(name: str) -> Any:
    """The file of a module that is not imported yet, if it is of nobody's library."""
    from importlib.util import find_spec
    from pathlib import Path

    try:
        spec = find_spec(name.partition(".")[0])
    except (ImportError, ValueError, AttributeError):
        return None
    return Path(spec.origin) if spec is not None and spec.has_location and spec.origin else None


class _Names(NamedTuple):
    read: frozenset[str]
    written: frozenset[str]
    attributes: frozenset[str]
    imported: frozenset[str]


@lru_cache(maxsize=1024)
def _names_in(code: CodeType) -> _Names:
    """The global names that the code of a function reads and writes, and what it imports."""
    read, written, attributes, imported = set(), set(), set(), set()
    written_attributes = set()  # as in `module.log.append(…)`
    for inner in _nested(code):
        steps = list(dis.get_instructions(inner))
        for number, step in enumerate(steps):
            follower = steps[number + 1] if number + 1 < len(steps) else step
            is_written = follower.opname in _ATTRIBUTES and follower.argval in _WRITING_METHODS
            if step.opname in _LOADS:
                read.add(step.argval)
                if is_written:
                    written.add(step.argval)
            elif step.opname in _ATTRIBUTES and is_written:
                written_attributes.add(step.argval)
            elif step.opname in ("STORE_GLOBAL", "DELETE_GLOBAL"):
                written.add(step.argval)
            elif step.opname in ("STORE_SUBSCR", "DELETE_SUBSCR", "COPY") and number >= 2:
                # `log[key] = …` and `log[key] += …`, where both are loaded right before.
                container, key = steps[number - 2 : number]
                if container.opname in _LOADS and key.opname.startswith("LOAD_"):
                    written.add(container.argval)
            elif step.opname in (*_ATTRIBUTES, "IMPORT_FROM"):
                attributes.add(step.argval)
            elif step.opname == "IMPORT_NAME":
                imported.add(step.argval)
    attributes -= written_attributes
    return _Names(*map(frozenset, (read, written, attributes, imported)))


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested(constant)
