"""The command line remembers results, shows and prunes them, and says why a node ran."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest

from sdgraph.cli import main
from sdgraph.store import DiskStore
from tests.support.command_line import TOYS, CommandResult
from tests.support.processes import forked

FLOW = """\
inputs: {grey: 40}
nodes:
  square: {type: ToySquare, grey: $inputs.grey, size: 16}
  edges: {type: ToyEdges, image: $square}
  result: {type: ToySave, image: $edges, path: out.png}
"""
BROKEN = (
    FLOW
    + "  boom: {type: ToyBoom, image: $edges}\n  lost: {type: ToySave, image: $boom, path: l.png}\n"
)
NOTES = """\
from sdgraph.graph import Node
from sdgraph.values import Value

class Note(Value):
    content = "note"
    nbytes = 4
    def __init__(self, text):
        self.__dict__["text"] = text
    def __repr__(self):
        return "Note()"

class MakeNote(Node[Note]):
    def run(self) -> Note:
        return Note("a")
"""


class Project:
    """A folder with workflows, and the command line in it."""

    def __init__(self, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self.folder = folder
        self._capsys = capsys

    def __call__(self, *arguments: str) -> CommandResult:
        toys = [] if arguments[0] == "cache" else ["--nodes", TOYS]
        with pytest.raises(SystemExit) as ended:
            main([*arguments, *toys])
        result = self._capsys.readouterr()
        assert isinstance(ended.value.code, int)
        return CommandResult(ended.value.code, result.out, result.err)

    def ran(self, *arguments: str) -> list[str]:
        """The nodes that a run of the flow ran."""
        return re.findall(r"^(\w+) +Toy", self("run", "flow.yaml", *arguments).out, re.MULTILINE)


@pytest.fixture
def project(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Project:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NO_COLOR", "1")
    (tmp_path / "flow.yaml").write_text(FLOW)
    (tmp_path / "broken.yaml").write_text(BROKEN)
    return Project(tmp_path, capsys)


def shelf(home: Path) -> DiskStore:
    return DiskStore(home / "results")


def test_a_second_run_does_only_what_has_an_effect(project: Project) -> None:
    assert project.ran() == ["square", "edges", "result"]
    (project.folder / "out.png").unlink()
    assert project.ran() == ["result"] and (project.folder / "out.png").exists()
    assert project.ran("grey=41") == ["square", "edges", "result"]
    assert project.ran("--set", "edges.low=9") == ["edges", "result"]
    assert project.ran("--set", "square.cache=false") == ["square", "result"]
    assert project.ran("--no-cache") == ["square", "edges", "result"]


def test_without_the_cache_nothing_is_kept(project: Project, own_home: Path) -> None:
    project.ran("--no-cache")
    assert list(shelf(own_home).entries()) == [] and "0 results" in project("cache").out


def test_a_plan_says_what_is_remembered(project: Project) -> None:
    assert "remembered" not in project("plan", "flow.yaml").out
    project.ran()
    result = project("plan", "flow.yaml").out
    assert re.search(r"edges +ToyEdges +remembered", result) and "square" not in result
    assert "1 result remembered, 1 node not needed" in result
    assert "remembered" not in project("plan", "flow.yaml", "--no-cache").out


def test_a_run_explains_each_node(project: Project) -> None:
    project.ran()
    result = project("run", "flow.yaml", "--explain", "--set", "edges.low=9").out
    assert re.search(r"^square +reused +the same was computed before", result, re.MULTILINE)
    assert re.search(r"^edges +ran +its fields, files", result, re.MULTILINE)
    assert re.search(r"^result +ran +it has an effect", result, re.MULTILINE)


def test_a_run_names_the_class_whose_code_has_changed(project: Project) -> None:
    nodes = project.folder / "mine.py"
    code = (
        "import helper\nfrom sdgraph.graph import Node\n\n"
        "class One(Node[int]):\n    def run(self) -> int:\n        return helper.VALUE\n\n"
        "class Two(Node[int]):\n    by: int = 1\n\n    def run(self) -> int:\n"
        "        return self.by\n"
    )
    nodes.write_text(code)
    (project.folder / "helper.py").write_text("VALUE = 1\n")
    (project.folder / "own.yaml").write_text(
        "inputs: {by: 1}\nnodes: {one: {type: One}, two: {type: Two, by: $inputs.by}}\n"
    )

    def reasons(*arguments: str) -> list[str]:
        command = ("-m", "sdgraph", "run", "own.yaml", "--nodes", "mine.py", "--explain")
        done = forked(*command, *arguments)
        return re.findall(r"^(?:one|two) +(?:ran|reused) +(.*)", done.stdout, re.MULTILINE)

    general = "its fields, files, the code of {} (mine.py) or versions are new"
    one, two = reasons()
    assert one.startswith(general.format("One")) and two.startswith(general.format("Two"))
    (project.folder / "helper.py").write_text("VALUE = 2\n")
    changed = "the code of {} (mine.py), or of a file that it imports, has changed"
    assert reasons() == [changed.format("One"), changed.format("Two")]
    one, two = reasons("by=2")
    assert one.startswith("the same") and two.startswith(general.format("Two"))


def test_a_kind_that_no_file_can_hold_is_reported_and_explained(project: Project) -> None:
    (project.folder / "notes.py").write_text(NOTES)
    (project.folder / "notes.yaml").write_text("nodes: {note: {type: MakeNote}}\n")
    command = ("run", "notes.yaml", "--nodes", "notes.py")
    reason = "kept on disk: Note.__init__ does not call _set_fields"
    first = project(*command).out
    assert first.count(f"warning: results of MakeNote are not {reason}") == 1
    again = project(*command, "--explain").out
    assert re.search(rf"^note +ran +its results are not {reason}", again, re.MULTILINE)


def test_keep_going_tells_every_failure_and_how_to_go_on(project: Project) -> None:
    result = project("run", "broken.yaml", "--keep-going")
    assert result.code == 1 and (project.folder / "out.png").exists()
    assert "boom: RuntimeError: the toy broke" in result.err
    assert result.err.rstrip().endswith(f"sdgraph run broken.yaml --keep-going --nodes {TOYS}")
    assert re.search(r"^lost +left out: it needs boom$", result.out, re.MULTILINE)


def test_a_failure_is_explained_too(project: Project) -> None:
    result = project("run", "broken.yaml", "--keep-going", "--explain")
    assert re.search(r"^lost +left out +it needs boom, which failed *$", result.out, re.MULTILINE)


def test_the_cache_is_shown_pruned_and_cleared(project: Project, own_home: Path) -> None:
    for grey in range(4):
        project.ran(f"grey={grey}")
    result = project("cache")
    assert result.code == 0 and result.out.startswith("8 results, ")
    assert re.search(r"ToySquare +4 +[\d.]+ \w+ +\d+ s", result.out)
    for entry in shelf(own_home).entries():
        if Path(entry.path).name < "8":
            long_ago = time.time() - 40 * 86400
            os.utime(entry.path, (long_ago, long_ago))
    old = sum(Path(entry.path).name < "8" for entry in shelf(own_home).entries())
    message = project("cache", "prune", "--older", "30d").out
    assert message.startswith(f"{old} result") and len(list(shelf(own_home).entries())) == 8 - old
    assert project("cache", "prune").out.startswith("0 results removed")
    project("cache", "prune", "--to", "1kB")
    assert sum(entry.bytes for entry in shelf(own_home).entries()) <= 1000
    project("cache", "clear")
    assert list(shelf(own_home).entries()) == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [(["--older", "soon"], "30d, 12h, 90m or 2w"), (["--to", "much"], "8GB, 6.5GiB")],
)
def test_a_prune_of_nonsense_is_refused(
    project: Project, arguments: list[str], message: str
) -> None:
    result = project("cache", "prune", *arguments)
    assert result.code == 2 and message in result.err


def test_the_budget_comes_from_the_environment(
    project: Project, own_home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SDGRAPH_STORE_BYTES", "3kB")
    for grey in range(12):
        project.ran(f"grey={grey}")
    assert 0 < sum(entry.bytes for entry in shelf(own_home).entries()) <= 3000
    assert "of 3 kB" in project("cache").out
    monkeypatch.setenv("SDGRAPH_STORE_BYTES", "plenty")
    result = project("run", "flow.yaml")
    assert result.code == 2 and "SDGRAPH_STORE_BYTES" in result.err


def test_a_home_that_cannot_be_written_is_a_warning(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    (project.folder / "home").write_text("a file")
    monkeypatch.setenv("SDGRAPH_HOME", str(project.folder / "home"))
    result = project("run", "flow.yaml")
    assert result.code == 0 and result.out.count("warning: results are not kept") == 1


def test_a_damaged_record_is_a_warning(project: Project, own_home: Path) -> None:
    project.ran()
    for entry in shelf(own_home).entries():
        path = Path(entry.path)
        path.write_bytes(path.read_bytes()[:50])
    result = project("run", "flow.yaml")
    assert result.code == 0 and "warning: a remembered result is damaged" in result.out
    assert project.ran() == ["result"]


CODE = """
import sys
from sdgraph.cli import main
try:
    main(["run", "chain"])
except SystemExit as end:
    print(end.code, [name for name in ("torch", "diffusers", "networkx") if name in sys.modules])
"""


@pytest.mark.torch
def test_a_second_run_in_another_process_loads_no_model_and_no_torch(tmp_path: Path) -> None:
    def chain() -> str:
        command = [sys.executable, "-c", CODE]
        return subprocess.run(
            command, cwd=tmp_path, capture_output=True, text=True, check=True
        ).stdout

    first, pictures = chain(), {}
    assert "models loaded" in first and "0 models loaded" not in first and "torch" in first
    for path in (tmp_path / "out").iterdir():
        pictures[path] = path.read_bytes()
        path.unlink()
    second = chain()
    assert "0 models loaded" in second and second.endswith("0 []\n")
    assert {path: path.read_bytes() for path in (tmp_path / "out").iterdir()} == pictures
