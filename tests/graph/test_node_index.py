"""Which module offers which node is read from the files, none of which is imported."""

from __future__ import annotations

import ast
import os
from importlib import import_module
from pathlib import Path
from typing import Any

import pytest

import sdgraph.nodes
from sdgraph.errors import PackError
from sdgraph.graph import Node, node_modules
from tests.support.processes import python

HEAD = '"""Nodes."""\n\nfrom sdgraph.graph import Node\n'


def written(folder: Path, **files: str) -> dict[str, str]:
    for name, text in files.items():
        path = folder / f"{name.replace('__', '/')}.py"
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
    return node_modules("pack", [str(folder)])


def test_a_file_offers_the_names_in_its_list_wherever_it_is(tmp_path: Path) -> None:
    modules = written(
        tmp_path,
        plain=f"{HEAD}\n__all__ = ['Blur']\n",
        deep__inside=f'{HEAD}\n__all__ = [\n    "Sharpen",\n    "Add",\n]\n',
        helper=HEAD,
    )
    assert modules == {
        "Add": "pack.deep.inside",
        "Blur": "pack.plain",
        "Sharpen": "pack.deep.inside",
    }
    assert list(modules) == sorted(modules)


def test_a_new_file_is_there_at_once_and_nothing_else_was_written(tmp_path: Path) -> None:
    assert written(tmp_path, one=f"{HEAD}\n__all__ = ['One']\n") == {"One": "pack.one"}
    modules = written(tmp_path, two=f"{HEAD}\n__all__ = ['Two']\n")
    assert modules == {"One": "pack.one", "Two": "pack.two"}


def test_two_files_that_offer_one_name_are_refused_by_name(tmp_path: Path) -> None:
    text = f"{HEAD}\n__all__ = ['Blur']\n"
    with pytest.raises(PackError, match=r"the node Blur in pack\.\w+ and in pack\.\w+"):
        written(tmp_path, one=text, two=text)


def _defined() -> dict[str, str]:
    """Every class of the library that says what it makes and has a method `run`."""
    classes: dict[str, str] = {}
    folder = Path(str(sdgraph.nodes.__file__)).parent
    for path in folder.rglob("*.py"):
        module = ".".join(("sdgraph.nodes", *path.relative_to(folder).with_suffix("").parts))
        for statement in ast.parse(path.read_text()).body:
            if isinstance(statement, ast.ClassDef):
                classes[statement.name] = module
    return classes


@pytest.mark.torch
def test_every_node_of_the_library_is_offered_by_the_module_that_defines_it() -> None:
    offered = sdgraph.nodes.NODE_MODULES
    classes: dict[str, Any] = {name: getattr(sdgraph.nodes, name) for name in offered}
    assert {name: cls.__module__ for name, cls in classes.items()} == offered
    assert all(issubclass(cls, Node) for cls in classes.values())
    assert sdgraph.nodes.__all__ == list(offered) and set(offered) <= set(dir(sdgraph.nodes))
    nodes = {
        cls
        for name, module in _defined().items()
        if issubclass(cls := getattr(import_module(module), name), Node) and cls.run is not Node.run
    }
    bases = {base for cls in nodes for base in cls.__mro__[1:]}
    names = {cls.__name__ for cls in nodes - bases}
    assert names == set(offered), "a node is missing in the `__all__` of its module"


def test_an_unknown_name_is_an_attribute_error() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Nothing'"):
        sdgraph.nodes.Nothing  # type: ignore[attr-defined]  # noqa: B018


def test_a_node_is_imported_when_it_is_first_used() -> None:
    printed = python(
        "import sys, sdgraph.nodes\n"
        "before = [name for name in sys.modules if name.startswith('sdgraph.nodes.')]\n"
        "sdgraph.nodes.Canny\n"
        "print(before, 'sdgraph.nodes.maps.canny' in sys.modules,"
        " 'sdgraph.nodes.training.vae' in sys.modules)"
    )
    assert printed == "[] True False\n"


def test_the_index_of_the_library_reads_the_head_of_each_file_once(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    opened: list[str] = []
    real = os.open

    def counting_open(path: str, *rest: Any, **more: Any) -> int:
        opened.append(str(path))
        return real(path, *rest, **more)

    monkeypatch.setattr(os, "open", counting_open)
    modules = node_modules("sdgraph.nodes", list(sdgraph.nodes.__path__))
    assert len(modules) > 50
    assert 0 < len(opened) == len(set(opened))
