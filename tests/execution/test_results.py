"""Across processes nothing is computed twice, nothing wrong is reused, failures lose little."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from sdgraph import (
    Checkpoint,
    Graph,
    InvalidWorkflowError,
    NodeFailedError,
    Session,
    events,
    run,
    to_yaml,
)
from sdgraph.cli.explain import RunExplainer
from sdgraph.errors import NodesFailedError
from sdgraph.execution.event_emitter import EventEmitter
from sdgraph.execution.results import Results
from sdgraph.graph import Node, Registry
from sdgraph.language import workflow_from_yaml
from sdgraph.language.writer import graph_to_yaml
from sdgraph.models import ModelCache
from sdgraph.store import Store
from tests.support import fake_checkpoints, toys


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path / "results"


def new_session(folder: Path) -> Session:
    """A session as another process would have it: nothing in memory, one node after another."""
    return Session(device="cpu", dtype="float32", store=Store(folder=folder), threads=1)


def run_noting(
    session: Session, *targets: Node[Any], **names: Any
) -> tuple[list[str], list[events.Event]]:
    """The types of the toys that ran, and the events."""
    toys.ran.clear()
    event_log: list[events.Event] = []
    session.run(Graph.of(*targets, **names), event_log.append)
    return list(toys.ran), event_log


def add(value: int, offset: int = 0) -> Node[int]:
    return toys.Halve(a=toys.Add(a=toys.Number(value=value), b=1, offset=offset))


def test_another_process_reuses_what_was_made(folder: Path) -> None:
    assert run_noting(new_session(folder), add(4))[0] == ["Number", "Add", "Halve"]
    ran, event_log = run_noting(new_session(folder), add(4))
    assert ran == [] and [event.kind for event in event_log] == [
        "run_started",
        "reused",
        "run_finished",
    ]
    assert run(add(4), session=new_session(folder)) == 2


def test_what_gives_the_same_stops_the_recomputation_there(folder: Path) -> None:
    target = toys.Text(text="x")
    readers = toys.Join(words=[target, toys.Join(words=["a", "b"])])
    run_noting(new_session(folder), readers)
    changed = toys.Text(text="", tags=["x"])  # the same text, made in another way
    again = toys.Join(words=[changed, toys.Join(words=["a", "b"])])
    assert run_noting(new_session(folder), again)[0] == ["Text"]
    other = toys.Join(words=[toys.Text(text="y"), toys.Join(words=["a", "b"])])
    assert run_noting(new_session(folder), other)[0] == ["Text", "Join"]


def test_an_effect_always_runs_and_what_it_reads_does_not(folder: Path, tmp_path: Path) -> None:
    save = toys.Write(text=toys.Text(text="x"), path=tmp_path / "x.txt")
    run_noting(new_session(folder), save)
    (tmp_path / "x.txt").unlink()
    assert (
        run_noting(new_session(folder), save)[0] == ["Write"]
        and (tmp_path / "x.txt").read_text() == "x"
    )


def test_one_changed_leaf_of_a_thousand_nodes_runs_its_descendants_alone(folder: Path) -> None:
    def chains(first: int) -> Node[int]:
        ends: list[int | Node[int]] = []
        for chain in range(100):
            node: Node[int] = toys.Number(value=10_000 * (chain or first))
            for _ in range(9):
                node = toys.Add(a=node, b=1)
            ends.append(node)
        return toys.Sum(terms=ends)

    assert len(run_noting(new_session(folder), chains(0))[0]) == 1001
    assert run_noting(new_session(folder), chains(200))[0] == ["Number", *["Add"] * 9, "Sum"]


def record(folder: Path, content: str) -> Path:
    shelf = Store(folder=folder).on_disk
    assert shelf is not None
    (path,) = (
        entry.path
        for entry in shelf.entries()
        if getattr(shelf.header(entry), "node", "") == content
    )
    return Path(path)


@pytest.mark.usefixtures("one_file_each")
@pytest.mark.parametrize("damage", ["flipped", "gone"])
def test_a_lost_result_is_computed_again_and_reported(
    folder: Path, damage: str, tmp_path: Path
) -> None:
    save = toys.Write(text=toys.Join(words=[toys.Text(text="x"), "y"]), path=tmp_path / "x.txt")
    other = toys.Write(text=toys.Text(text="z"), path=tmp_path / "z.txt")
    run_noting(new_session(folder), save, other)
    session = new_session(folder)
    path = record(folder, "Join")
    contents = path.read_bytes()
    damaged: list[str] = []

    def once_planned(event: events.Event) -> None:
        """Damages a file after the run was planned, so that the plan cannot know it."""
        if isinstance(event, events.RunStarted):
            path.unlink() if damage == "gone" else path.write_bytes(
                contents.replace(b'x y\\"', b'x z\\"')
            )
        damaged.append(event.kind)

    toys.ran.clear()
    session.run(Graph.of(save, other), once_planned)
    assert toys.ran == ["Write", "Join", "Write"]  # the other's once, the text from the disk
    assert damaged.count("warned") == 1 and damaged.count("run_started") == 1
    assert damaged.count("node_finished") == 3 and (tmp_path / "x.txt").read_text() == "x y"
    assert run_noting(new_session(folder), save)[0] == ["Write"]


@pytest.mark.usefixtures("one_file_each")
def test_a_result_that_is_lost_with_all_it_reads_is_made_from_the_start(folder: Path) -> None:
    run_noting(new_session(folder), add(4))
    session = new_session(folder)
    for path in folder.rglob("*.safetensors"):
        path.write_bytes(path.read_bytes()[:-1] + b"\0")
    assert run_noting(session, add(4))[0] == ["Number", "Add", "Halve"]


def test_uncached_nodes_always_run_and_are_never_kept(folder: Path) -> None:
    number = toys.Number(value=4)
    add = toys.Add(a=number, b=1)
    for _ in range(2):
        assert run_noting(new_session(folder), add, uncached=[number])[0][0] == "Number"
    session = new_session(folder)
    assert run_noting(session, add, uncached=[number])[0] == ["Number"]  # its sum is remembered
    assert run_noting(session, add, uncached=[number])[0] == ["Number"]
    assert run_noting(new_session(folder), number)[0] == ["Number"]
    assert run(number, session=session, uncached=[number]) == 4 and toys.ran[-1] == "Number"


FLOW = """\
nodes:
  one: {type: Number, value: 4, cache: false}
  two: {type: Add, a: $one, b: 1}
"""


def test_a_file_says_cache_false(folder: Path) -> None:
    flow = workflow_from_yaml(FLOW, registry=toys.REGISTRY)
    graph = flow.graph()
    assert [graph.names[node] for node in graph.uncached] == ["one"]
    for _ in range(2):
        toys.ran.clear()
        new_session(folder).run(flow.graph())
    assert toys.ran == ["Number"]
    again = workflow_from_yaml(graph_to_yaml(graph), registry=toys.REGISTRY)
    assert again.graph().uncached == graph.uncached
    assert "cache: false" in flow.to_yaml() and "cache" not in to_yaml(*graph.targets)
    cached = flow.with_fields({"one.cache": True, "two.cache": False}).graph()
    assert [cached.names[node] for node in cached.uncached] == ["two"]
    assert [cached.names[node] for node in cached.pinned] == ["one"]


def test_a_sub_workflow_that_says_so_runs_every_time(tmp_path: Path) -> None:
    (tmp_path / "inner.yaml").write_text(FLOW.replace(", cache: false", ""))
    outer = "nodes: {sub: {type: Workflow, path: inner.yaml, cache: false}, "
    outer += "three: {type: Add, a: $sub}}"
    graph = workflow_from_yaml(outer, registry=toys.REGISTRY, folder=tmp_path).graph()
    assert sorted(graph.names[node] for node in graph.uncached) == ["sub/one", "sub/two"]


def test_cache_true_pins_a_result_and_false_outside_outweighs_it(tmp_path: Path) -> None:
    inner = FLOW.replace("cache: false", "cache: true")
    flow = workflow_from_yaml(inner, registry=toys.REGISTRY)
    graph = flow.graph()
    assert [graph.names[node] for node in graph.pinned] == ["one"] and not graph.uncached
    assert "cache: true" in flow.to_yaml() and "cache: true" in graph_to_yaml(graph)
    assert graph.subgraph(*graph.targets).pinned == graph.pinned
    (tmp_path / "inner.yaml").write_text(inner)
    for cache, pinned, uncached in (("true", 2, 0), ("false", 0, 2)):
        outer = f"nodes: {{sub: {{type: Workflow, path: inner.yaml, cache: {cache}}}}}"
        graph = workflow_from_yaml(outer, registry=toys.REGISTRY, folder=tmp_path).graph()
        assert (len(graph.pinned), len(graph.uncached)) == (pinned, uncached)


def test_equal_nodes_of_which_one_says_cache_false_run_every_time() -> None:
    nodes = "a: {type: Number, value: 3, cache: true}, b: {type: Number, value: 3, cache: false}"
    flow = workflow_from_yaml(
        f"nodes: {{{nodes}, c: {{type: Add, a: $a, b: $b}}}}", registry=toys.REGISTRY
    )
    graph = flow.graph()
    assert len(graph.uncached) == 1 and "cache: false" in graph_to_yaml(graph)


def test_a_key_is_made_of_the_value_that_a_node_has_made_since_the_run_was_planned_again() -> None:
    number = toys.Number(value=3)
    store = Store()
    plan = Session(store=store, device="cpu").plan(Graph.of(toys.Add(a=number, b=1)))
    results = Results(store, EventEmitter(None))
    keys = []
    for value in (3, 4):
        results.values[number] = value
        keys.append(results.look_up(plan.steps[1], plan))
        results.take_known()
    assert None not in keys and keys[0] != keys[1]


def test_cache_is_true_or_false_and_nothing_else() -> None:
    with pytest.raises(
        InvalidWorkflowError, match="false for a node that runs every time"
    ) as caught:
        workflow_from_yaml(FLOW.replace("false", "never"), registry=toys.REGISTRY)
    (problem,) = caught.value.problems
    assert problem.subject == "one.cache" and problem.at is not None and problem.at.line == 2


def failing() -> Graph:
    one = toys.Number(value=1)
    lost = toys.Add(a=toys.Fail(a=one), b=1)
    names = {lost: "lost", toys.Fail(a=one): "broken"}
    targets = (toys.Halve(a=lost), toys.Fail(message="also"), toys.Add(a=one, b=5))
    return Graph.of(*targets, names=names)


def test_a_run_that_keeps_going_does_all_that_can_be_done(folder: Path) -> None:
    graph, event_log = failing(), list[events.Event]()
    with pytest.raises(NodesFailedError) as caught:
        new_session(folder).run(graph, event_log.append, keep_going=True)
    messages = sorted(failure.message for failure in caught.value.failures)
    texts = [message.partition(" (")[0] for message in messages]
    assert texts == ["RuntimeError: also", "RuntimeError: as asked"]
    assert all("toys.py:" in message for message in messages)
    assert (
        isinstance(caught.value, NodeFailedError) and caught.value.failures[0].__cause__ is not None
    )
    assert toys.ran.count("Add") == 1 and toys.ran.count("Halve") == 0
    kinds = [event.kind for event in event_log]
    assert kinds.count("node_failed") == 2 and kinds.count("skipped") == 2
    skipped = [(e.node, e.failed) for e in event_log if isinstance(e, events.Skipped)]
    assert skipped == [("lost", "broken"), ("halve", "broken")]
    toys.ran.clear()
    with pytest.raises(NodesFailedError):
        new_session(folder).run(graph, keep_going=True)
    assert set(toys.ran) == {"Fail"}


def test_a_run_that_does_not_keep_going_stops_at_the_first(folder: Path) -> None:
    graph, event_log = failing(), list[events.Event]()
    with pytest.raises(NodeFailedError) as caught:
        new_session(folder).run(graph, event_log.append)
    assert type(caught.value) is NodeFailedError and toys.ran.count("Fail") == 1


class Broken(Node[str]):
    """A text whose node always fails."""

    def run(self) -> str:
        raise RuntimeError("no text")


@pytest.mark.torch
def test_models_keep_going_too(tmp_path: Path, folder: Path) -> None:
    model = fake_checkpoints.checkpoint(
        tmp_path / "made",
        unet=fake_checkpoints.safetensors(b"u"),
        vae=fake_checkpoints.safetensors(b"v"),
    )
    session = new_session(folder)
    session.models = ModelCache(fake_checkpoints.Loader())
    checkpoint = Checkpoint(model)
    lost = toys.Join(words=[toys.Dream(prompt=Broken(), checkpoint=checkpoint)])
    good = toys.Join(words=[toys.Dream(prompt="p", checkpoint=checkpoint)], glue="-")
    last = toys.Dream(prompt=lost, checkpoint=checkpoint, steps=2)
    event_log: list[events.Event] = []
    with pytest.raises(NodeFailedError, match="no text") as caught:
        session.run(Graph.of(lost, last, good), event_log.append, keep_going=True)
    assert type(caught.value) is NodeFailedError
    assert sorted(toys.ran) == ["Dream", "Join"]
    assert sum(isinstance(event, events.Skipped) for event in event_log) == 3
    assert not any(component.leases for component in session.models.loaded())


def test_every_node_is_explained(folder: Path, tmp_path: Path) -> None:
    def graph(text: str) -> Graph:
        first = toys.Text(text=text)
        last = toys.Join(words=[toys.Join(words=["k"], glue="-"), first])
        saved = toys.Write(text=last, path=tmp_path / "x")
        names: dict[Node[Any], str] = {first: "first", last: "last", saved: "saved"}
        return Graph.of(saved, names=names, uncached=[])

    def explain(text: str, *, remembers: bool = True) -> dict[str, tuple[str, str]]:
        session = new_session(folder)
        session.store = session.store if remembers else None
        explainer = RunExplainer(graph(text), session.store)
        session.run(graph(text), explainer)
        return {name: (did, why) for name, did, why in explainer.rows()}

    assert explain("a")["last"] == ("ran", "what it reads is new: join, first")
    again = explain("a")
    assert again["first"][0] == "not needed" and again["last"][0] == "reused"
    assert again["saved"] == ("ran", "it has an effect: it always runs")
    other = explain("b")
    assert other["first"][1].startswith("its fields, files") and other["join"][0] == "reused"
    assert other["last"] == ("ran", "what it reads is new: first")
    assert explain("b", remembers=False)["last"] == ("ran", "nothing is remembered: --no-cache")


def test_a_read_only_folder_warns_once_and_the_run_goes_on(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    _, event_log = run_noting(new_session(tmp_path / "file"), add(1), add(9))
    assert [event.kind for event in event_log].count("warned") == 1


def test_a_checkpoint_that_was_trained_is_made_again_when_it_changed(
    tmp_path: Path, folder: Path
) -> None:
    model = fake_checkpoints.checkpoint(tmp_path / "made", unet=fake_checkpoints.safetensors(b"u"))
    train = toys.Train(source=str(model))
    assert run_noting(new_session(folder), train)[0] == ["Train"]
    assert run_noting(new_session(folder), train)[0] == []
    (model / "unet" / fake_checkpoints.WEIGHTS).write_bytes(fake_checkpoints.safetensors(b"x"))
    assert run_noting(new_session(folder), train)[0] == ["Train"]


def test_who_changes_a_node_of_their_own_gets_what_it_makes_now(
    tmp_path: Path, folder: Path
) -> None:
    code = (
        "from sdgraph import Node\n"
        "class Mine(Node[int]):\n"
        '    """A number of mine."""\n'
        "    def run(self) -> int:\n"
        "        return {}\n"
    )
    values = []
    for number in (1, 2):
        (tmp_path / "mine.py").write_text(code.format(number))
        node_type = Registry({}).with_file(tmp_path / "mine.py")["Mine"]
        values.append(run(node_type(), session=new_session(folder)))
        del sys.modules[node_type.__module__]  # as in another process
    assert values == [1, 2]


def test_what_was_made_of_a_file_that_changed_meanwhile_is_not_kept(
    folder: Path, tmp_path: Path
) -> None:
    source = tmp_path / "text.txt"
    source.write_text("first")
    last = toys.Join(words=[toys.Read(path=source), "of all"])

    def change_file(event: events.Event) -> None:
        event_log.append(event)
        if isinstance(event, events.RunStarted):
            source.write_text("second")

    event_log: list[events.Event] = []
    session = new_session(folder)
    results = session.run(Graph.of(last, names={last: "last"}), change_file)
    assert results["last"] == "second of all"
    assert (
        sum("changed" in event.message for event in event_log if isinstance(event, events.Warned))
        == 1
    )
    source.write_text("first")
    for either in (session, new_session(folder)):
        assert run(last, session=either) == "first of all"


def test_a_plan_reuses_what_a_run_remembered(folder: Path) -> None:
    run_noting(new_session(folder), add(4))
    plan = new_session(folder).plan(Graph.of(add(4)))
    assert [step.action for step in plan.steps] == ["reuse"]
