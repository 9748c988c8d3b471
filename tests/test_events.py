"""Events come in order, are plain data, and cost nothing when nobody listens."""

from __future__ import annotations

import dataclasses
import json
import threading
from typing import Any

import pytest
from hypothesis import given, settings

from sdgraph import events
from sdgraph.errors import Mark, Problem
from sdgraph.execution import Session
from sdgraph.execution.event_emitter import EventEmitter
from sdgraph.graph import Graph, Node
from tests.support.strategies import graphs

KINDS = [
    kind
    for kind in vars(events).values()
    if isinstance(kind, type) and issubclass(kind, events.Event) and kind is not events.Event
]


@settings(max_examples=40)
@given(graphs())
def test_a_run_tells_a_whole_story(nodes: list[Node[Any]]) -> None:
    session, graph = Session(), Graph.of(nodes[-1])
    for _ in range(2):
        event_log: list[events.Event] = []
        session.run(graph, event_log.append)
        first, last = event_log[0], event_log[-1]
        assert isinstance(first, events.RunStarted) and isinstance(last, events.RunFinished)
        assert [event.at for event in event_log] == sorted(event.at for event in event_log)
        done: dict[str, type] = {}
        for event in event_log[1:-1]:
            assert isinstance(
                event, events.NodeStarted | events.NodeFinished | events.Reused | events.Released
            )
            before = done.get(event.node)
            allowed = {
                events.NodeStarted: (None,),
                events.Reused: (None,),
                events.NodeFinished: (events.NodeStarted,),
                events.Released: (events.NodeFinished, events.Reused),
            }
            assert before in allowed[type(event)]
            done[event.node] = type(event)
        assert first.steps + first.reused == len(done)


def test_nobody_listening_builds_no_event(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail_to_build(*details: Any) -> events.Event:
        raise AssertionError("an event was built")

    clock = EventEmitter(None)
    clock.emit(fail_to_build, "node")
    with pytest.raises(AssertionError):
        EventEmitter(lambda event: None).emit(fail_to_build, "node")


def test_a_listener_is_called_by_one_thread_at_a_time() -> None:
    busy, overlaps = threading.Lock(), []

    def listen(event: events.Event) -> None:
        overlaps.append(not busy.acquire(blocking=False))
        if not overlaps[-1]:
            busy.release()

    clock = EventEmitter(listen)

    def emit() -> None:
        for _ in range(300):
            clock.emit(events.Reused, "n")

    threads = [threading.Thread(target=emit) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(overlaps) == 1200 and not any(overlaps)


@pytest.mark.parametrize("kind", KINDS)
def test_every_event_is_frozen_plain_data_of_its_own_kind(kind: type[events.Event]) -> None:
    fields = [field.name for field in dataclasses.fields(kind) if field.name != "at"]
    problem = Problem("low", "3.5", "a whole number", at=Mark("a.yaml", 4, 9))
    event = kind(1.5, *[(problem,) if name == "problems" else "x" for name in fields])
    data = json.loads(json.dumps(event.as_data()))
    expected = {name: [problem.as_data()] if name == "problems" else "x" for name in fields}
    assert data == {"event": kind.kind, "at": 1.5, **expected}
    assert [kind.kind for kind in KINDS].count(kind.kind) == 1
    with pytest.raises(AttributeError):
        event.at = 2.0  # type: ignore[misc]
