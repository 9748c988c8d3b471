"""Threads that run graphs at once get what each would get alone."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from sdgraph.execution import Session, default_session
from sdgraph.graph import Graph, In, Node
from sdgraph.models import ModelCache, Models
from sdgraph.models.loading.device_locks import device_lock
from sdgraph.values import Checkpoint, Part
from tests.support import fake_checkpoints


class Adapt(Node[str]):
    """Puts an adapter on the module that it was lent, as pipelines do, and reads it later."""

    adapter: str
    checkpoint: In[Checkpoint]

    def parts(self) -> Mapping[str, Part]:
        assert isinstance(self.checkpoint, Checkpoint)
        return {"unet": Part(self.checkpoint, "unet")}

    def run(self, checkpoint: Checkpoint, models: Models) -> str:
        module = models["unet"]
        module.adapter = self.adapter
        time.sleep(0.002)
        return str(module.adapter)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    return Checkpoint(
        fake_checkpoints.checkpoint(tmp_path / "model", unet=fake_checkpoints.safetensors(b"u"))
    )


def new_session() -> Session:
    return Session(device="cpu", store=None, models=ModelCache(fake_checkpoints.Loader()))


def run_in_threads(function: Callable[[int], str], count: int) -> list[str]:
    with ThreadPoolExecutor(8) as pool:
        return list(pool.map(function, range(count)))


@pytest.mark.torch
def test_what_a_node_puts_on_a_module_stays_with_the_node(checkpoint: Checkpoint) -> None:
    session = new_session()

    def run(number: int) -> str:
        graph = Graph.of(Adapt(adapter=str(number), checkpoint=checkpoint))
        return str(session.run(graph)["adapt"])

    assert run_in_threads(run, 64) == [str(number) for number in range(64)]
    assert [component.leases for component in session.models.loaded()] == [0]


def test_sessions_take_turns_at_a_device_and_not_at_two() -> None:
    order: list[str] = []
    entered, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with device_lock("cuda"):
            order.append("first")
            entered.set()
            leave.wait(10)
            order.append("first ends")

    def follow() -> None:
        with device_lock("cuda:0"):
            order.append("second")

    threads = [threading.Thread(target=hold), threading.Thread(target=follow)]
    threads[0].start()
    assert entered.wait(10)
    threads[1].start()
    with device_lock("cuda:1"), device_lock("cuda:1"), device_lock("cpu"):
        order.append("elsewhere")
    leave.set()
    for thread in threads:
        thread.join(10)
    assert order == ["first", "elsewhere", "first ends", "second"]


@pytest.mark.torch
def test_a_node_may_run_a_graph_of_its_own(checkpoint: Checkpoint) -> None:
    session = new_session()

    class Outer(Adapt):
        """Runs another node while it has its own models."""

        def run(self, checkpoint: Checkpoint, models: Models) -> str:
            inner = Graph.of(Adapt(adapter="inner", checkpoint=checkpoint))
            return f"{self.adapter} of {session.run(inner)['adapt']}"

    outer = Outer(adapter="outer", checkpoint=checkpoint)
    assert session.run(Graph.of(outer))["outer"] == "outer of inner"


@pytest.mark.torch
def test_a_node_that_fails_gives_its_turn_back(checkpoint: Checkpoint) -> None:
    class Fail(Adapt):
        """Fails while it has its models."""

        def run(self, checkpoint: Checkpoint, models: Models) -> str:
            raise ValueError("on purpose")

    session = new_session()
    with ThreadPoolExecutor(1) as pool, pytest.raises(Exception, match="on purpose"):
        pool.submit(session.run, Graph.of(Fail(adapter="a", checkpoint=checkpoint))).result()
    graph = Graph.of(Adapt(adapter="b", checkpoint=checkpoint))
    assert session.run(graph)["adapt"] == "b"


def test_threads_get_one_default_session() -> None:
    with ThreadPoolExecutor(8) as pool:
        sessions = list(pool.map(lambda _: id(default_session()), range(64)))
    assert len(set(sessions)) == 1
