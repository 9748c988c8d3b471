"""Node types come from installed packs and the user's files; a broken pack affects no other."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

import sdgraph.nodes
from sdgraph.errors import PackError
from sdgraph.graph import Registry, installed_registry, registry
from sdgraph.graph.registry import node_classes
from tests.support import toys

NODE = """
from sdgraph.graph import Node

class {name}(Node[int]):
    def run(self) -> int:
        return {result}
"""


@pytest.fixture
def packs(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sets the entry points that are installed."""

    def install(*entries: Any) -> Registry:
        monkeypatch.setattr(registry, "entry_points", lambda group: entries)
        installed_registry.cache_clear()
        return installed_registry()

    yield install
    installed_registry.cache_clear()


def entry(name: str, value: str, loads: Any) -> Any:
    class Entry:
        def load(self) -> Any:
            if isinstance(loads, BaseException):
                raise loads
            return loads

    entry_point: Any = Entry()
    entry_point.name, entry_point.value, entry_point.group = name, value, registry.ENTRY_POINT_GROUP
    assert hasattr(EntryPoint("n", "v", "g"), "load")
    return entry_point


def module(name: str = "pack", /, **members: Any) -> ModuleType:
    new_module = ModuleType(name)
    vars(new_module).update(members)
    return new_module


def test_the_own_pack_is_there_without_entry_points(packs: Any) -> None:
    assert set(node_classes(__import__("sdgraph.nodes", fromlist=["x"]))) == set(packs())


def test_a_pack_brings_its_types(packs: Any) -> None:
    registry_found = packs(entry("toys", "toys", module(__all__=["Number"], Number=toys.Number)))
    assert registry_found["Number"] is toys.Number and not registry_found.broken


@pytest.mark.parametrize("error", [ImportError("no cv9"), SystemExit(3), ValueError("x")])
def test_a_pack_that_cannot_be_loaded_is_named_and_left_out(
    packs: Any, error: BaseException
) -> None:
    registry_found = packs(
        entry("broken", "broken", error),
        entry("toys", "toys", module(__all__=["Number"], Number=toys.Number)),
    )
    assert (
        list(registry_found.broken) == ["broken"] and str(error) in registry_found.broken["broken"]
    )
    assert "Number" in registry_found and "broken" in registry_found.unknown("Nummer").fix


def test_two_packs_with_a_node_of_one_name_have_both_under_full_names(packs: Any) -> None:
    space: dict[str, Any] = {}
    exec(NODE.format(name="Canny", result=1), space)
    mine = space["Canny"]
    registry_found = packs(entry("mine", "mine", module("mypack", __all__=["Canny"], Canny=mine)))
    assert (
        registry_found["mypack.Canny"] is mine
        and registry_found["sdgraph.Canny"] is sdgraph.nodes.Canny
    )
    assert "Canny" not in registry_found and registry_found.get("Canny") is None
    assert {"mypack.Canny", "sdgraph.Canny"} <= set(registry_found) and len(registry_found) == len(
        list(registry_found)
    )
    assert registry_found["Resize"] is registry_found["sdgraph.Resize"]
    problem = str(registry_found.unknown("Canny"))
    assert "mypack and sdgraph both offer" in problem
    assert "mypack.Canny or sdgraph.Canny" in problem


def test_a_pack_with_two_nodes_of_one_name_is_left_out(packs: Any) -> None:
    space: dict[str, Any] = {"__name__": "elsewhere"}
    exec(NODE.format(name="Number", result=1), space)
    one = entry("a", "a", module("pack", __all__=["Number"], Number=toys.Number))
    two = entry("b", "b", module("pack", __all__=["Number"], Number=space["Number"]))
    registry_found = packs(one, two)
    assert (
        registry_found["Number"] is toys.Number
        and "the node type Number, which" in registry_found.broken["b"]
    )


def test_a_pack_may_name_the_modules_of_its_nodes_and_have_them_imported_when_used(
    packs: Any,
) -> None:
    registry_found = packs(
        entry("a", "a", module("pack", NODE_MODULES={"Add": "tests.support.toys"}))
    )
    assert registry_found["pack.Add"] is registry_found["Add"] is toys.Add


def test_an_unknown_type_suggests_the_nearest() -> None:
    assert toys.REGISTRY.unknown("nummber").fix == "did you mean 'Number'?"
    assert toys.REGISTRY.unknown("zzz").fix == "`sdgraph nodes` lists the types"


def test_a_file_of_ones_own_adds_its_nodes(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(NODE.format(name="Mine", result=4))
    registry_found = toys.REGISTRY.with_file(path)
    assert registry_found["Mine"]().run() == 4 and "Mine" not in toys.REGISTRY
    assert registry_found.with_file(path)["Mine"] is registry_found["Mine"]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("class", "SyntaxError"),
        ("1 / 0", "ZeroDivisionError"),
        ("import nothing_of_this_name", "ModuleNotFoundError"),
        ("raise SystemExit('bye')", "SystemExit: bye"),
        ("x = 1", "no node class"),
        ("from sdgraph.graph import Node", "no node class"),
    ],
)
def test_a_file_that_is_no_pack_is_refused(tmp_path: Path, text: str, message: str) -> None:
    path = tmp_path / "pack.py"
    path.write_text(text)
    with pytest.raises(PackError, match=message):
        toys.REGISTRY.with_file(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(PackError, match="no such file"):
        toys.REGISTRY.with_file(tmp_path / "none.py")
    (tmp_path / "nodes.txt").write_text("")
    with pytest.raises(PackError, match=r"\.py"):
        toys.REGISTRY.with_file(tmp_path / "nodes.txt")


def test_a_module_offers_what_it_defines_and_not_what_it_imports() -> None:
    assert set(node_classes(toys)) == {cls.__name__ for cls in toys.TYPES}
    assert node_classes(module(Number=toys.Number)) == {}


def test_shipped_nodes_are_listed_with_their_module_and_imported_when_used() -> None:
    code = (
        "import sys; from sdgraph.graph import installed_registry; types = installed_registry();"
        "before = [name for name in sys.modules if name.startswith('sdgraph.nodes.')];"
        "types['Canny']; print(before, 'sdgraph.nodes.maps.canny' in sys.modules,"
        " 'sdgraph.nodes.training.vae' in sys.modules)"
    )
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    )
    assert result.stdout == "[] True False\n"
