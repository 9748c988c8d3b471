"""An exception of a node says which line of the node's own code it came from."""

from __future__ import annotations

import textwrap
from pathlib import Path
from typing import Any

import pytest

from sdgraph import NodeFailedError, Session, run
from sdgraph.errors import InvalidValueError
from sdgraph.events import Event, NodeFailed
from sdgraph.execution.error_locations import error_location
from sdgraph.graph import installed_registry
from tests.support import toys

NODES = """
import json
from sdgraph import In, Node
from helper import load

class Broken(Node[int]):
    a: In[int] = 1

    def run(self, a: int) -> int:
        return {result}
"""


def failure_of(folder: Path, result: str, on_event: Any = None) -> NodeFailedError:
    (folder / "helper.py").write_text("import json\ndef load(text):\n    return json.loads(text)\n")
    (folder / "my_nodes.py").write_text(NODES.format(result=result))
    cls = installed_registry().with_file(folder / "my_nodes.py")["Broken"]
    with pytest.raises(NodeFailedError) as caught:
        run(cls(), session=Session(device="cpu", store=None), on_event=on_event)
    return caught.value


@pytest.mark.parametrize(
    ("result", "message"),
    [
        (
            "a // 0",
            "ZeroDivisionError: integer division or modulo by zero (my_nodes.py:10, in run)",
        ),
        ("load('{')", "(helper.py:3, in load)"),
        ("json.loads('{')", "(my_nodes.py:10, in run)"),
        (
            "(_ for _ in ()).throw(AssertionError)",
            "it gave no reason (my_nodes.py:10, in <genexpr>)",
        ),
    ],
)
def test_the_line_of_the_nodes_own_file_is_in_the_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, result: str, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    events: list[Event] = []
    failure = failure_of(tmp_path, result, events.append)
    assert message in failure.message and message in failure.problems[0].found
    (event,) = (event for event in events if isinstance(event, NodeFailed))
    assert message in event.message


def test_a_problem_of_sdgraph_speaks_for_itself(tmp_path: Path) -> None:
    assert error_location(InvalidValueError("no"), toys.Fail) == ""
    assert error_location(RuntimeError("never raised"), toys.Fail) == ""


def test_code_without_a_file_is_named_by_its_cell() -> None:
    space: dict[str, Any] = {"__name__": "__main__"}
    text = textwrap.dedent(NODES.format(result="a // 0")).replace("from helper import load", "")
    exec(compile(text, "<cell 3>", "exec", dont_inherit=True), space)
    with pytest.raises(NodeFailedError, match=r"\(<cell 3>:10, in run\)"):
        run(space["Broken"](), session=Session(device="cpu", store=None))
