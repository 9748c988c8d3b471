"""Any plan is executed to its end, in one thread or in several."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdgraph import events
from sdgraph.errors import NodeFailedError
from sdgraph.execution import Session, step_threads
from sdgraph.execution.schedule import MAX_MODEL_STEPS_AHEAD
from sdgraph.graph import Graph, Node
from sdgraph.models import ModelCache
from sdgraph.values import Checkpoint
from tests.support import fake_checkpoints, toys


@pytest.mark.torch
@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 9)), max_size=10))
def test_models_and_light_nodes_in_any_graph_end_in_order(
    tmp_path: Path, shape: list[tuple[bool, int, int]]
) -> None:
    model = str(tmp_path / "model")
    if not Path(model).exists():
        weights = {name: fake_checkpoints.safetensors(b"w") for name in ("unet", "vae")}
        fake_checkpoints.checkpoint(Path(model), **weights)
    nodes: list[Node[str]] = [toys.Text(text="start")]
    for place, (heavy, one, two) in enumerate(shape):
        first, second = nodes[one % len(nodes)], nodes[two % len(nodes)]
        nodes.append(
            toys.Dream(prompt=first, checkpoint=model)  # type: ignore[arg-type]
            if heavy
            else toys.Join(words=[first, second, str(place)])
        )
    session = Session(device="cpu", models=ModelCache(fake_checkpoints.Loader()), store=None)
    graph, event_log = Graph.of(*nodes), list[events.Event]()
    session.run(graph, event_log.append)
    ended = {event.node: event.at for event in event_log if isinstance(event, events.NodeFinished)}
    began = {event.node: event.at for event in event_log if isinstance(event, events.NodeStarted)}
    assert set(ended) == set(began) == set(graph.names.values())
    for node in graph.nodes:
        for _, child in node.wires:
            assert ended[graph.names[child]] <= began[graph.names[node]]
    assert not [
        thread for thread in threading.enumerate() if thread.name.startswith("sdgraph-light")
    ]


def test_a_plan_of_small_steps_without_models_stays_in_the_calling_thread(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(step_threads, "HEAVY_SECONDS", 60.0)  # whatever else this machine does
    threads: set[str] = set()

    class Where(Node[str]):
        number: int

        def run(self) -> str:
            threads.add(threading.current_thread().name)
            return ""

    Session().run(Graph.of(*[Where(number=n) for n in range(20)]))
    assert threads == {threading.current_thread().name}


@pytest.mark.torch
def test_light_steps_are_not_far_ahead_of_the_models(tmp_path: Path) -> None:
    weights = {name: fake_checkpoints.safetensors(b"w") for name in ("unet", "vae")}
    model = str(fake_checkpoints.checkpoint(tmp_path / "model", **weights))

    class Slow(toys.Dream):
        def run(self, prompt: str, checkpoint: Checkpoint, models: Any, progress: Any) -> str:
            time.sleep(0.01)  # in which light threads could do all there is
            return prompt

    texts = [toys.Text(text=str(n)) for n in range(30)]
    targets = [Slow(prompt=text, checkpoint=model) for text in texts]  # type: ignore[arg-type]
    graph = Graph(tuple(targets), Graph.of(*targets).nodes, Graph.of(*targets).names, variants=True)
    held, most = 0, 0

    def count(event: events.Event) -> None:
        nonlocal held, most
        if isinstance(event, events.NodeFinished) and event.node.startswith("text"):
            held, most = held + 1, max(most, held + 1)
        elif isinstance(event, events.Released):
            held -= 1

    session = Session(device="cpu", models=ModelCache(fake_checkpoints.Loader()), store=None)
    session.run(graph, count)
    assert held == 0 and 1 <= most <= MAX_MODEL_STEPS_AHEAD + 2


@pytest.mark.parametrize("code", [0, None, 3])
def test_a_node_that_exits_has_failed(code: int | None) -> None:
    class Exit(Node[int]):
        """Ends the program."""

        def run(self) -> int:
            sys.exit(code)

    log: list[events.Event] = []
    with pytest.raises(NodeFailedError, match=r"sys\.exit"):
        Session(store=None).run(Graph.of(Exit()), log.append)
    assert isinstance(log[-1], events.NodeFailed)
