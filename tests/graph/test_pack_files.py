"""A user's nodes come from a file or a folder, whose files may import one another."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import pytest

from sdgraph.errors import InvalidWorkflowError, PackError
from sdgraph.graph import Registry, installed_registry
from sdgraph.language import workflow_from_yaml
from tests.support.processes import python

NODE = """
{imports}
from sdgraph.graph import Node

class {name}(Node[int]):
    def run(self) -> int:
        {more}
        return {result}
"""


def node(name: str, result: str, imports: str = "", more: str = "pass") -> str:
    return NODE.format(name=name, result=result, imports=imports, more=more)


def value(path: Path, name: str) -> int:
    return Registry({}).with_file(path)[name]().run()  # type: ignore[no-any-return]


def write(folder: Path, **files: str) -> Path:
    for name, text in files.items():
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{name}.py").write_text(text)
    return folder


@pytest.mark.parametrize(
    ("imports", "result"),
    [
        ("from .helpers import three", "three()"),
        ("from helpers import three", "three()"),
        ("import helpers", "helpers.three()"),
        ("import inner.deep", "inner.deep.three()"),
        ("import inner.deep as deep", "deep.three()"),
        ("from inner import deep", "deep.three()"),
        ("from . import helpers", "helpers.three()"),
    ],
)
def test_a_file_may_import_its_neighbours(tmp_path: Path, imports: str, result: str) -> None:
    write(tmp_path, helpers="def three(): return 3\n", mine=node("Mine", result, imports))
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "__init__.py").write_text("")
    (tmp_path / "inner" / "deep.py").write_text("from helpers import three\n")
    before = (list(sys.path), "helpers" in sys.modules)
    assert value(tmp_path / "mine.py", "Mine") == 3
    assert (list(sys.path), "helpers" in sys.modules) == before


def test_a_neighbour_may_be_imported_while_it_runs(tmp_path: Path) -> None:
    write(
        tmp_path, helpers="three = 3\n", mine=node("Mine", "helpers.three", more="import helpers")
    )
    assert value(tmp_path / "mine.py", "Mine") == 3


def test_two_folders_with_neighbours_of_one_name_keep_their_own(tmp_path: Path) -> None:
    for number, name in enumerate(("a", "b")):
        text = node("Mine", "number", "from helpers import number")
        write(tmp_path / name, helpers=f"number = {number}\n", **{f"mine_{name}": text})
    registry = Registry({})
    for name in ("a", "b"):
        registry = registry.with_file(tmp_path / name / f"mine_{name}.py")
    assert [registry[f"mine_{name}.Mine"]().run() for name in ("a", "b")] == [0, 1]


def test_a_folder_of_files_offers_the_nodes_of_each(tmp_path: Path) -> None:
    write(tmp_path, one=node("One", "1"), two=node("Two", "2"), _private=node("Not", "0"))
    registry = Registry({}).with_file(tmp_path)
    assert set(registry) == {"One", "Two"} and registry[f"{tmp_path.name}.Two"]().run() == 2


def test_a_package_offers_what_it_says(tmp_path: Path) -> None:
    write(tmp_path, one=node("One", "1"), two=node("Two", "2"))
    (tmp_path / "__init__.py").write_text("from .one import One\n__all__ = ['One']\n")
    assert set(Registry({}).with_file(tmp_path)) == {"One"}


def test_an_empty_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="a folder without Python files"):
        Registry({}).with_file(tmp_path)


def test_what_fails_leaves_nothing_imported(tmp_path: Path) -> None:
    write(tmp_path, helpers="x = 1\n", mine="import helpers\n1 / 0\n")
    before = set(sys.modules)
    with pytest.raises(PackError, match="ZeroDivisionError"):
        Registry({}).with_file(tmp_path / "mine.py")
    left = set(sys.modules) - before
    assert not [name for name in left if "mine" in name or "helpers" in name]
    write(tmp_path, mine=node("Mine", "helpers.x", "import helpers"))
    assert value(tmp_path / "mine.py", "Mine") == 1


def test_a_file_edited_within_the_second_to_the_same_size_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    values = []
    for number in (1, 2):
        write(tmp_path, helpers=f"x = {number}\n", mine=node("Mine", "x", "from helpers import x"))
        for file in tmp_path.glob("*.py"):
            os.utime(file, (1_700_000_000, 1_700_000_000))
        code = (
            "from sdgraph.graph import Registry\n"
            f"print(Registry({{}}).with_file({str(path)!r})['Mine']().run())"
        )
        values.append(python(code, PYTHONDONTWRITEBYTECODE="").strip())
    assert values == ["1", "2"] and not (tmp_path / "__pycache__").exists()


def test_a_node_of_ones_own_that_is_named_like_a_shipped_one_is_reached_by_its_full_name(
    tmp_path: Path,
) -> None:
    write(tmp_path, mine=node("Canny", "7") + "\n\n" + node("Other", "8"))
    registry = installed_registry().with_file(tmp_path / "mine.py")

    def pack_of(text: str) -> str:
        (node,) = workflow_from_yaml(text, registry=registry).graph().targets
        return str(type(node).definition.identity.pack)

    assert (
        pack_of("nodes: {a: {type: mine.Canny}}") == pack_of("nodes: {a: {type: Other}}") == "mine"
    )
    assert registry["LoadImage"].definition.identity.pack == "sdgraph"
    with pytest.raises(InvalidWorkflowError) as raised:
        pack_of("nodes: {a: {type: Canny}}")
    assert "mine.Canny or sdgraph.Canny" in str(raised.value)
    assert "type: mine.Canny" in _written(registry)


def _written(registry: Registry) -> str:
    from sdgraph import to_yaml

    return to_yaml(registry["mine.Canny"]())
