"""Which module of a package defines which node, without importing any of them.

A module offers its nodes by a list of their names: `__all__ = ["Blur", "Sharpen"]`, right after
its imports. `node_modules` reads these lists as text, which takes less than a millisecond for a
hundred files; importing the files would take a second.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator

from sdgraph.errors import PackError, Problem

_LIST = b"\n__all__ = ["
_NAME = re.compile(rb"[\"'](\w+)[\"']")
_HEAD_BYTES = 8192
"""How much of a file is read: `__all__` stands right after the imports."""


def node_modules(package: str, folders: Iterable[str]) -> dict[str, str]:
    """The modules of a package by the names of the nodes that they offer, sorted by name.

    Args:
        package: The name of the package, its `__name__`.
        folders: Where its files are, its `__path__`.

    Returns:
        Module names by node names: `{"Blur": "mypack.filters.blur", …}`.

    Raises:
        PackError: Two modules offer a node of the same name.

    Example:
        The `__init__.py` of a package of nodes, each of which is imported when it is first used::

            from sdgraph.graph import node_modules

            NODE_MODULES = node_modules(__name__, __path__)
            __all__ = sorted(NODE_MODULES)

            def __getattr__(name):
                if name not in NODE_MODULES:
                    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
                return getattr(import_module(NODE_MODULES[name]), name)
    """
    modules: dict[str, str] = {}
    for folder in folders:
        for module, path in _source_files(folder, package):
            for name in _offered_names(path):
                if name in modules:
                    found = f"the node {name} in {modules[name]} and in {module}"
                    fix = "rename one of the two"
                    raise PackError(Problem(package, found, "a name for each", fix))
                modules[name] = module
    return dict(sorted(modules.items()))


def _source_files(folder: str, package: str) -> Iterator[tuple[str, str]]:
    """The modules below a folder and their files; `__init__` files offer nothing of their own."""
    with os.scandir(folder) as entries:
        for entry in entries:
            name = entry.name
            if name.endswith(".py"):
                if name != "__init__.py":
                    yield f"{package}.{name[:-3]}", entry.path
            elif name.isidentifier() and name != "__pycache__" and entry.is_dir():
                yield from _source_files(entry.path, f"{package}.{name}")


def _offered_names(path: str) -> list[str]:
    """The names in the `__all__` of a file, none where it has no such list."""
    file = os.open(path, os.O_RDONLY)  # a hundred files: `open` takes four times as long
    try:
        head = os.read(file, _HEAD_BYTES)
    finally:
        os.close(file)
    start = head.find(_LIST)
    if start < 0:
        return []
    return [name.decode() for name in _NAME.findall(head, start, head.index(b"]", start))]
