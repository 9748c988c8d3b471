"""Nodes write to temporary paths; the rule for files that are there already is the engine's."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pydantic import Field

from sdgraph import Graph, NodeFailedError, Session, events, run
from sdgraph.errors import InvalidWorkflowError, NodeDefinitionError
from sdgraph.graph import ExistingFile, In, Node, Registry, TargetFile, TargetFolder
from sdgraph.language import workflow_from_yaml
from tests.support import toys


class WriteText(Node[Path]):
    """A text in a file."""

    effect: ClassVar[bool] = True

    text: In[str] = Field(description="the text")
    path: TargetFile = Field(description="the file")
    existing: ExistingFile = "number"

    def run(self, text: str) -> Path:
        Path(self.path).write_text(text)
        return Path(self.path)


class WriteTwo(Node[str]):
    """A text in two files; it returns the path of the first as text."""

    effect: ClassVar[bool] = True

    text: str
    path: TargetFile
    copies: list[TargetFile] = Field(default_factory=list)
    log: TargetFile | None = None

    def run(self) -> str:
        for path in (self.path, *self.copies, self.log):
            if path is not None:
                Path(path).write_text(self.text)
        return str(self.path)


class WriteFolder(Node[Path]):
    """Counts its runs in a folder."""

    effect: ClassVar[bool] = True

    folder: TargetFolder

    def run(self) -> Path:
        folder = Path(self.folder)
        folder.mkdir(exist_ok=True)
        (folder / str(len(list(folder.iterdir())))).touch()
        return folder


class WriteAndFail(WriteText):
    """Fails when the file is written."""

    error: str = "as asked"

    def run(self, text: str) -> Path:
        super().run(text)
        raise OSError(28, "No space left on device") if self.error == "full" else ValueError("no")


def session() -> Session:
    return Session(device="cpu", store=None)


def test_a_node_whose_fields_changed_gets_another_file(tmp_path: Path) -> None:
    path, here = tmp_path / "new" / "a.txt", session()
    written: list[events.Event] = []
    for text, name in (("one", "a.txt"), ("two", "a_0002.txt"), ("one", "a.txt")):
        value = run(WriteText(text=text, path=path), session=here, on_event=written.append)
        assert value == path.with_name(name) and value.read_text() == text
    files = [event.file for event in written if isinstance(event, events.NodeFinished)]
    assert files == [str(path.with_name(name)) for name in ("a.txt", "a_0002.txt", "a.txt")]


def test_a_node_that_knows_nothing_of_the_rule_follows_it(tmp_path: Path) -> None:
    for text in ("one", "two"):
        run(toys.Write(text=text, path=tmp_path / "a.txt"), session=session())
    assert (tmp_path / "a.txt").read_text() == "one"
    assert run(toys.Write(text="x", path=tmp_path / "a.txt"), session=session(), overwrite=True)
    assert (tmp_path / "a.txt").read_text() == "x"


def test_replace_and_refuse(tmp_path: Path) -> None:
    path = tmp_path / "a.txt"
    node = WriteText(text="one", path=path, existing="refuse")
    assert run(node, session=session()) == path
    for use in (session().run, session().plan):
        with pytest.raises(InvalidWorkflowError, match=r"write_text.path\n.*exists already"):
            use(Graph.of(node))
    assert run(node.replace(text="two"), session=session(), overwrite=True) == path
    assert run(node.replace(text="three", existing="replace"), session=session()) == path
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "three")]


def test_refusing_costs_no_work(tmp_path: Path) -> None:
    (tmp_path / "a.txt").touch()
    toys.ran.clear()
    node = WriteText(text=toys.Text(text="x"), path=tmp_path / "a.txt", existing="refuse")
    with pytest.raises(InvalidWorkflowError):
        run(node, session=session())
    assert toys.ran == []


def test_the_field_is_no_part_of_a_nodes_identity(tmp_path: Path) -> None:
    node = WriteText(text="one", path=tmp_path / "a.txt")
    other = node.replace(existing="replace")
    assert other == node and other.identity == node.identity and other.existing == "replace"
    assert other.non_default_fields()["existing"] == "replace"


def test_a_field_of_that_name_has_that_meaning() -> None:
    with pytest.raises(NodeDefinitionError, match=r"Odd.existing\n.*another kind\n.*ExistingFile"):

        class Odd(Node[Path]):
            path: TargetFile
            existing: bool = False

            def run(self) -> Path:
                return Path(self.path)

    class Fine(Node[int]):
        existing: bool = False

        def run(self) -> int:
            return int(self.existing)

    assert Fine(existing=True) != Fine()


def test_every_file_of_a_node_follows_the_rule(tmp_path: Path) -> None:
    def write(text: str) -> str:
        copies: list[str | Path] = [tmp_path / "copy.txt", tmp_path / "more.txt"]
        node = WriteTwo(text=text, path=tmp_path / "a.txt", copies=copies)
        return run(node, session=session())

    assert write("one") == str(tmp_path / "a.txt")
    (tmp_path / "more.txt").unlink()
    assert write("two") == str(tmp_path / "a_0002.txt")
    assert {path.name: path.read_text() for path in tmp_path.iterdir()} == {
        "a.txt": "one",
        "a_0002.txt": "two",
        "copy.txt": "one",
        "copy_0002.txt": "two",
        "more.txt": "two",
    }


def test_a_folder_is_the_nodes_own(tmp_path: Path) -> None:
    for _ in range(2):
        assert run(WriteFolder(folder=tmp_path / "f"), session=session()) == tmp_path / "f"
    assert sorted(path.name for path in tmp_path.rglob("*")) == ["0", "1", "f"]


@pytest.mark.parametrize(("error", "words"), [("full", "a full disk"), ("", "ValueError: no")])
def test_a_node_that_fails_leaves_the_old_file_and_nothing_else(
    tmp_path: Path, error: str, words: str
) -> None:
    (tmp_path / "a.txt").write_text("old")
    node = WriteAndFail(text="new", path=tmp_path / "a.txt", existing="replace", error=error)
    with pytest.raises(NodeFailedError, match=words) as caught:
        run(node, session=session())
    assert ".sdgraph-" not in str(caught.value)
    assert [(p.name, p.read_text()) for p in tmp_path.iterdir()] == [("a.txt", "old")]


def test_threads_of_one_session_lose_nothing(tmp_path: Path) -> None:
    here = session()

    def write(number: int) -> Path:
        return run(WriteText(text=str(number), path=tmp_path / "a.txt"), session=here)

    with ThreadPoolExecutor(8) as pool:
        paths = list(pool.map(write, range(40)))
    assert [path.read_text() for path in paths] == [str(number) for number in range(40)]
    assert len(set(paths)) == 40 == len(list(tmp_path.iterdir()))


FLOW = """\
inputs: {text: one, existing: number}
nodes:
  text: {type: Text, text: $inputs.text}
  copy: {type: WriteText, text: $text, path: a_0002.txt}
  save: {type: WriteText, text: $text, path: a.txt, existing: $inputs.existing}
"""


def test_a_workflow_says_what_happens_to_files(tmp_path: Path) -> None:
    registry = Registry({**{kind.__name__: kind for kind in toys.TYPES}, "WriteText": WriteText})
    workflow = workflow_from_yaml(FLOW, registry=registry, folder=tmp_path)

    def names(**inputs: Any) -> list[str]:
        values = run(workflow, session=session(), **inputs)
        return [values[name].name for name in ("save", "copy")]

    assert names() == ["a.txt", "a_0002.txt"]
    # The second file of `save` does not take the name of the file of `copy`.
    assert names(text="two") == ["a_0003.txt", "a_0002_0002.txt"]
    assert names(text="two", existing="replace") == ["a.txt", "a_0002_0002.txt"]
    with pytest.raises(InvalidWorkflowError, match="one of 'number', 'replace' or 'refuse'"):
        workflow.graph(existing="keep")


def test_two_rules_for_one_file_are_a_problem(tmp_path: Path) -> None:
    registry = Registry({"WriteText": WriteText})
    flow = (
        "nodes:\n  one: {type: WriteText, text: x, path: a.txt}\n"
        "  two: {type: WriteText, text: x, path: a.txt, existing: refuse}\n"
    )
    with pytest.raises(
        InvalidWorkflowError, match=r":3:.*two.existing\n.*one writes the same file"
    ):
        workflow_from_yaml(flow, registry=registry, folder=tmp_path).graph()
