"""Whatever the number of threads, listeners, effects and failures are those of one thread."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field

from sdgraph import Graph, In, Node, NodeFailedError, Session
from sdgraph.errors import SdgraphError
from sdgraph.events import Event, NodeFinished
from sdgraph.execution import step_threads
from sdgraph.graph import TargetFile

SAID: list[int] = []


class Work(Node[int]):
    """Takes a while, and may fail."""

    place: int
    reads: list[In[int]] = Field(default_factory=list)
    milliseconds: int = 0
    fails: bool = False

    def run(self, reads: tuple[int, ...]) -> int:
        time.sleep(self.milliseconds / 1000)
        if self.fails:
            raise ValueError(f"number {self.place} fails on purpose")
        return sum(reads) + self.place


class Say(Node[int]):
    """Has an effect that others must not overtake."""

    effect = True
    place: int
    reads: list[In[int]]

    def run(self, reads: tuple[int, ...]) -> int:
        SAID.append(self.place)
        return self.place


class Save(Node[Path]):
    """Writes a file."""

    effect = True
    path: TargetFile
    reads: list[In[int]]
    milliseconds: int = 0

    def run(self, reads: tuple[int, ...]) -> Path:
        time.sleep(self.milliseconds / 1000)
        path = Path(self.path)
        path.write_text(str(sum(reads)), "utf-8")
        return path


@pytest.fixture(autouse=True, scope="module")
def every_step_is_worth_a_thread() -> Iterator[None]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(step_threads, "HEAVY_SECONDS", 0.0)
        yield


shapes = st.lists(
    st.tuples(
        st.sampled_from(["work", "work", "work", "say", "save"]),
        st.lists(st.integers(0, 99), min_size=1, max_size=2),
        st.sampled_from([0, 0, 1, 3]),
        st.sampled_from([False] * 7 + [True]),
    ),
    min_size=2,
    max_size=14,
)


def make_graph(shape: list[tuple[str, list[int], int, bool]], folder: Path) -> Graph:
    numbers: list[Node[int]] = [Work(place=-1), Work(place=-2)]
    every: list[Node[Any]] = [*numbers]
    for place, (kind, reads, milliseconds, fails) in enumerate(shape):
        read: list[int | Node[int]] = [numbers[n % len(numbers)] for n in reads]
        if kind == "work":
            numbers.append(Work(place=place, reads=read, milliseconds=milliseconds, fails=fails))
            every.append(numbers[-1])
        elif kind == "say":
            every.append(Say(place=place, reads=read))
        else:
            path = folder / f"{place}.txt"
            every.append(Save(path=path, reads=read, milliseconds=milliseconds))
    return Graph.of(*[node for node in every if node.effect] or every)


def observe(
    shape: list[tuple[str, list[int], int, bool]], threads: int, keep_going: bool
) -> tuple[Any, ...]:
    """All that can be seen of a run, without its times."""
    SAID.clear()
    seen: list[tuple[Any, ...]] = []

    def note(event: Event) -> None:
        details = {f.name: getattr(event, f.name) for f in fields(event)}
        del details["at"]
        details.pop("seconds", None)
        details["file"] = Path(details["file"]).name if details.get("file") else None
        seen.append((type(event).__name__, sorted(details.items(), key=lambda item: item[0])))

    outcome: Any
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        session = Session(store=None, threads=threads)
        try:
            values = session.run(make_graph(shape, folder), note, keep_going=keep_going)
            outcome = {key: getattr(value, "name", value) for key, value in values.items()}
        except SdgraphError as error:
            outcome = type(error), str(error)
        files = {path.name: path.read_text("utf-8") for path in folder.rglob("*")}
    return seen, outcome, list(SAID), files


@settings(max_examples=40, deadline=None)
@given(shapes, st.sampled_from([2, 3, 5]), st.booleans())
def test_a_run_looks_as_in_one_thread(
    shape: list[tuple[str, list[int], int, bool]], threads: int, keep_going: bool
) -> None:
    assert observe(shape, threads, keep_going) == observe(shape, 1, keep_going)
    assert not further_threads()


def test_the_first_failure_of_the_plan_ends_the_run() -> None:
    early = Work(place=0, milliseconds=60, fails=True)
    late = [Work(place=place, fails=True) for place in range(1, 4)]
    said = Say(place=9, reads=[Work(place=5)])
    SAID.clear()
    with pytest.raises(NodeFailedError, match="number 0 fails"):
        Session(store=None, threads=3).run(Graph.of(early, *late, said))
    assert not SAID


def test_files_are_written_at_the_same_time_and_appear_in_order(tmp_path: Path) -> None:
    order: list[str] = []
    saves = [
        Save(path=tmp_path / f"{n}.txt", reads=[Work(place=n)], milliseconds=40 - 10 * n)
        for n in range(4)
    ]

    def note(event: Event) -> None:
        if isinstance(event, NodeFinished) and event.file is not None:
            order.append(Path(event.file).name)
            present = sorted(path.name for path in tmp_path.glob("*.txt"))
            assert present == sorted(order)

    began = time.perf_counter()
    Session(store=None, threads=5).run(Graph.of(*saves), note)
    assert order == [f"{n}.txt" for n in range(4)]
    assert time.perf_counter() - began < 60


@pytest.mark.parametrize("kind", [ValueError, KeyboardInterrupt])
def test_a_listener_that_raises_ends_the_run(kind: type[BaseException]) -> None:
    def listen(event: Event) -> None:
        if isinstance(event, NodeFinished):
            raise kind("on purpose")

    graph = Graph.of(*[Work(place=place, milliseconds=2) for place in range(12)])
    with pytest.raises((kind, NodeFailedError), match="on purpose"):
        Session(store=None, threads=3).run(graph, listen)
    assert not further_threads()


class Quit(Node[int]):
    """Raises what is no error of a node, in whichever thread it runs."""

    place: int

    def run(self) -> int:
        time.sleep(0.002)
        if self.place == 5:
            raise GeneratorExit("number 5 quits")
        return self.place


def test_an_exception_that_is_no_failure_comes_out_of_the_run() -> None:
    with pytest.raises(GeneratorExit, match="number 5 quits"):
        Session(store=None, threads=3).run(Graph.of(*[Quit(place=n) for n in range(12)]))
    assert not further_threads()


setting: ContextVar[str] = ContextVar("setting", default="not set")


class Setting(Node[str]):
    """The context variable, as it is in the thread that the node runs in."""

    place: int

    def run(self) -> str:
        time.sleep(0.002)
        return setting.get()


def test_nodes_see_the_context_variables_of_the_calling_thread() -> None:
    token = setting.set("by the caller")
    try:
        values = Session(store=None, threads=3).run(Graph.of(*[Setting(place=n) for n in range(9)]))
    finally:
        setting.reset(token)
    assert set(values.values()) == {"by the caller"}


SCRIPT = """
import sys, time
from sdgraph import Graph, Node, Session
from sdgraph.store import Store

class Slow(Node[int]):
    place: int
    def run(self) -> int:
        time.sleep(0.02)
        return self.place

def tell(event):
    if event.kind == "node_finished":
        print(event.node, flush=True)

session = Session(store=Store(folder=sys.argv[1]), threads=3)
graph = Graph.of(*[Slow(place=n) for n in range(300)])
print(sum(step.action == "reuse" for step in session.plan(graph).steps), flush=True)
session.run(graph, tell)
"""


@pytest.mark.skipif(os.name == "nt", reason="signals are those of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGKILL])
def test_a_signal_ends_the_run_and_what_was_told_is_remembered(
    tmp_path: Path, number: signal.Signals
) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT, "utf-8")
    command = [sys.executable, str(script), str(tmp_path / "results")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert process.stdout is not None
    told = [process.stdout.readline() for _ in range(8)][1:]
    process.send_signal(number)
    rest, _ = process.communicate(timeout=60)
    assert process.returncode != 0
    count = len(told) + len(rest.splitlines())
    assert count < 300
    again = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    assert again.stdout is not None
    remembered = int(again.stdout.readline())
    again.kill()
    again.communicate(timeout=60)
    assert remembered >= count


def further_threads() -> list[str]:
    names = (thread.name for thread in threading.enumerate())
    return [name for name in names if name.startswith("sdgraph-light")]


class Alone(Node[int]):
    """Runs while no other exclusive node does."""

    exclusive = True
    place: int

    def run(self) -> int:
        time.sleep(0.05)
        return self.place


def test_effects_keep_their_order_beside_exclusive_nodes() -> None:
    SAID.clear()
    waits = [Work(place=n, milliseconds=30 - 10 * n) for n in range(3)]
    says = [Say(place=n, reads=[wait]) for n, wait in enumerate(waits)]
    session, graph = Session(store=None, threads=4), Graph.of(*says, Alone(place=9))
    planned = [step.node for step in session.plan(graph).steps]
    session.run(graph)
    assert [node.place for node in planned if isinstance(node, Say)] == SAID
