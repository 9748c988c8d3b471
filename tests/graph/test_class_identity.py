"""Results are remembered by pack, type and version, and by the code of what is not installed."""

from __future__ import annotations

import linecache
import sys
from pathlib import Path
from types import ModuleType
from typing import Any
from weakref import WeakValueDictionary

import pytest

from sdgraph.errors import NodeDefinitionError
from sdgraph.graph import Node, class_identity
from sdgraph.nodes import Resize
from tests.support import toys
from tests.support.processes import forked, python

NODE = """
from sdgraph.graph import In, Node

class Twice(Node[int]):
    a: In[int]

    def run(self, a: int) -> int:
        return {result}
"""


def tag(cls: Any) -> str:
    return str(cls.definition.identity.tag)


def node_from_file(path: Path, text: str, name: str = "") -> Any:
    """The node class Twice of a file that was written just now."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    module = ModuleType(name or f"own_{path.stem}")
    module.__file__ = str(path)
    sys.modules[module.__name__] = module
    exec(compile(text, path, "exec", dont_inherit=True), vars(module))
    del sys.modules[module.__name__]
    return module.Twice


def test_a_shipped_node_is_known_by_pack_name_and_version() -> None:
    assert tag(Resize) == "sdgraph:Resize:1"
    assert Resize.definition.identity.pack == "sdgraph"


def test_a_shipped_node_that_moves_to_another_file_keeps_its_key() -> None:
    source = Path(sys.modules[Resize.__module__].__file__ or "")
    moved = python(
        "import sys, types\n"
        "import sdgraph.nodes, sdgraph.nodes.image\n"
        "name = 'sdgraph.nodes.elsewhere.sizes'\n"
        "sys.modules[name] = module = types.ModuleType(name)\n"
        "module.__package__ = 'sdgraph.nodes.image'\n"
        f"module.__file__ = {str(source.parent / 'sizes.py')!r}\n"
        f"text = open({str(source)!r}).read()\n"
        "exec(compile(text, module.__file__, 'exec'), vars(module))\n"
        "node = module.Resize(image=module.Crop(image=sdgraph.nodes.LoadImage(path='a.png'),"
        " width=5), width=3, height=4)\n"
        "print(type(node).__module__, node.identity.hex())"
    )
    before = python(
        "from sdgraph.nodes import Crop, LoadImage, Resize\n"
        "node = Resize(image=Crop(image=LoadImage(path='a.png'), width=5), width=3, height=4)\n"
        "print(type(node).__module__, node.identity.hex())"
    )
    assert moved.split()[0] != before.split()[0] and moved.split()[1] == before.split()[1]


def test_an_installed_pack_is_known_by_its_name_wherever_its_node_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, text = tmp_path / "site-packages" / "pack", NODE.format(result="2 * a")
    first = node_from_file(folder / "one.py", text, "pack.one")
    first_tag, identity = tag(first), first(a=1).identity
    monkeypatch.setattr(class_identity, "_claimed", WeakValueDictionary())  # as in a new process
    moved = node_from_file(folder / "deep" / "two.py", text + "\n# and more", "pack.deep.two")
    assert first_tag == tag(moved) == "pack:Twice:1" and moved(a=1).identity == identity


def test_two_nodes_of_one_name_in_one_pack_are_refused(tmp_path: Path) -> None:
    folder, text = tmp_path / "site-packages" / "pack", NODE.format(result="2 * a")
    first = node_from_file(folder / "one.py", text, "pack.one")
    with pytest.raises(NodeDefinitionError, match=r"two node classes named Twice.*one.*other"):
        node_from_file(folder / "other.py", text, "pack.other")
    assert first is not None


def test_a_node_of_ones_own_changes_with_its_file_and_not_with_its_place(tmp_path: Path) -> None:
    text = NODE.format(result="2 * a")
    first = tag(node_from_file(tmp_path / "a.py", text))
    assert first == tag(node_from_file(tmp_path / "b" / "moved.py", text))
    assert first != tag(node_from_file(tmp_path / "a.py", NODE.format(result="3 * a")))
    assert first != tag(node_from_file(tmp_path / "a.py", text + "# changed"))


def test_a_neighbour_that_its_file_imports_counts(tmp_path: Path) -> None:
    text = "import math, helper\n" + NODE.format(result="helper.twice(a)")
    sys.modules["helper"] = ModuleType("helper")
    try:
        tags = []
        for inner in ("1", "2"):
            (tmp_path / "helper.py").write_text("def twice(a):\n    from inner import x\n")
            (tmp_path / "inner.py").write_text(f"x = {inner}\n")
            tags.append(tag(node_from_file(tmp_path / "a.py", text)))
    finally:
        del sys.modules["helper"]
    assert tags[0] != tags[1]


def node_from_text(text: str) -> Any:
    space: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(text, "<string>", "exec", dont_inherit=True), space)
    return space["Twice"]


def test_a_class_without_a_file_is_known_by_its_code() -> None:
    first, again = (node_from_text(NODE.format(result="2 * a")) for _ in range(2))
    assert tag(first) == tag(again) and first.definition.identity.remembered
    assert tag(first) != tag(node_from_text(NODE.format(result="3 * a")))


def test_a_function_or_constant_that_such_a_class_uses_counts() -> None:
    text = "by = {by}\ndef times(a): return a * by\n" + NODE.format(result="times(a)")
    assert tag(node_from_text(text.format(by=2))) == tag(node_from_text(text.format(by=2)))
    assert tag(node_from_text(text.format(by=2))) != tag(node_from_text(text.format(by=3)))


@pytest.mark.parametrize("option", ["-c", "-"])
def test_two_scripts_without_a_file_do_not_share_results(tmp_path: Path, option: str) -> None:
    def answer(result: str) -> str:
        text = NODE.format(result=result)
        text += "\nfrom sdgraph import run, Session, Store\n"
        text += f"print(run(Twice(a=5), session=Session(store=Store(folder={str(tmp_path)!r}))))\n"
        done = forked("-c", text) if option == "-c" else forked("-", stdin=text)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert [answer("2 * a"), answer("3 * a"), answer("2 * a")] == ["10", "15", "10"]


def test_a_cell_of_a_notebook_that_is_run_again_with_other_code_is_another_class() -> None:
    tags = []
    for number, result in enumerate(("2 * a", "3 * a", "2 * a")):
        name, text = f"<cell {number}>", NODE.format(result=result)
        linecache.cache[name] = (len(text), None, text.splitlines(True), name)
        space: dict[str, Any] = {"__name__": "__main__"}
        exec(compile(text, name, "exec", dont_inherit=True), space)
        tags.append(tag(space["Twice"]))
    assert tags[0] == tags[2] != tags[1]


def test_what_a_class_has_from_the_function_around_it_counts() -> None:
    def define(by: Any) -> Any:
        class Times(Node[int]):
            """A number times another."""

            a: int = 1

            def run(self) -> int:
                return int(self.a * by)

        return Times

    assert tag(define(2)) == tag(define(2)) != tag(define(3))
    unknown = define([2])
    assert not unknown.definition.identity.remembered
    assert tag(unknown) != tag(define([2])), "nothing that tells two lists apart"


def test_a_base_class_of_ones_own_counts(tmp_path: Path) -> None:
    base = NODE.format(result="2 * a")

    def tag_of_subclass(text: str) -> str:
        of = node_from_file(tmp_path / "base.py", text)
        space: dict[str, Any] = {"Base": of, "__name__": "__main__"}
        exec("class Twice(Base):\n    def extra(self) -> None: ...", space)
        return tag(space["Twice"])

    assert (
        tag_of_subclass(base)
        == tag_of_subclass(base)
        != tag_of_subclass(NODE.format(result="3 * a"))
    )


def test_the_toys_are_known_by_their_file() -> None:
    assert toys.Add.definition.identity.pack == "tests"
    assert tag(toys.Add).startswith(":Add:1:") and toys.Add.definition.identity.remembered
