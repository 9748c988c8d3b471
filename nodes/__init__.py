"""The node library, imported as `sdgraph.nodes`. A module is imported when its node is first used.

A node belongs to it by the `__all__` of the module that defines it; nothing is listed here.
`__init__.pyi` tells type checkers and editors their names; `python -m sdgraph.graph.node_stub`
writes it.
"""

from __future__ import annotations

from importlib import import_module
from typing import Any

from sdgraph.graph import node_modules

if __name__ != "sdgraph.nodes":
    # Under two names every node class would exist twice.
    raise ImportError("import these nodes as sdgraph.nodes")

NODE_MODULES = node_modules(__name__, __path__)
"""The module of each node, by the node's name."""

__all__ = sorted(NODE_MODULES)  # noqa: PLE0605  made from the modules' own lists


def __getattr__(name: str) -> Any:
    if name not in NODE_MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    globals()[name] = node = getattr(import_module(NODE_MODULES[name]), name)
    return node


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
