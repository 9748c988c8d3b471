"""Files and folders that nodes name: looked up before a run, written only where permitted."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import ClassVar

import pytest
from pydantic import Field

from sdgraph import Graph, In, Node, NodeFailedError, Session, Store, run
from sdgraph.errors import InvalidWorkflowError
from sdgraph.files import OutputFolders, atomic_write, refuse_outside
from sdgraph.graph import SourceFile, SourceFolder, TargetFile, source_files, target_files
from sdgraph.language import Workflow, load_workflow, workflow_from_yaml
from tests.support import toys

ran: list[str] = []


class WriteMany(Node[str]):
    """Writes files that its fields name in every way that a field can."""

    effect: ClassVar[bool] = True

    one: TargetFile | None = None
    more: Sequence[TargetFile] = ()
    named: Mapping[str, TargetFile] = Field(default={})
    read: Sequence[SourceFile] = ()

    def run(self) -> str:
        ran.append("WriteMany")
        for _, path in target_files(self):
            path.write_text("written")
        return "done"


class Listing(Node[str]):
    """The names of the files in a folder."""

    folder: SourceFolder

    def run(self) -> str:
        ran.append("Listing")
        return " ".join(sorted(os.listdir(self.folder)))


class Replant(Node[str]):
    """Makes a link in a place where the workflow is about to write."""

    link: str
    to: str

    def run(self) -> str:
        Path(self.link).symlink_to(self.to)
        return "ready"


class WriteAtomically(Node[str]):
    """Writes a file with the function that all nodes of sdgraph write with."""

    effect: ClassVar[bool] = True

    text: In[str]
    path: TargetFile
    link: str = ""

    def run(self, text: str) -> str:
        if self.link:  # while the node runs, after all checks of its fields
            Path(self.link).symlink_to("..")
        with atomic_write(Path(self.link or ".", self.path)) as temporary:
            temporary.write_text(text)
        return text


def permit_only(folder: Path) -> OutputFolders:
    return OutputFolders.of(("the current folder", folder))


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    ran.clear()
    return tmp_path / "here"


@pytest.mark.parametrize(
    "node",
    [
        WriteMany(one="../a"),
        WriteMany(more=["b", "../a"]),
        WriteMany(named={"x": "b", "y": "../a"}),
    ],
)
def test_every_target_of_any_node_is_checked(here: Path, node: Node[str]) -> None:
    graph = Graph.of(node, output_folders=permit_only(here))
    (problem,) = graph.check()
    assert problem.subject.startswith("write_many.") and problem.found == "../a"
    with pytest.raises(InvalidWorkflowError):
        Session(device="cpu").run(graph)
    assert ran == [] and not (here.parent / "a").exists()
    assert Graph.of(node).check() == []  # composed in Python, it writes where its author says


def test_files_in_lists_and_maps_are_found(here: Path) -> None:
    node = WriteMany(one="a", more=["b", "c"], named={"x": "d"}, read=["e"])
    found = [(name, path.name) for name, path in target_files(node)]
    assert found == [("one", "a"), ("more", "b"), ("more", "c"), ("named", "d")]
    assert [path.name for _, path in source_files(node)] == ["e"]
    paths = [path for path, _, _ in Graph.of(node).files_to_write]
    assert paths == [here / name for name in "abcd"]


def test_a_link_that_is_made_after_the_checks_is_noticed(here: Path) -> None:
    first = Replant(link="out", to="..")
    graph = Graph.of(
        WriteAtomically(text=first, path="out/a.txt"), output_folders=permit_only(here)
    )
    with pytest.raises(NodeFailedError, match=r"(?s)a path through a link to .*/a\.txt"):
        Session(device="cpu", store=None).run(graph)
    assert not (here.parent / "a.txt").exists()


def test_a_link_that_is_made_while_the_node_runs_is_noticed(here: Path) -> None:
    node = WriteAtomically(text="x", path="a.txt", link="out")
    with pytest.raises(NodeFailedError, match="a path through a link"):
        Session(device="cpu").run(Graph.of(node, output_folders=permit_only(here)))
    assert not (here.parent / "a.txt").exists()
    refuse_outside("/anywhere")  # outside of a run everything is permitted


def test_the_store_is_written_wherever_it_is(here: Path, tmp_path: Path) -> None:
    store = Store(folder=tmp_path / "results")
    graph = Graph.of(toys.Text(text="a"), output_folders=permit_only(here))
    Session(device="cpu", store=store).run(graph)
    assert store.on_disk is not None and list(store.on_disk.entries())


def test_a_workflow_that_python_loads_is_held_to_its_folders_unless_told_otherwise(
    here: Path, tmp_path: Path
) -> None:
    text = "nodes: {a: {type: Write, text: b, path: ../a.txt}}"
    (here / "w.yaml").write_text(text)
    loaders: tuple[Callable[..., Workflow], ...] = (
        partial(load_workflow, "w.yaml", registry=toys.REGISTRY),
        partial(workflow_from_yaml, text, registry=toys.REGISTRY),
    )
    for load in loaders:
        with pytest.raises(InvalidWorkflowError, match="allow_outside=True in Python"):
            run(load())
        assert not (tmp_path / "a.txt").exists()
        run(load(allow_outside=True))
        (tmp_path / "a.txt").unlink()
        run(load(allow_outside=True).with_fields({"a.cache": False}))
        (tmp_path / "a.txt").unlink()
    with pytest.raises(InvalidWorkflowError, match="the folder for output"):
        run(load_workflow("w.yaml", registry=toys.REGISTRY, out="made"))
    folder = tmp_path / "deep/down"
    folder.mkdir(parents=True)
    run(load_workflow("w.yaml", registry=toys.REGISTRY, folder=folder).with_fields({"a.path": "x"}))
    assert (folder / "x").exists()


def test_a_folder_that_is_read_must_exist(here: Path) -> None:
    (here / "photos").mkdir()
    (here / "file").touch()
    (problem,) = Graph.of(Listing(folder="photo")).check()
    assert (problem.subject, problem.found) == ("listing.folder", "photo: no such folder")
    assert problem.fix == "did you mean 'photos'?"
    (problem,) = Graph.of(Listing(folder="file")).check()
    assert problem.found == "file: a file, no folder"


def test_a_node_that_reads_a_folder_runs_again_when_a_file_in_it_changes(here: Path) -> None:
    (here / "photos").mkdir()
    (here / "photos/a").touch()
    session = Session(device="cpu")
    node = Listing(folder="photos")
    assert run(node, session=session) == run(node, session=session) == "a"
    assert ran == ["Listing"]
    (here / "photos/b").touch()
    assert run(node, session=session) == "a b"
    (here / "photos/b").write_text("longer")
    run(node, session=session)
    assert ran == ["Listing"] * 3


def test_folders_are_compared_when_links_are_followed(here: Path) -> None:
    (here / "real").mkdir()
    (here / "link").symlink_to("real")
    (here / "away").symlink_to(here.parent)
    folders = permit_only(here / "link")
    paths = ("real/a", "link/a", "link", "link/x/../a", "real2/a", "a", "link/../a", "away/a")
    assert [folders.permit(here / path) for path in paths] == [True] * 4 + [False] * 4
    known: dict[str, str] = {}
    assert [folders.permit(here / path, known) for path in paths] == [True] * 4 + [False] * 4
    assert permit_only(Path("/")).permit(Path("/any/thing"))


def test_a_write_outside_names_the_folders_that_are_allowed(here: Path) -> None:
    problem = permit_only(here).problem("a.path", Path("/b"))
    assert problem.found == "/b"
    assert problem.wanted == f"a path in the current folder ({here})"
    assert "--allow-outside" in problem.fix
