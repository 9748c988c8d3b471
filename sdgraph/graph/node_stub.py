"""Writes the type stub of a package of nodes, from which editors and type checkers know them.

    python -m sdgraph.graph.node_stub              # nodes/__init__.pyi of sdgraph itself
    python -m sdgraph.graph.node_stub mypack       # the same for a pack that uses `node_modules`

At run time the nodes of such a package are imported when they are first used, so that mypy,
pyright and editors would find no names in it without the stub.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType

from .node_index import node_modules


def stub_text(package: str, modules: dict[str, str]) -> str:
    """The text of the stub: an import for each node, and the list of their names."""
    by_module = sorted((module.removeprefix(package), name) for name, module in modules.items())
    lines = [
        f"# Written by `python -m sdgraph.graph.node_stub {package}`; do not edit.",
        "",
        *(f"from {module} import {name} as {name}" for module, name in by_module),
        "",
        "NODE_MODULES: dict[str, str]",
        "",
        "__all__ = [",
        *(f'    "{name}",' for name in modules),
        "]",
    ]
    return "\n".join(lines) + "\n"


def stub_file(module: ModuleType) -> Path:
    """The path of the stub of an imported package: next to its `__init__.py`."""
    return Path(str(module.__file__)).with_suffix(".pyi")


def write_stub(package: str) -> Path:
    """Writes the stub of a package, and returns where."""
    module = importlib.import_module(package)
    path = stub_file(module)
    path.write_text(stub_text(package, node_modules(package, module.__path__)))
    return path


if __name__ == "__main__":
    for name in sys.argv[1:] or ["sdgraph.nodes"]:
        print(write_stub(name))  # noqa: T201  a command's answer
