"""What the results of a node class are remembered under: its pack, its name and its version.

1. A node of sdgraph, or of a pack that is installed: the pack's name, the class's name and its
   `version`, which the author raises when the same parameters give another result. Moving the
   class to another file changes nothing.
2. A node of one's own, in a file that is not installed: its name, its version, and what is in its
   file and in the files of the same folder or package that this one imports. Who tries out a node
   changes it many times and raises no version.
3. A node without a file (a notebook, `python -c`): the text of the class, or else its code, with
   the functions and constants that it uses.
4. Where all of that is not enough to tell two classes apart, nothing is remembered.
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
from hashlib import blake2b
from pathlib import Path
from types import CodeType, FunctionType, ModuleType
from typing import Any
from weakref import WeakValueDictionary

from sdgraph.errors import NodeDefinitionError, Problem
from sdgraph.values import pack_name

from .own_files import contents_of_own_files

SHIPPED_PACK = "sdgraph"
"""The name of the pack that comes with the engine."""

_INSTALLED = frozenset({"site-packages", "dist-packages"})
"""Folders of files that are installed, and change with a version only."""

_PYTHON = Path(os.__file__).parent
"""The folder of Python's own library."""

_PLAIN = (type(None), bool, int, float, complex, str, bytes)


@dataclass(frozen=True)
class ClassIdentity:
    """What tells a node class from every other."""

    pack: str
    """The name of the pack it belongs to: that of the package one imports, or of the file."""
    tag: str
    """Opens the identity of each of its nodes."""
    remembered: bool = True
    """Whether the tag says enough for results to be remembered under it."""


def class_identity(cls: Any) -> ClassIdentity:
    """The identity of a node class; raises NodeDefinitionError where its pack has two of a name."""
    pack = pack_name(cls.__module__)
    if _is_installed(cls.__module__) and "<locals>" not in cls.__qualname__:
        tag = f"{pack}:{cls.__qualname__}:{cls.version}"
        _claim(tag, pack, cls)
        return ClassIdentity(pack, tag)
    digest = _own_code_digest(cls)
    # A random text stands for what is not known: no other class, nor run, ever has the same.
    told = os.urandom(16).hex() if digest is None else digest
    return ClassIdentity(pack, f":{cls.__qualname__}:{cls.version}:{told}", digest is not None)


_claimed: WeakValueDictionary[str, Any] = WeakValueDictionary()


def _claim(tag: str, pack: str, cls: Any) -> None:
    other = _claimed.get(tag)
    if other is not None and other.__module__ != cls.__module__:
        found = f"two node classes named {cls.__qualname__}, in {other.__module__} and in "
        wanted = "one of each name, for results are remembered by it"
        problem = Problem(pack, f"{found}{cls.__module__}", wanted, "rename one of the two")
        raise NodeDefinitionError(problem)
    _claimed[tag] = cls


def _is_installed(module: str) -> bool:
    if module.partition(".")[0] == SHIPPED_PACK:
        return True
    if module == "__main__":  # of a notebook or of `python -m` it may name an installed file
        return False
    file = _file_of(module)
    return file is not None and not _INSTALLED.isdisjoint(Path(file).parts)


def _file_of(module: str) -> str | None:
    return getattr(sys.modules.get(module), "__file__", None)


def _own_code_digest(cls: Any) -> str | None:
    """A digest of all own code that a class is made of, None where it cannot be known."""
    digests = [_class_digest(klass) for klass in cls.__mro__ if not _is_library(klass)]
    known = [digest for digest in digests if digest is not None]
    return _digest(*known) if known and len(known) == len(digests) else None


def _is_library(klass: Any) -> bool:
    """Whether a class is of Python, of sdgraph or of anything else that is installed."""
    if getattr(builtins, klass.__name__, None) is klass:
        return True
    if "<locals>" in klass.__qualname__:
        return False
    if _is_installed(klass.__module__) or klass.__module__ in sys.builtin_module_names:
        return True
    file = _file_of(klass.__module__)
    return file is not None and Path(file).is_relative_to(_PYTHON)


def _class_digest(klass: Any) -> str | None:
    """A digest of one class's own code: of its files, else of its text, else of its code."""
    functions = list(_functions(klass))
    captured = [_captured(function) for function in functions]
    if None in captured:
        return None
    told = [text for text in captured if text]
    file = _file_of(klass.__module__)
    codes = [function.__code__ for function in functions]
    if file is not None and all(_is_file(code.co_filename, file) for code in codes):
        told += (str(code.co_firstlineno) for code in codes)
        contents = contents_of_own_files(Path(file), klass.__module__)
        if contents is not None:
            return _digest(*told, *contents)
    if not codes:
        return None
    text = _class_text(klass, codes[0])
    told += [text or "", *map(_code_text, codes)]
    uses: dict[str, str] = {}
    for function in functions:
        _add_globals(function, uses)
    return _digest(*told, *(f"{name}={value}" for name, value in sorted(uses.items())))


def _digest(*texts: str) -> str:
    return blake2b("\0".join(texts).encode(errors="surrogatepass"), digest_size=16).hexdigest()


def _is_file(name: str, file: str) -> bool:
    return name == file or os.path.realpath(name) == os.path.realpath(file)


def _functions(klass: Any) -> Iterator[FunctionType]:
    """The functions that a class defines: methods, and what decorators made of them."""
    for value in vars(klass).values():
        for attribute in ("__func__", "fget", "func", "wrapped"):
            value = getattr(value, attribute, value)
        function = inspect.unwrap(value) if isinstance(value, FunctionType) else None
        if function is not None and function.__module__ == klass.__module__:
            yield function


def _captured(function: FunctionType) -> str | None:
    """What a function has from the functions around it, as text; None where it is not plain."""
    told = []
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=True):
        if name == "__class__":
            continue
        try:
            value = _value_text(cell.cell_contents)
        except ValueError:  # not set yet
            value = None
        if value is None:
            return None
        told.append(f"{name}={value}")
    return ",".join(told)


def _value_text(value: Any) -> str | None:
    """A text that tells a value from every other, None where there is none."""
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
        captured = _captured(value)
        return None if captured is None else f"{_code_text(value.__code__)}({captured})"
    if isinstance(value, type):
        return f"class:{value.__module__}.{value.__qualname__}"
    return None


def _class_text(klass: Any, code: CodeType) -> str | None:
    """The text of a class without a file, from what Python or the notebook kept of its input."""
    text = "".join(linecache.getlines(code.co_filename))
    try:
        tree = ast.parse(text)
    except (SyntaxError, ValueError):
        return None
    for each in ast.walk(tree):
        if (
            isinstance(each, ast.ClassDef)
            and each.name == klass.__name__
            and each.lineno <= code.co_firstlineno <= (each.end_lineno or 0)
        ):
            return ast.get_source_segment(text, each)
    return None


def _code_text(code: CodeType) -> str:
    """The code of a function as text, whatever its file and its lines."""
    consts = [
        _code_text(each) if isinstance(each, CodeType) else _value_text(each) or repr(each)
        for each in code.co_consts
    ]
    return f"{code.co_code.hex()}|{code.co_names}|{code.co_varnames}|{consts}"


def _add_globals(function: FunctionType, uses: dict[str, str]) -> None:
    """Adds the functions and plain constants of its module that a function uses, and theirs."""
    names = [name for code in _nested(function.__code__) for name in code.co_names]
    for name in names:
        value = function.__globals__.get(name)
        if name in uses or name not in function.__globals__:
            continue
        uses[name] = _value_text(value) or type(value).__name__
        if isinstance(value, FunctionType) and value.__module__ == function.__module__:
            _add_globals(value, uses)


def _nested(code: CodeType) -> Iterator[CodeType]:
    yield code
    for each in code.co_consts:
        if isinstance(each, CodeType):
            yield from _nested(each)
