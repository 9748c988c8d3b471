"""The identity of a node class, which is a part of the keys of its results.

1. A node of sdgraph, or of an installed pack: the name of the pack, the name of the class, and its
   `version`, which the author raises when the same parameters give another result. Moving the
   class to another file does not change its identity.
2. A node in a file that is not installed: its name, its version, and the content of the file and
   of the files of the same folder or package that it imports. The author of such a node edits it
   many times and does not raise its version each time.
3. A node without a file (in a notebook, in `python -c`): the source text of the class, or its
   bytecode, with the functions and constants that it uses.
4. Where this is not enough to distinguish two classes, their results are not remembered.
"""

from __future__ import annotations

import ast
import builtins
import inspect
import linecache
import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any
from weakref import WeakValueDictionary

from sdgraph.errors import NodeDefinitionError, Problem
from sdgraph.values import pack_name

from .source_tree import hash_source_tree

SHIPPED_PACK = "sdgraph"
"""The name of the pack that comes with the engine."""

_INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Names of folders with installed packages, whose files change only with a new version."""

_PYTHON = Path(os.__file__).parent
"""The folder of Python's own library."""

_PLAIN = (type(None), bool, int, float, complex, str, bytes)


@dataclass(frozen=True)
class ClassIdentity:
    """What distinguishes a node class from every other."""

    pack: str
    """The name of its pack: of the package that is imported, or of the file or folder."""
    tag: str
    """A text that differs for any two classes; the identity of each node begins with it."""
    remembered: bool = True
    """Whether results may be remembered; False where the tag is random."""
    installed: bool = False
    """Whether the class is sdgraph's or of an installed pack, so that its code does not change."""
    has_file: bool = False
    """Whether the tag was made from the files of the class."""


def class_identity(cls: Any) -> ClassIdentity:
    """The identity of a node class; raises NodeDefinitionError where its pack has two of a name."""
    pack = pack_name(cls.__module__)
    if _is_installed(cls.__module__) and "<locals>" not in cls.__qualname__:
        tag = f"{pack}:{cls.__qualname__}:{cls.version}"
        _claim(tag, pack, cls)
        return ClassIdentity(pack, tag, installed=True)
    digest, has_file = _own_code_digest(cls)
    # Without a digest the tag is random, so that no other class and no other run has the same.
    digest_text = os.urandom(16).hex() if digest is None else digest
    tag = f":{cls.__qualname__}:{cls.version}:{digest_text}"
    return ClassIdentity(pack, tag, digest is not None, has_file=has_file)


_claimed: WeakValueDictionary[str, Any] = WeakValueDictionary()


def _claim(tag: str, pack: str, cls: Any) -> None:
    other = _claimed.get(tag)
    if other is not None and other.__module__ != cls.__module__:
        modules = f"{other.__module__} and in {cls.__module__}"
        found = f"two node classes named {cls.__qualname__}, in {modules}"
        wanted = "one of each name, for results are remembered by it"
        raise NodeDefinitionError(Problem(pack, found, wanted, "rename one of the two"))
    _claimed[tag] = cls


def _is_installed(module: str) -> bool:
    if module.partition(".")[0] == SHIPPED_PACK:
        return True
    if module == "__main__":  # in a notebook or with `python -m`, its file may be an installed one
        return False
    file = _file_of(module)
    return file is not None and not _INSTALLED.isdisjoint(Path(file).parts)


def _file_of(module: str) -> str | None:
    return getattr(sys.modules.get(module), "__file__", None)


def _own_code_digest(cls: Any) -> tuple[str | None, bool]:
    """A digest of the code of a class and its bases, and whether all of it is that of files.

    The code of libraries is left out. The digest is None if some code is unknown.
    """
    own = [klass for klass in cls.__mro__ if not is_library_class(klass)]
    digests = [_class_digest(klass) for klass in own]
    readable = [digest for digest in digests if digest is not None]
    digest = digest_of(*readable) if readable and len(readable) == len(digests) else None
    return digest, all(map(_is_in_file, own))


def _is_in_file(klass: Any) -> bool:
    """Whether all functions of a class come from the file of its module."""
    file = _file_of(klass.__module__)
    codes = (function.__code__ for function in functions_of(klass))
    if file is None or not Path(file).is_file():  # that of `python -` is "<stdin>"
        return False
    return all(_is_file(code.co_filename, file) for code in codes)


def is_library_module(name: str) -> bool:
    """Whether a module belongs to Python, to sdgraph or to another installed package."""
    if name == "__main__":
        return False
    if _is_installed(name) or name.partition(".")[0] in sys.stdlib_module_names:
        return True
    file = _file_of(name)
    return name in sys.builtin_module_names or (
        file is not None and Path(file).is_relative_to(_PYTHON)
    )


def is_library_class(klass: Any) -> bool:
    """Whether a class belongs to Python, to sdgraph or to another installed package."""
    if getattr(builtins, klass.__name__, None) is klass:
        return True
    if "<locals>" in klass.__qualname__:
        return False
    return is_library_module(klass.__module__)


def _class_digest(klass: Any) -> str | None:
    """A digest of the code of one class: of its files, else of its text, else of its bytecode."""
    functions = list(functions_of(klass))
    captured = [_captured_text(function) for function in functions]
    if None in captured:
        return None
    texts = [text for text in captured if text]
    file = _file_of(klass.__module__)
    codes = [function.__code__ for function in functions]
    if file is not None and _is_in_file(klass):
        texts += (str(code.co_firstlineno) for code in codes)
        contents = hash_source_tree(Path(file), klass.__module__)
        if contents is not None:
            return digest_of(*texts, *contents)
    if not codes:
        return None
    text = _class_text(klass, codes[0])
    texts += [text or "", *map(code_text, codes)]
    uses: dict[str, str] = {}
    for function in functions:
        _add_globals(function, uses)
    return digest_of(*texts, *(f"{name}={value}" for name, value in sorted(uses.items())))


def digest_of(*texts: str) -> str:
    """A hash of several texts."""
    return blake2b("\0".join(texts).encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _is_file(name: str, file: str) -> bool:
    return name == file or os.path.realpath(name) == os.path.realpath(file)


def functions_of(klass: Any) -> Iterator[FunctionType]:
    """The functions that a class defines: its methods, also those inside decorators' objects."""
    own = [value for name, value in vars(klass).items() if not name.startswith("__pydantic")]
    for value in own:
        for attribute in ("__func__", "fget", "func", "wrapped"):
            value = getattr(value, attribute, value)
        function = inspect.unwrap(value) if isinstance(value, FunctionType) else None
        if function is not None and function.__module__ == klass.__module__:
            yield function


def _captured_text(function: FunctionType) -> str | None:
    """The variables of enclosing functions that a function uses, as text; None if not plain."""
    texts = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if name == "__class__":
            continue
        try:
            value = _value_text(cell.cell_contents)
        except ValueError:  # not set yet
            value = None
        if value is None:
            return None
        texts.append(f"{name}={value}")
    return ",".join(texts)


def plain_text(value: Any) -> str | None:
    """A text that differs for any two plain values, such as numbers; None for other values."""
    return f"{type(value).__name__}:{value!r}" if type(value) in _PLAIN else None


def _value_text(value: Any) -> str | None:
    """A text that differs for any two values, None for a value of another type."""
    if isinstance(value, _PLAIN):
        return f"{type(value).__name__}:{value!r}"
    if isinstance(value, tuple | frozenset):
        items = [_value_text(item) for item in value]
        texts = [item for item in items if item is not None]
        ordered = texts if isinstance(value, tuple) else sorted(texts)
        return f"({','.join(ordered)})" if len(texts) == len(items) else None
    if isinstance(value, ModuleType):
        return f"module:{value.__name__}"
    if isinstance(value, FunctionType):
        captured = _captured_text(value)
        return None if captured is None else f"{code_text(value.__code__)}({captured})"
    if isinstance(value, type):
        return f"class:{value.__module__}.{value.__qualname__}"
    return None


def _class_text(klass: Any, code: CodeType) -> str | None:
    """The source text of a class without a file, which Python or the notebook keeps in memory."""
    text = "".join(linecache.getlines(code.co_filename))
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    for statement in ast.walk(tree):
        if (
            isinstance(statement, ast.ClassDef)
            and statement.name == klass.__name__
            and statement.lineno <= code.co_firstlineno <= (statement.end_lineno or 0)
        ):
            return ast.get_source_segment(text, statement)
    return None


@lru_cache(maxsize=2048)
def code_text(code: CodeType) -> str:
    """The bytecode of a function as text, without its file and line numbers."""
    consts = [
        code_text(constant)
        if isinstance(constant, CodeType)
        else _value_text(constant) or repr(constant)
        for constant in code.co_consts
    ]
    return f"{code.co_code.hex()}|{code.co_names}|{code.co_varnames}|{consts}"


def _add_globals(function: FunctionType, uses: dict[str, str]) -> None:
    """Adds to `uses` the module's functions and constants that a function uses, recursively."""
    names = [name for code in _nested_codes(function.__code__) for name in code.co_names]
    for name in names:
        value = function.__globals__.get(name)
        if name in uses or name not in function.__globals__:
            continue
        uses[name] = _value_text(value) or type(value).__name__
        if isinstance(value, FunctionType) and value.__module__ == function.__module__:
            _add_globals(value, uses)


def _nested_codes(code: CodeType) -> Iterator[CodeType]:
    yield code
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            yield from _nested_codes(constant)
