"""Nodes without models run in several threads where they are worth it, with the same results."""

from __future__ import annotations

import threading
import time
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph import Graph, In, Node, NodeFailedError, NodesFailedError, Session, nodes
from sdgraph.errors import InvalidValueError
from sdgraph.events import Event, NodeFinished
from sdgraph.execution import step_threads
from sdgraph.execution.schedule import RESULTS_AHEAD
from sdgraph.values import Image

TOGETHER = threading.Barrier(2)
LONE = threading.Lock()


class Meet(Node[int]):
    """Ends when another one of its class runs too."""

    place: int

    def run(self) -> int:
        TOGETHER.wait(timeout=20)
        return self.place


class Wait(Node[int]):
    """Takes a while, and may fail."""

    place: int
    seconds: float = 0.004
    fails: bool = False
    after: In[int] | None = None

    def run(self, after: int | None) -> int:
        time.sleep(self.seconds)
        if self.fails:
            raise ValueError(f"number {self.place} fails on purpose")
        return self.place


class Lone(Node[int]):
    """Takes a while; no other one may run at the same time."""

    exclusive = True
    place: int

    def run(self) -> int:
        assert LONE.acquire(blocking=False), "another one runs too"
        time.sleep(0.02)
        LONE.release()
        return self.place


class Say(Node[int]):
    """Writes its place into a list."""

    effect = True
    said: Any = None
    number: In[int]
    place: int

    def run(self, number: int) -> int:
        SAID.append(self.place)
        return number


SAID: list[int] = []


def session(threads: int | None = 2) -> Session:
    return Session(store=None, threads=threads)


def test_two_heavy_nodes_run_at_the_same_time() -> None:
    TOGETHER.reset()
    values = session().run(Graph.of(Meet(place=0), Meet(place=1)))
    assert sorted(values.values()) == [0, 1]


def test_with_one_thread_they_run_one_after_another() -> None:
    names: set[str] = set()

    class Where(Node[int]):
        """Takes a while in a thread."""

        place: int

        def run(self) -> int:
            time.sleep(0.004)
            names.add(threading.current_thread().name)
            return self.place

    graph = Graph.of(*[Where(place=place) for place in range(6)])
    session(threads=1).run(graph)
    assert names == {threading.current_thread().name}
    names.clear()
    session(threads=3).run(graph)
    assert len(names) > 1


@pytest.mark.parametrize("threads", [0, -1])
def test_a_session_has_at_least_one_thread(threads: int) -> None:
    with pytest.raises(InvalidValueError, match="from 1 to 1024"):
        Session(threads=threads)


def test_effects_come_in_the_order_of_the_plan() -> None:
    SAID.clear()
    waits = [Wait(place=place, seconds=0.02 / (place + 1)) for place in range(6)]
    graph = Graph.of(*[Say(number=wait, place=place) for place, wait in enumerate(waits)])
    session(threads=4).run(graph)
    planned = [step.node for step in session().plan(graph).steps]
    assert [node.place for node in planned if isinstance(node, Say)] == SAID


def test_a_failure_in_any_thread_ends_the_run_and_nothing_hangs() -> None:
    for failing in range(4):
        nodes = [Wait(place=place, fails=place == failing) for place in range(8)]
        with pytest.raises(NodeFailedError, match=f"number {failing} fails"):
            session().run(Graph.of(*nodes))
        assert not _further_threads()


def test_with_keep_going_all_others_run() -> None:
    nodes = [Wait(place=place, fails=place % 4 == 1) for place in range(8)]
    seen: list[Event] = []
    with pytest.raises(NodesFailedError) as caught:
        session().run(Graph.of(*nodes), seen.append, keep_going=True)
    assert len(caught.value.failures) == 2
    assert sum(isinstance(event, NodeFinished) for event in seen) == 6
    assert not _further_threads()


class Gather(Node[int]):
    """Reads a number after another; slow beside what makes the numbers."""

    before: In[int]
    number: In[int]

    def run(self, before: int, number: int) -> int:
        time.sleep(0.004)
        HELD.append(len(MADE) - len(HELD))
        return before + number


class Make(Node[int]):
    """Makes a number that waits in memory to be read."""

    place: int

    def run(self) -> int:
        MADE.append(self.place)
        time.sleep(0.0005)
        return self.place


MADE: list[int] = []
HELD: list[int] = []


@pytest.mark.parametrize("threads", [2, 4])
def test_few_results_wait_in_memory(threads: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(step_threads, "HEAVY_SECONDS", 0.0)
    MADE.clear()
    HELD.clear()
    total: Node[int] = Make(place=0)
    for place in range(1, 60):
        total = Gather(before=total, number=Make(place=place))
    graph = Graph.of(total)
    # In the order of a sweep: each number is made just before it is read.
    graph = Graph(graph.targets, graph.nodes, graph.names, variants=True)
    assert session(threads).run(graph)[graph.names[total]] == sum(range(60))
    assert max(HELD) <= RESULTS_AHEAD * threads + 2


class Pixels(Node[Image]):
    """A random picture."""

    seed: int

    def run(self) -> Image:
        return Image(np.random.default_rng(self.seed).integers(0, 256, (300, 300, 3), np.uint8))


class Blurred(Node[Image]):
    """The mean of two pictures, blurred; long enough for a thread."""

    one: In[Image]
    two: In[Image]
    radius: int

    def run(self, one: Image, two: Image) -> Image:
        import cv2

        mean = cv2.addWeighted(one.numpy, 0.5, two.numpy, 0.5, 0)
        return Image(cv2.bilateralFilter(mean, 5 + self.radius, 50, 5))


@settings(max_examples=8, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 99), st.integers(0, 99)), min_size=4, max_size=8))
def test_the_bits_are_those_of_one_thread(shape: list[tuple[int, int]]) -> None:
    nodes: list[Node[Image]] = [Pixels(seed=0), Pixels(seed=1)]
    for radius, (one, two) in enumerate(shape):
        first, second = nodes[one % len(nodes)], nodes[two % len(nodes)]
        nodes.append(Blurred(one=first, two=second, radius=radius % 4))
    graph = Graph.of(*nodes)
    assert session(threads=4).run(graph) == session(threads=1).run(graph)


def _further_threads() -> list[str]:
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name.startswith("sdgraph-light")]


def test_exclusive_nodes_run_one_at_a_time_and_others_beside_them() -> None:
    lone = [Lone(place=place) for place in range(4)]
    others = [Wait(place=place, seconds=0.02) for place in range(4)]
    graph = Graph.of(*lone, *others)
    values = Session(device="cpu", store=None, threads=4).run(graph)
    assert [values[graph.names[node]] for node in (*lone, *others)] == [0, 1, 2, 3] * 2


def test_trainings_are_exclusive() -> None:
    trainings = [name for name in nodes.__all__ if name.startswith("Train")]
    assert len(trainings) > 5
    assert all(getattr(nodes, name).exclusive for name in trainings)
