"""A run computes each node once, in order, only what is needed, and loses nothing on a failure."""

from __future__ import annotations

import json
import re
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import sdgraph
from sdgraph import events
from sdgraph.errors import (
    InvalidValueError,
    InvalidWorkflowError,
    Mark,
    NodeFailedError,
    Problem,
)
from sdgraph.execution import Session, plan, run
from sdgraph.graph import Graph, In, Node, Registry, ancestry
from sdgraph.language import workflow_from_yaml
from sdgraph.store import Store
from tests.support import toys
from tests.support.effort import scaled
from tests.support.strategies import graphs


def naive(node: Node[Any], results: dict[Node[Any], Any]) -> Any:
    """What a node makes, by plain recursion."""
    if node not in results:
        for _, child in node.wires:
            naive(child, results)
        results[node] = node.run(**node.arguments(results))
    return results[node]


@settings(max_examples=60)
@given(graphs(), st.data())
def test_results_equal_those_of_plain_recursion(
    nodes: list[Node[Any]], data: st.DataObject
) -> None:
    targets = data.draw(st.lists(st.sampled_from(nodes), min_size=1, max_size=3))
    result = run(targets[0], *targets[1:], session=Session())
    results: dict[Node[Any], Any] = {}
    expected = [naive(target, results) for target in targets]
    assert ([result] if len(targets) == 1 else list(result)) == expected


@settings(max_examples=60)
@given(graphs(), st.data())
def test_each_needed_node_runs_once_after_all_it_reads(
    nodes: list[Node[Any]], data: st.DataObject
) -> None:
    target = data.draw(st.sampled_from(nodes))
    event_log: list[events.Event] = []
    graph = Graph.of(target)
    Session(store=None).run(graph, event_log.append)
    names = [event.node for event in event_log if isinstance(event, events.NodeStarted)]
    assert sorted(names) == sorted(graph.names.values())
    place = {name: index for index, name in enumerate(names)}
    for node in graph.nodes:
        for _, child in node.wires:
            assert place[graph.names[child]] < place[graph.names[node]]


@settings(max_examples=40)
@given(graphs())
def test_a_second_run_reuses_everything(nodes: list[Node[Any]]) -> None:
    session, target = Session(), nodes[-1]
    first = run(target, session=session)
    event_log: list[events.Event] = []
    assert run(target, session=session, on_event=event_log.append) == first
    kinds = {type(event) for event in event_log}
    assert events.NodeStarted not in kinds and events.Reused in kinds


def test_nodes_that_no_target_needs_do_not_run() -> None:
    one = toys.Number(value=1)
    toys.Add(a=one, b=2)
    assert run(toys.Halve(a=one), session=Session()) == 0
    assert toys.ran == ["Number", "Halve"]


def test_equal_nodes_run_once() -> None:
    twice = [toys.Add(a=toys.Number(value=2), b=1) for _ in range(2)]
    assert run(toys.Sum(terms=[*twice, toys.Number(value=2)]), session=Session()) == 8
    assert toys.ran == ["Number", "Add", "Sum"]


def test_one_changed_leaf_reruns_its_descendants_and_nothing_else() -> None:
    def target(leaf: int) -> Node[int]:
        left = toys.Add(a=toys.Number(value=leaf), b=1)
        right = toys.Add(a=toys.Number(value=100), b=1)
        return toys.Sum(terms=[left, right])

    session = Session()
    run(target(1), session=session)
    toys.ran.clear()
    assert run(target(2), session=session) == 104
    assert toys.ran == ["Number", "Add", "Sum"]


def test_an_edit_that_changes_no_value_stops_the_recomputation() -> None:
    session = Session()
    run(toys.Add(a=toys.Halve(a=toys.Number(value=4)), b=1), session=session)
    toys.ran.clear()
    event_log: list[events.Event] = []
    edited = toys.Add(a=toys.Halve(a=toys.Number(value=5)), b=1)
    assert run(edited, session=session, on_event=event_log.append) == 3
    assert toys.ran == ["Number", "Halve"]
    assert [event.node for event in event_log if isinstance(event, events.Reused)] == ["add"]


def test_a_changed_file_reruns_what_reads_it_and_an_equal_one_does_not(tmp_path: Path) -> None:
    path, session = tmp_path / "a.txt", Session()
    target = toys.Join(words=[toys.Read(path=path)])
    for text, rerun in (("one", True), ("one", False), ("two", True), ("one", False)):
        path.write_text(text)
        toys.ran.clear()
        assert run(target, session=session) == text
        assert toys.ran == (["Read", "Join"] if rerun else [])


def test_effects_always_run_and_their_inputs_are_reused(tmp_path: Path) -> None:
    session = Session()
    target = toys.Write(text=toys.Text(text="x"), path=tmp_path / "out.txt")
    assert run(target, session=session) == tmp_path / "out.txt"
    (tmp_path / "out.txt").unlink()
    toys.ran.clear()
    assert run(target, session=session) == tmp_path / "out.txt"
    assert toys.ran == ["Write"] and (tmp_path / "out.txt").read_text() == "x"


def test_an_effect_that_others_read_always_runs_too(tmp_path: Path) -> None:
    class Size(Node[int]):
        path: sdgraph.In[Path]

        def run(self, path: Path) -> int:
            toys.ran.append("Size")
            return path.stat().st_size

    session = Session()
    target = Size(path=toys.Write(text="four", path=tmp_path / "out.txt"))
    assert [run(target, session=session) for _ in range(2)] == [4, 4]
    assert toys.ran == ["Write", "Size", "Write"]


def test_a_result_that_the_store_forgets_in_mid_run_is_still_reused() -> None:
    session = Session(store=Store(limit=1000))
    kept = toys.Text(text="k" * 600)
    run(kept, session=session)
    toys.ran.clear()
    large = toys.Text(text="l" * 700)
    target = toys.Join(words=[toys.Join(words=[large]), kept], glue="")
    assert run(target, session=session) == "l" * 700 + "k" * 600
    assert toys.ran.count("Text") == 1


def test_results_are_released_after_their_last_reader() -> None:
    node: Node[int] = toys.Number(value=0)
    for _ in range(50):
        node = toys.Add(a=node, b=1)
    held = peak = 0

    def count(event: events.Event) -> None:
        nonlocal held, peak
        held += isinstance(event, events.NodeFinished) - isinstance(event, events.Released)
        peak = max(peak, held)

    assert run(node, session=Session(store=None), on_event=count) == 50
    assert peak == 2 and held == 1


@settings(max_examples=40)
@given(graphs())
def test_at_the_end_only_the_targets_are_held(nodes: list[Node[Any]]) -> None:
    event_log: list[events.Event] = []
    graph = Graph.of(nodes[-1])
    Session(store=None).run(graph, event_log.append)
    released = [event.node for event in event_log if isinstance(event, events.Released)]
    others = [graph.names[node] for node in graph.nodes if node != nodes[-1]]
    assert sorted(released) == sorted(others)


def test_a_chain_of_20_000_nodes_is_checked_planned_and_run() -> None:
    node: Node[int] = toys.Number(value=0)
    length = scaled(20_000)
    for _ in range(length):
        node = toys.Halve(a=node)
    graph = Graph.of(node)
    assert graph.check() == [] and len(plan(graph).steps) == length + 1
    session = Session()
    assert session.run(graph) == {graph.names[node]: 0}
    toys.ran.clear()
    assert run(node, session=session) == 0 and toys.ran == []


def test_a_failing_node_is_named_with_its_cause_and_its_place() -> None:
    text = "nodes:\n  one: {type: Number}\n  bad: {type: Fail, a: $one, message: broke}\n"
    workflow = workflow_from_yaml(text, registry=toys.REGISTRY, file="f.yaml")
    event_log: list[events.Event] = []
    with pytest.raises(NodeFailedError) as caught:
        run(workflow, session=Session(), on_event=event_log.append)
    error = caught.value
    assert isinstance(error.__cause__, RuntimeError)
    message = error.message
    assert re.fullmatch(r"RuntimeError: broke \(.*toys\.py:\d+, in run\)", message)
    assert str(error) == f"f.yaml:3:8: bad: {message}"
    assert event_log[-1] == events.NodeFailed(event_log[-1].at, "bad", message, error.problems)


class Refuse(Node[int]):
    """A node that wants more than it is given."""

    a: In[int]

    def run(self, a: int) -> int:
        raise InvalidValueError(Problem("a", str(a), "more"))


def test_a_problem_of_a_field_is_marked_where_the_field_is_written() -> None:
    text = "nodes:\n  bad: {type: Refuse, a: 3}\n"
    workflow = workflow_from_yaml(text, registry=Registry({"Refuse": Refuse}), file="f.yaml")
    with pytest.raises(NodeFailedError) as caught:
        run(workflow, session=Session())
    assert caught.value.problems == (Problem("bad: a", "3", "more", at=Mark("f.yaml", 2, 26)),)
    assert caught.value.at == Mark("f.yaml", 2, 8)


def test_a_node_that_fails_with_problems_is_reported_in_parts() -> None:
    event_log: list[events.Event] = []
    with pytest.raises(NodeFailedError) as caught:
        run(toys.Wrong(), session=Session(), on_event=event_log.append)
    (problem,) = caught.value.problems
    assert problem.subject == "wrong: run" and problem.wanted == "a whole number"
    data = event_log[-1].as_data()
    assert data["event"] == "node_failed" and data["problems"] == [problem.as_data()]
    assert json.loads(json.dumps(data)) == data


def test_a_failure_loses_no_result_that_is_done(tmp_path: Path) -> None:
    session, text = Session(), toys.Text(text="x")
    saved = toys.Write(text=text, path=tmp_path / "a.txt")
    with pytest.raises(NodeFailedError, match="fail"):
        run(saved, toys.Fail(a=toys.Number(value=3)), session=session)
    assert (tmp_path / "a.txt").read_text() == "x"
    toys.ran.clear()
    assert run(text, session=session) == "x" and toys.ran == []


def test_a_node_that_breaks_its_promise_fails_by_name() -> None:
    for store in (None, Store()):
        with pytest.raises(
            NodeFailedError,
            match=r"wrong: run\n  found:  it returned the text .*\n  wanted: a w",
        ):
            run(toys.Wrong(), session=Session(store=store))


def test_problems_come_out_before_anything_runs(tmp_path: Path) -> None:
    bad = toys.Read(path=tmp_path / "none.txt")
    with pytest.raises(InvalidWorkflowError, match=r"read\.path"):
        run(toys.Number(), bad, session=Session())
    with pytest.raises(InvalidWorkflowError, match=r"read\.path"):
        plan(bad)
    with pytest.raises(InvalidWorkflowError, match=r"read\.path"):
        Session().plan(Graph.of(bad))
    assert toys.ran == []


def test_what_a_target_cannot_use_is_refused() -> None:
    loose: Any = run
    with pytest.raises(TypeError, match="only a workflow takes inputs; found seed"):
        loose(toys.Number(), seed=3)
    with pytest.raises(TypeError, match="wanted it alone"):
        loose(Graph.of(toys.Number()), toys.Number())


def test_several_targets_come_back_in_their_order() -> None:
    one, two = toys.Number(value=1), toys.Number(value=2)
    assert run(two, one, two, session=Session()) == (2, 1, 2)
    assert run(Graph.of(one, two), session=Session()) == {"number": 1, "number_2": 2}


def test_two_sessions_in_two_threads_do_not_disturb_each_other() -> None:
    node: Node[int] = toys.Number(value=0)
    for _ in range(200):
        node = toys.Add(a=node, b=1)
    results: list[int] = []
    session = Session()
    threads = [
        threading.Thread(target=lambda: results.append(run(node, session=session)))
        for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [200] * 4


def test_ancestry_is_what_a_graph_holds() -> None:
    target = toys.Add(a=toys.Number(value=1), b=toys.Number(value=2))
    assert Graph.of(target).nodes == tuple(ancestry(target))
