"""The line of a node's own code that an exception came from."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Iterator
from types import FunctionType
from typing import Any

from sdgraph.errors import SdgraphError
from sdgraph.formatting import shorten_path
from sdgraph.graph import Node, source_files_of


def error_location(error: BaseException, cls: type[Node[Any]]) -> str:
    """The deepest line of a node's own files that an exception passed, "" if there is none.

    An exception of sdgraph has none: its problems say what is wrong.

    Args:
        error: The exception that the node raised.
        cls: The node's class.

    Returns:
        A text such as "my_nodes.py:12, in run".
    """
    if isinstance(error, SdgraphError | SystemExit):
        return ""
    own = set(_own_files(cls))
    place = ""
    for frame, line in traceback.walk_tb(error.__traceback__):
        code = frame.f_code
        if _normalize(code.co_filename) in own:
            place = f"{shorten_path(code.co_filename)}:{line}, in {code.co_name}"
    return place


def _own_files(cls: type[Node[Any]]) -> Iterator[str]:
    """The files of a class and of its bases that are of its pack, and what those depend on."""
    pack = cls.__module__.partition(".")[0]
    for klass in cls.__mro__:
        if klass.__module__.partition(".")[0] != pack or klass is Node:
            continue
        module = sys.modules.get(klass.__module__)
        if (file := getattr(module, "__file__", None)) is not None:
            yield _normalize(file)
        yield from (_normalize(str(path)) for path in source_files_of(klass.__module__))
        functions = [value for value in vars(klass).values() if isinstance(value, FunctionType)]
        yield from (_normalize(function.__code__.co_filename) for function in functions)


def _normalize(name: str) -> str:
    """A file's real path; the name of what is no file, such as "<stdin>", as it is."""
    return name if name.startswith("<") else os.path.realpath(name)
