"""A graph is looked up from its targets: no further than is needed, and never wrongly."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import PIL.Image
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph import Checkpoint, Graph, Session, events, run
from sdgraph.graph import In, Node, ancestry
from sdgraph.models import ModelCache
from sdgraph.nodes import LoadImage, Save
from sdgraph.provenance import read_record
from sdgraph.store import DiskStore, Store, serialization
from sdgraph.store.keys import lineage_keys
from sdgraph.store.serialization import Header
from tests.execution import test_oom_fallback
from tests.support import fake_checkpoints, strategies, toys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results"


@pytest.fixture
def headers_read(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[Header]]:
    """The headers that were read from disk."""
    headers: list[Header] = []
    read = serialization.read_header

    def reading(path: str | Path) -> Header:
        headers.append(read(path))
        return headers[-1]

    monkeypatch.setattr(serialization, "read_header", reading)
    yield headers


def ran(folder: Path, *targets: Node[object]) -> list[str]:
    """The types of the toys that ran in a session that has nothing in memory."""
    toys.ran.clear()
    Session(device="cpu", dtype="float32", store=Store(folder=folder)).run(Graph.of(*targets))
    return list(toys.ran)


def chain(first: int, length: int = 9) -> Node[int]:
    node: Node[int] = toys.Number(value=first)
    for _ in range(length):
        node = toys.Add(a=node, b=1)
    return node


def forget(folder: Path, *types: str) -> None:
    shelf = DiskStore(folder)
    for entry in list(shelf.entries()):
        header = shelf.header(entry)
        if header is not None and header.node in types:
            Path(entry.path).unlink()


@pytest.mark.usefixtures("one_file_each")
def test_of_a_remembered_target_nothing_that_it_reads_is_looked_at(
    folder: Path, headers_read: list[Header]
) -> None:
    ends = [chain(100 * n) for n in range(5)]
    ran(folder, *ends)
    headers_read.clear()
    assert ran(folder, *ends[:-1], chain(900)) == ["Number", *["Add"] * 9]
    assert len(headers_read) == 4


@pytest.mark.usefixtures("one_file_each")
def test_a_target_is_found_when_all_that_it_reads_is_forgotten(folder: Path) -> None:
    end = toys.Halve(a=chain(4))
    ran(folder, end)
    forget(folder, "Number", "Add")
    assert ran(folder, end) == []
    forget(folder, "Halve")
    assert ran(folder, end) == ["Number", *["Add"] * 9, "Halve"]


@pytest.mark.usefixtures("one_file_each")
def test_what_was_found_by_content_is_found_by_lineage_from_then_on(
    folder: Path, headers_read: list[Header]
) -> None:
    end = toys.Halve(a=toys.Add(a=toys.Number(value=4), b=1))
    same = toys.Halve(a=toys.Add(a=toys.Number(value=5)))
    ran(folder, end)
    assert ran(folder, same) == ["Number", "Add"]  # 5 = 4 + 1, found while it ran
    headers_read.clear()
    assert ran(folder, same) == [] and len(headers_read) == 1
    shutil.rmtree(folder)
    ran(folder, same, end)
    for link in folder.rglob("*.alias"):
        link.unlink()
    for look_ups in (3, 1):  # found while it was planned
        headers_read.clear()
        assert ran(folder, same) == [] and len(headers_read) == look_ups


def test_a_file_that_changed_is_seen_from_the_end_of_a_chain(folder: Path, tmp_path: Path) -> None:
    source = tmp_path / "x.txt"
    end = toys.Join(words=[toys.Join(words=[toys.Read(path=source), "y"])])
    for text, expected in (
        ("a", ["Read", "Join", "Join"]),
        ("b", ["Read", "Join", "Join"]),
        ("a", []),
    ):
        source.write_text(text)
        assert ran(folder, end) == expected
        assert run(end, session=Session(store=Store(folder=folder))) == f"{text} y"


class Source(Node[str]):
    """Where a checkpoint comes from, with its vae's first bytes."""

    checkpoint: In[Checkpoint]

    def run(self, checkpoint: Checkpoint) -> str:
        toys.ran.append("Source")
        return (Path(str(checkpoint.source)) / "vae" / fake_checkpoints.WEIGHTS).read_text(
            "latin-1"
        )[-1:]


def test_what_reads_a_trained_checkpoint_follows_its_files(folder: Path, tmp_path: Path) -> None:
    model = fake_checkpoints.checkpoint(tmp_path / "made", vae=fake_checkpoints.safetensors(b"1"))
    end = toys.Join(words=[Source(checkpoint=toys.Train(source=str(model))), "!"])
    assert ran(folder, end) == ["Train", "Source", "Join"] and ran(folder, end) == []
    (model / "vae" / fake_checkpoints.WEIGHTS).write_bytes(fake_checkpoints.safetensors(b"2"))
    assert ran(folder, end) == ["Train", "Source", "Join"]
    assert run(end, session=Session(store=Store(folder=folder))) == "2 !"


def test_what_always_runs_does_so_below_what_is_remembered(folder: Path, tmp_path: Path) -> None:
    number = toys.Number(value=4)
    end = toys.Halve(a=toys.Add(a=number, b=1))
    for _ in range(2):
        toys.ran.clear()
        Session(store=Store(folder=folder)).run(Graph.of(end, uncached=[number]))
        assert toys.ran[0] == "Number"
    assert toys.ran == ["Number"]


@pytest.mark.usefixtures("one_file_each")
@pytest.mark.parametrize("lost", [False, True], ids=["planned once", "planned anew"])
def test_what_was_made_of_something_altered_is_not_found_by_its_lineage(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, folder: Path, lost: bool
) -> None:
    monkeypatch.setattr("sdgraph.models.loading.devices.choose_device", lambda device: device)
    monkeypatch.setattr(
        "sdgraph.models.loading.devices.give_back", lambda device, collect=True: None
    )
    weights = fake_checkpoints.safetensors(b"u" * 7)
    one = Checkpoint(
        fake_checkpoints.checkpoint(
            tmp_path / "one", unet=weights, vae=fake_checkpoints.safetensors(b"v")
        )
    )
    cache = ModelCache(fake_checkpoints.Loader(), probe=lambda device: 10**6, reserve=0)
    session = Session(device="cuda", dtype="float16", models=cache, store=Store(folder=folder))
    text = toys.Text(text="text")
    run(text, session=session)
    end = toys.Join(words=[test_oom_fallback.Hungry(checkpoint=one, fails=3), text])

    def damage(event: events.Event) -> None:
        """A result lost after planning: the rest is planned again, after what can still be done."""
        if lost and isinstance(event, events.RunStarted):
            forget(folder, "Text")

    for fails, size in ((0, "small"), (99, "large"), (99, "large")):
        test_oom_fallback.tries[:] = [("", "")] * fails
        session.store = Store(folder=folder)
        graph = Graph.of(end, names={end: "end"})
        assert session.run(graph, damage) == {"end": f"{size} on cuda text"}


@settings(max_examples=25)
@given(st.data())
def test_whatever_is_forgotten_every_graph_gives_what_it_gives_alone(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.mktemp("results")
    for _ in range(data.draw(st.integers(2, 5))):
        nodes = data.draw(strategies.graphs())
        names = {node: f"n{place}" for place, node in enumerate(nodes)}
        graph = Graph.of(*nodes[-3:], names=names)
        alone = Session(device="cpu", dtype="float32", store=None).run(graph)
        for _ in range(2):
            toys.ran.clear()
            session = Session(device="cpu", dtype="float32", store=Store(folder=folder))
            assert session.run(graph) == alone
        assert toys.ran == []
        for path in sorted(folder.rglob("??/*")):
            if data.draw(st.integers(0, 3)) == 0:
                path.unlink()


def replace_node(
    nodes: Sequence[Node[Any]], old: Node[Any], new: Node[Any]
) -> dict[Any, Node[Any]]:
    """What becomes of each node where one of them is another."""
    copies = {old: new}

    def copy_value(value: Any) -> Any:
        if isinstance(value, tuple):
            return [copy_value(item) for item in value]
        return copies[value] if isinstance(value, Node) else value

    for node in nodes:
        if node not in copies:
            reads = {name: copy_value(getattr(node, name)) for name in type(node).definition.ports}
            copies[node] = node.replace(**reads)
    return copies


@given(st.data())
def test_a_lineage_changes_with_all_that_a_result_is_made_of_and_with_nothing_else(
    data: st.DataObject,
) -> None:
    nodes = list(Graph.of(*data.draw(strategies.graphs())).nodes)
    old = data.draw(st.sampled_from([node for node in nodes if not node.wires]))
    new: Node[Any] = (
        toys.Number(value=2000) if old.output is int else toys.Text(text="none of the others")
    )
    became = replace_node(nodes, old, new)
    graphs = Graph.of(*nodes), Graph.of(*became.values())
    one, other = (lineage_keys(graph, dict.fromkeys(graph.nodes, "")) for graph in graphs)
    for node in nodes:
        assert (one[node] != other[became[node]]) == (old in ancestry(node))
    around = dict.fromkeys(graphs[0].nodes, "") | {old: "elsewhere"}
    moved = lineage_keys(graphs[0], around)
    for node in nodes:
        assert (one[node] != moved[node]) == (old in ancestry(node))


@pytest.mark.parametrize("meanwhile", ["before it is read", "after it is read"])
def test_a_record_tells_of_a_file_only_what_was_read(
    folder: Path, tmp_path: Path, meanwhile: str
) -> None:
    source = tmp_path / "photo.png"
    PIL.Image.new("RGB", (8, 8), "red").save(source)
    digest = hashlib.sha256(source.read_bytes()).hexdigest()
    save = Save(image=LoadImage(path=source), path=tmp_path / "out.png")
    moment = events.RunStarted if meanwhile.startswith("before") else events.NodeFinished

    def change_file(event: events.Event) -> None:
        if isinstance(event, moment):
            PIL.Image.new("RGB", (8, 8), "blue").save(source)

    Session(store=Store(folder=folder)).run(Graph.of(save), change_file)
    expected = {} if moment is events.RunStarted else {source.name: digest}
    assert read_record(tmp_path / "out.png").sources == expected
