"""Results that are made again sooner than kept: not on disk, not hashed, and said so."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from sdgraph import Graph, Session, events
from sdgraph.cli.explain import RunExplainer
from sdgraph.graph import Node
from sdgraph.store import Store, admission
from sdgraph.values import Image
from tests.support import toys


@pytest.fixture(autouse=True)
def _nothing_is_small(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(admission, "SMALL_BYTES", 0)


def make_store(folder: Path, *, slow: bool = True) -> Store:
    """A store whose disk is so slow that nothing is worth it, or so fast that everything is."""
    store = Store(folder=folder)
    assert store.on_disk is not None
    store.on_disk.speed.seconds_per_byte = 1.0 if slow else -admission.HASH_SECONDS_PER_BYTE
    return store


def run(store: Store, target: Node[object]) -> tuple[list[str], RunExplainer]:
    """The toys that ran, and the explanations."""
    toys.ran.clear()
    graph = Graph.of(target)
    explainer = RunExplainer(graph, store)
    Session(device="cpu", dtype="float32", store=store).run(graph, explainer)
    return list(toys.ran), explainer


def edges(grey: int = 7) -> Node[object]:
    return toys.Edges(image=toys.Square(size=64, grey=grey))


def test_only_the_target_is_kept_and_a_run_of_it_again_runs_nothing(tmp_path: Path) -> None:
    assert run(make_store(tmp_path), edges())[0] == ["Square", "Edges"]
    assert run(make_store(tmp_path), edges())[0] == []
    assert len(list(tmp_path.rglob("*.safetensors"))) == 1


def test_another_reader_makes_the_cheap_result_again_and_says_so(tmp_path: Path) -> None:
    run(make_store(tmp_path), edges())
    other = toys.Edges(image=toys.Square(size=64, grey=7), low=50)
    ran, explainer = run(make_store(tmp_path), other)
    assert ran == ["Square", "Edges"]
    (square, *_) = explainer.rows()
    assert square[:2] == ("square", "ran") and "its result is not kept: made again in" in square[2]


def test_a_pinned_result_is_kept(tmp_path: Path) -> None:
    square = toys.Square(size=64, grey=7)
    graph = Graph.of(toys.Edges(image=square), pinned=[square])
    Session(device="cpu", dtype="float32", store=make_store(tmp_path)).run(graph)
    other = toys.Edges(image=toys.Square(size=64, grey=7), low=50)
    assert run(make_store(tmp_path), other)[0] == ["Edges"]


def test_a_plan_names_what_is_made_again(tmp_path: Path) -> None:
    run(make_store(tmp_path), edges())
    other = toys.Edges(image=toys.Square(size=64, grey=7), low=50)
    plan = Session(device="cpu", store=make_store(tmp_path)).plan(Graph.of(other))
    assert [bool(step.not_kept) for step in plan.steps] == [True, False]


def test_a_plan_says_so_of_nothing_that_its_run_keeps(tmp_path: Path) -> None:
    run(make_store(tmp_path), edges())
    square = toys.Square(size=64, grey=7)
    session = Session(device="cpu", store=make_store(tmp_path))
    for graph in (Graph.of(square), Graph.of(toys.Edges(image=square, low=50), pinned=[square])):
        assert not any(step.not_kept for step in session.plan(graph).steps)


def test_without_links_a_result_of_large_inputs_is_found_before_they_are_made(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "symlink", lambda *_: (_ for _ in ()).throw(OSError("no links")))
    run(make_store(tmp_path), edges())
    assert run(make_store(tmp_path), edges())[0] == []


@pytest.mark.usefixtures("one_file_each")
def test_an_alias_on_disk_leads_to_nothing_that_is_only_in_memory_or_nowhere(
    tmp_path: Path,
) -> None:
    for limit in (0, 2**20):
        store = Store(limit, folder=tmp_path)
        assert store.on_disk is not None
        store.on_disk.speed.seconds_per_byte = 1.0
        for key, always in ((b"a" * 16, False), (b"b" * 16, True)):
            store.put(key, 7, remake_seconds=0.1, always=always)
            store.add_alias(key[::-1][:-1] + b"x", key)
    assert len(list(tmp_path.rglob("*.alias"))) == 1


def test_the_memory_of_a_session_has_it_all(tmp_path: Path) -> None:
    store = make_store(tmp_path)
    run(store, edges())
    assert run(store, toys.Edges(image=toys.Square(size=64, grey=7), low=50))[0] == ["Edges"]


def test_on_a_fast_disk_everything_is_kept(tmp_path: Path) -> None:
    run(make_store(tmp_path, slow=False), edges())
    other = toys.Edges(image=toys.Square(size=64, grey=7), low=50)
    assert run(make_store(tmp_path, slow=False), other)[0] == ["Edges"]


def test_a_cheap_result_is_not_hashed_for_its_reader(tmp_path: Path) -> None:
    square = toys.Square(size=64, grey=7)
    store = make_store(tmp_path)
    graph = Graph.of(toys.Edges(image=square))
    Session(device="cpu", store=store).run(graph)
    held = [result.value for result in store._results.values()]
    (picture,) = (value for value in held if type(value) is Image)
    assert "content" not in vars(picture)


def test_a_changed_input_changes_what_reads_the_cheap_result(tmp_path: Path) -> None:
    session = Session(device="cpu", store=make_store(tmp_path))
    first, second, again = (
        next(iter(session.run(Graph.of(edges(grey))).values())) for grey in (7, 9, 7)
    )
    assert first != second and again is first


def test_events_carry_the_reason(tmp_path: Path) -> None:
    run(make_store(tmp_path), edges())
    noted: list[events.Event] = []
    other = toys.Edges(image=toys.Square(size=64, grey=7), low=50)
    Session(device="cpu", store=make_store(tmp_path)).run(Graph.of(other), noted.append)
    started = [event for event in noted if isinstance(event, events.NodeStarted)]
    assert [bool(event.not_kept) for event in started] == [True, False]
