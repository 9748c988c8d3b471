"""What a class uses besides its own code counts in its keys as it is when a graph is run."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from sdgraph import Session, Store, run
from tests.support.processes import forked

NODE = """
from sdgraph import In, Node

class Twice(Node[int]):
    a: In[int] = 5

    def run(self, a: int) -> int:
        return {result}
"""

Cell = Callable[[str], None]


@pytest.fixture
def notebook() -> tuple[Cell, Callable[[], Any]]:
    """A function that runs a cell of a notebook, and one that runs its node `Twice`."""
    space: dict[str, Any] = {"__name__": "__main__"}
    session = Session(device="cpu", store=Store())

    def cell(text: str) -> None:
        exec(compile(text, "<cell>", "exec", dont_inherit=True), space)

    def answer() -> Any:
        return run(space["Twice"](), session=session)

    return cell, answer


@pytest.mark.parametrize(
    ("before", "result", "after"),
    [
        ("def by(a): return 2 * a", "by(a)", "def by(a): return 3 * a"),
        ("K = 2", "K * a", "K = 3"),
        ("K = [2]", "K[0] * a", "K = [3]"),
        ("K = [2]", "K[0] * a", "K[0] = 3"),
        ("K = {'by': 2}", "K['by'] * a", "K['by'] = 3"),
        ("K = 2\ndef by(a): return K * a", "by(a)", "K = 3"),
        ("class K:\n    by = 2", "K.by * a", "class K:\n    by = 3"),
        (
            "class K:\n    def by(self, a): return 2 * a",
            "K().by(a)",
            "class K:\n    def by(self, a): return 3 * a",
        ),
        (
            "class K: pass\nk = K()\nk.by = 2",
            "k.by * a",
            "k.by = 3",
        ),
        ("by = lambda a: 2 * a", "by(a)", "by = lambda a: 3 * a"),
        (
            "from functools import lru_cache\n@lru_cache\ndef by(a): return 2 * a",
            "by(a)",
            "@lru_cache\ndef by(a): return 3 * a",
        ),
        (
            "from functools import partial\ndef times(k, a): return k * a\nby = partial(times, 2)",
            "by(a)",
            "by = partial(times, 3)",
        ),
        ("import numpy as np\nK = np.array([2])", "int(K[0]) * a", "K = np.array([3])"),
        (
            "def make(k):\n    def by(a): return k * a\n    return by\nby = make(2)",
            "by(a)",
            "by = make(3)",
        ),
        ("def by(a, k=2): return k * a", "by(a)", "def by(a, k=3): return k * a"),
        ("class K:\n    pass\nk = object()\nK.by = 2", "K.by * a if k else 0", "K.by = 3"),
    ],
)
def test_what_changes_in_another_cell_is_another_result(
    notebook: tuple[Cell, Callable[[], Any]], before: str, result: str, after: str
) -> None:
    cell, answer = notebook
    cell(before)
    cell(NODE.format(result=result))
    assert answer() == answer() == 10
    cell(after)
    assert answer() == 15


@pytest.mark.parametrize(
    ("before", "record"),
    [
        ("ran = []", "ran.append(a)"),
        ("ran = []", "ran.extend([a])"),
        ("ran = {}", "ran[a] = ran.get(a, 0) + 1"),
        ("ran = {5: 0}", "ran[a] += 1"),
        ("ran = set()", "ran.add(a)"),
        ("import logging\nran = logging.getLogger('x')", "ran.debug(a)"),
        ("ran = 0", "globals()"),
    ],
)
def test_a_log_that_the_node_writes_is_no_input(before: str, record: str) -> None:
    space: dict[str, Any] = {"__name__": "__main__"}
    text = NODE.format(result="2 * a").replace(
        "return", f"global count; count += 1; {record}\n        return"
    )
    exec(compile(f"count = 0\n{before}\n{text}", "<cell>", "exec", dont_inherit=True), space)
    session = Session(device="cpu", store=Store())
    assert [run(space["Twice"](), session=session) for _ in range(3)] == [10, 10, 10]
    assert space["count"] == 1


def test_a_kind_of_node_that_is_first_written_in_a_notebook_is_remembered_too() -> None:
    space: dict[str, Any] = {"__name__": "__main__"}
    text = """
from sdgraph import Node
class Name(str):
    content = "name"
class Say(Node[Name]):
    def run(self) -> Name:
        ran.append(1)
        return Name("a")
ran = []
"""
    exec(compile(text, "<cell>", "exec", dont_inherit=True), space)
    assert space["Say"].__mro__[1].__name__ == "Node[Name]"
    assert space["Say"].definition.identity.remembered


def test_a_class_without_a_file_that_uses_something_unknown_is_not_remembered() -> None:
    space: dict[str, Any] = {"__name__": "__main__"}
    text = "import io\nK = io.StringIO('2')\nran = []\n" + NODE.format(
        result="(ran.append(a), int(K.getvalue()) * a)[1]"
    )
    exec(compile(text, "<cell>", "exec", dont_inherit=True), space)
    session = Session(device="cpu", store=Store())
    for expected in (10, 15):
        space["K"] = type(space["K"])(str(expected // 5))
        assert run(space["Twice"](), session=session) == expected
    assert space["ran"] == [5, 5]


TYPE_CALL = """
from sdgraph import Node
fields = {"run": lambda self: VALUE * 5, "__doc__": "Five times.", "__module__": "__main__"}
Twice = type("Twice", (Node[int],), fields)
"""


@pytest.mark.parametrize(
    "text",
    [
        "K = [VALUE]\n" + NODE.format(result="K[0] * a"),
        "from helper import by\n" + NODE.format(result="by(a)"),
        NODE.format(result="helper.K * a").replace("return", "import helper\n        return"),
        TYPE_CALL,
    ],
    ids=["list", "import", "import in run", "type()"],
)
def test_two_scripts_without_a_file_do_not_share_results(tmp_path: Path, text: str) -> None:
    def answer(value: int) -> str:
        helper = tmp_path / "helper.py"
        helper.write_text(f"K = {value}\ndef by(a):\n    return {value} * a\n")
        os.utime(helper, (value, value))  # or Python may take its bytecode of the same second
        script = text.replace("VALUE", str(value)) + (
            "\nfrom sdgraph import run, Session, Store\n"
            "session = Session(device='cpu', store=Store(folder='store'))\n"
            "print(run(Twice(), session=session))\n"
        )
        done = forked("-", cwd=tmp_path, stdin=script)
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    assert [answer(2), answer(3)] == ["10", "15"]
