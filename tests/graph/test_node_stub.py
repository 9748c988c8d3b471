"""The stub that type checkers read names the nodes that there are."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

import sdgraph.nodes
from sdgraph.graph.node_stub import stub_file, stub_text
from tests.support.processes import python


def test_the_stub_of_the_library_is_what_the_command_writes() -> None:
    module: ModuleType = sdgraph.nodes
    text = stub_text("sdgraph.nodes", sdgraph.nodes.NODE_MODULES)
    assert stub_file(module).read_text() == text, (
        "nodes have changed: run `python -m sdgraph.graph.node_stub`"
    )


def test_the_command_writes_the_stub_of_a_pack(tmp_path: Path) -> None:
    pack = tmp_path / "mypack"
    pack.mkdir()
    (pack / "__init__.py").write_text("")
    (pack / "filters.py").write_text('"""Filters."""\n\n__all__ = ["Blur", "Add"]\n')
    printed = python(
        f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv = ['node_stub', 'mypack']\n"
        "import runpy; runpy.run_module('sdgraph.graph.node_stub', run_name='__main__')"
    )
    assert printed.strip() == str(pack / "__init__.pyi")
    assert (pack / "__init__.pyi").read_text().splitlines() == [
        "# Written by `python -m sdgraph.graph.node_stub mypack`; do not edit.",
        "",
        "from .filters import Add as Add",
        "from .filters import Blur as Blur",
        "",
        "NODE_MODULES: dict[str, str]",
        "",
        "__all__ = [",
        '    "Add",',
        '    "Blur",',
        "]",
    ]
