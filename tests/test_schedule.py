"""A schedule walks any plan to its end, in one thread or in several."""

from __future__ import annotations

import threading
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sdgraph import events
from sdgraph.graph import Graph
from sdgraph.models import ModelCache
from sdgraph.node import Node
from sdgraph.run import Session
from tests import fakes, toys


@settings(max_examples=30, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 9), st.integers(0, 9)), max_size=10))
def test_models_and_light_nodes_in_any_graph_end_in_order(
    tmp_path: Path, shape: list[tuple[bool, int, int]]
) -> None:
    model = str(tmp_path / "model")
    if not Path(model).exists():
        whole = {name: fakes.safetensors(b"w") for name in ("unet", "vae")}
        fakes.checkpoint(Path(model), **whole)
    made: list[Node[str]] = [toys.Text(text="start")]
    for place, (heavy, one, two) in enumerate(shape):
        first, second = made[one % len(made)], made[two % len(made)]
        made.append(
            toys.Dream(prompt=first, checkpoint=model)  # type: ignore[arg-type]
            if heavy
            else toys.Join(words=[first, second, str(place)])
        )
    session = Session(device="cpu", models=ModelCache(fakes.Loader()), store=None)
    graph, seen = Graph.of(*made), list[events.Event]()
    session.run(graph, seen.append)
    ended = {each.node: each.at for each in seen if isinstance(each, events.NodeFinished)}
    began = {each.node: each.at for each in seen if isinstance(each, events.NodeStarted)}
    assert set(ended) == set(began) == set(graph.names.values())
    for node in graph.nodes:
        for _, child in node.wires:
            assert ended[graph.names[child]] <= began[graph.names[node]]
    assert not [each for each in threading.enumerate() if each.name.startswith("sdgraph-light")]


def test_a_plan_without_models_stays_in_the_calling_thread() -> None:
    threads: set[str] = set()

    class Where(Node[str]):
        number: int

        def run(self) -> str:
            threads.add(threading.current_thread().name)
            return ""

    Session().run(Graph.of(*[Where(number=n) for n in range(20)]))
    assert threads == {threading.current_thread().name}
