"""Nodes that are computed at once: their events, results, memory and failures. No torch."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import pytest

from sdgraph import events
from sdgraph.errors import NodeFailedError, NodesFailedError
from sdgraph.execution import Session
from sdgraph.graph import Graph, In, Node, Progress, Stage
from sdgraph.memory import Budgets
from sdgraph.models import ModelCache, Models
from sdgraph.models.loading import devices
from sdgraph.store import Store
from sdgraph.values import Checkpoint, Part
from tests.support import fake_checkpoints, toys

KB = 1000

batches: list[list[int]] = []
"""The seeds of every batch that was tried."""
alone: list[int] = []
"""The seeds of every node that ran by itself."""


class Drawing(Node[str]):
    """Draws a text from a seed, several at once; more than `most` at once need too much memory."""

    batch_fields = frozenset({"seed", "text"})

    text: In[str] = "star"
    seed: In[int] = 0
    most: int = 99
    checkpoint: In[Checkpoint]

    def parts(self) -> Mapping[str, Part]:
        assert isinstance(self.checkpoint, Checkpoint)
        return {name: Part(self.checkpoint, name) for name in ("encoder", "painter")}

    def stages(self) -> Iterator[Stage]:
        if isinstance(self.text, str):
            yield Stage("prompt", {"text": self.text}, ("encoder",), runs_alone=True)

    def run_stage(self, name: str, models: Models, arguments: Mapping[str, Any]) -> bytes:
        return str(arguments["text"]).upper().encode()

    def working_memory(self, sizes: Mapping[str, int], dtype: str) -> int:
        return 10 * KB

    def is_batch_exact(self, device: str, dtype: str) -> bool:
        return device == "cpu"

    def best_batch(self, device: str, dtype: str) -> int:
        return 4

    @classmethod
    def run_batch(
        cls,
        nodes: Sequence[Self],
        models: Sequence[Models],
        arguments: Sequence[Mapping[str, Any]],
        progress: Progress,
    ) -> list[str]:
        batches.append([values["seed"] for values in arguments])
        if len(nodes) > nodes[0].most:
            raise MemoryError("out of memory: tried to allocate 9 GiB")
        progress(1, 1)
        pairs = zip(nodes, models, arguments, strict=True)
        return [node._draw(own, **values) for node, own, values in pairs]

    def _draw(self, models: Models, text: str, seed: int, checkpoint: Checkpoint) -> str:
        if seed == 13:
            raise ValueError("an unlucky seed")
        data = models.recall("prompt", lambda: text.upper().encode())
        return f"{data.decode()} {seed}"

    def run(
        self, text: str, seed: int, checkpoint: Checkpoint, models: Models, progress: Progress
    ) -> str:
        alone.append(seed)
        progress(1, 1)
        return self._draw(models, text, seed, checkpoint)


@pytest.fixture(autouse=True)
def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    batches.clear()
    alone.clear()
    monkeypatch.setattr(devices, "choose_device", lambda device: device)
    monkeypatch.setattr(devices, "give_back", lambda device, collect=True: None)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    weights = {
        name: fake_checkpoints.safetensors(name[:1].encode() * 30 * KB)
        for name in ("encoder", "painter")
    }
    return Checkpoint(str(fake_checkpoints.checkpoint(tmp_path / "base", **weights)))


def make_session(
    budget: int | None = None, *, batch: int | None = None, device: str = "cpu"
) -> Session:
    budgets = Budgets(accelerator=budget, host=budget)
    cache = ModelCache(fake_checkpoints.Loader(), budgets, probe=lambda _: 10**9, reserve=0)
    return Session(device=device, dtype="float32", models=cache, store=Store(), batch=batch)


def run(
    nodes: Sequence[Node[Any]], session: Session, **how: Any
) -> tuple[list[Any], list[events.Event]]:
    graph, event_log = Graph.of(*nodes), list[events.Event]()
    values = session.run(graph, event_log.append, **how)
    return [values[graph.names[node]] for node in nodes], event_log


def test_nodes_that_differ_in_seed_and_text_are_computed_at_once(checkpoint: Checkpoint) -> None:
    nodes = [
        Drawing(text=["star", "ring"][seed % 2], seed=seed, checkpoint=checkpoint)
        for seed in range(6)
    ]
    values, event_log = run(nodes, make_session())
    assert values == ["STAR 0", "RING 1", "STAR 2", "RING 3", "STAR 4", "RING 5"]
    assert batches == [[0, 1, 2], [3, 4, 5]]
    assert alone == []
    names = [f"drawing_{n}" for n in range(2, 7)]
    for kind in (events.NodeStarted, events.Stepped, events.NodeFinished):
        told = [event.node for event in event_log if isinstance(event, kind)]
        assert sorted(told) == sorted(["drawing", *names]), "each node has its own events"


def test_each_result_is_remembered_under_the_key_that_it_has_alone(checkpoint: Checkpoint) -> None:
    nodes = [Drawing(seed=seed, checkpoint=checkpoint) for seed in range(4)]
    session = make_session()
    run(nodes, session)
    session.batch = 1
    values, event_log = run(nodes, session)
    assert values == [f"STAR {seed}" for seed in range(4)]
    assert sum(isinstance(event, events.Reused) for event in event_log) == 4
    assert alone == []


def test_results_that_are_remembered_are_no_part_of_a_batch(checkpoint: Checkpoint) -> None:
    nodes = [Drawing(seed=seed, checkpoint=checkpoint) for seed in range(4)]
    session = make_session()
    run(nodes[1:2], session)
    run(nodes, session)
    assert (batches, alone) == ([[0, 2, 3]], [1])


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"batch": 1}, "the user wants none"),
        ({"device": "cuda"}, "its bits are not those of one at a time"),
    ],
)
def test_nodes_run_one_after_another(
    change: dict[str, Any], why: str, checkpoint: Checkpoint
) -> None:
    nodes = [Drawing(seed=seed, checkpoint=checkpoint) for seed in range(3)]
    run(nodes, make_session(**change))
    assert (batches, alone) == ([], [0, 1, 2]), why


def test_other_bits_have_to_be_asked_for_and_have_other_keys(checkpoint: Checkpoint) -> None:
    nodes = [Drawing(seed=seed, checkpoint=checkpoint) for seed in range(4)]
    session = make_session(batch=4, device="cuda")
    run(nodes, session)
    assert batches == [[0, 1, 2, 3]]
    for batch, again in ((4, 0), (2, 4), (2, 0), (None, 4), (1, 0)):
        session.batch = batch
        _, event_log = run(nodes, session)
        started = sum(isinstance(event, events.NodeStarted) for event in event_log)
        assert started == again, f"batches of {batch}"


def test_other_bits_of_a_halved_batch_are_not_remembered(checkpoint: Checkpoint) -> None:
    nodes = [Drawing(seed=seed, most=2, checkpoint=checkpoint) for seed in range(4)]
    session = make_session(batch=4, device="cuda")
    for _ in range(2):
        batches.clear()
        run(nodes, session)
        assert batches == [[0, 1, 2, 3], [0, 1], [2, 3]]


def test_nodes_that_differ_in_another_field_are_not_mixed(checkpoint: Checkpoint) -> None:
    nodes = [Drawing(seed=seed, most=50 + seed % 2, checkpoint=checkpoint) for seed in range(4)]
    run(nodes, make_session())
    assert sorted(batches) == [[0, 2], [1, 3]]


def test_a_node_that_reads_another_is_in_a_later_batch(checkpoint: Checkpoint) -> None:
    first = [Drawing(seed=seed, checkpoint=checkpoint) for seed in range(3)]
    second = [Drawing(text=node, seed=5, checkpoint=checkpoint) for node in first]
    values, _ = run(second, make_session())
    assert values == ["STAR 0 5", "STAR 1 5", "STAR 2 5"]
    assert batches == [[0, 1, 2], [5, 5, 5]]


@pytest.mark.torch
@pytest.mark.parametrize(("budget", "sizes"), [(70, [4, 4]), (60, [3, 3, 2]), (50, [2] * 4)])
def test_a_batch_is_as_large_as_its_memory_allows(
    budget: int, sizes: list[int], checkpoint: Checkpoint
) -> None:
    nodes = [Drawing(seed=seed, checkpoint=checkpoint) for seed in range(8)]
    session = make_session(budget * KB)
    plan = session.plan(Graph.of(*nodes))
    assert [len(step.batch) for step in plan.steps if step.batch] == sizes
    run(nodes, session)
    assert [len(batch) for batch in batches] == sizes


def test_without_room_for_two_nodes_run_one_after_another(checkpoint: Checkpoint) -> None:
    nodes = [Drawing(seed=seed, checkpoint=checkpoint) for seed in range(3)]
    values, _ = run(nodes, make_session(45 * KB, batch=8))
    assert values == ["STAR 0", "STAR 1", "STAR 2"]
    assert (batches, alone) == ([], [0, 1, 2])


def test_a_batch_that_runs_out_of_memory_is_halved(checkpoint: Checkpoint) -> None:
    nodes = [Drawing(seed=seed, most=2, checkpoint=checkpoint) for seed in range(7)]
    values, event_log = run(nodes, make_session(batch=7))
    assert values == [f"STAR {seed}" for seed in range(7)]
    assert batches == [[*range(7)], [0, 1, 2, 3], [0, 1], [2, 3], [4, 5, 6], [4, 5]]
    assert alone == [6]
    changes = [event.change for event in event_log if isinstance(event, events.Retried)]
    assert changes == ["4 at once", "2 at once", "2 at once"]


def test_a_node_that_fails_in_a_batch_fails_alone(checkpoint: Checkpoint) -> None:
    nodes = [Drawing(seed=seed, checkpoint=checkpoint) for seed in (1, 13, 2)]
    session = make_session()
    with pytest.raises(NodeFailedError, match="an unlucky seed") as caught:
        run(nodes, session, keep_going=True)
    assert caught.value.node == "drawing_2"
    assert alone == [1, 13, 2]
    values, _ = run([nodes[0], nodes[2]], session)
    assert values == ["STAR 1", "STAR 2"]
    assert len(alone) == 3, "the others are remembered"


class Unlucky(Node[int]):
    """A number that may not be made."""

    value: int
    fails: bool = False

    def run(self) -> int:
        if self.fails:
            raise ValueError("no number")
        return self.value


@pytest.mark.parametrize("failing", range(3))
def test_a_batch_does_not_wait_for_an_input_that_failed(
    failing: int, checkpoint: Checkpoint
) -> None:
    numbers = [Unlucky(value=n, fails=n == failing) for n in range(3)]
    nodes = [Drawing(seed=number, checkpoint=checkpoint) for number in numbers]
    session = make_session()
    with pytest.raises(NodeFailedError, match="no number"):
        run(nodes, session, keep_going=True)
    others = [n for n in range(3) if n != failing]
    assert sorted([*alone, *[seed for batch in batches for seed in batch]]) == others


def test_every_input_of_a_batch_is_made_before_it(checkpoint: Checkpoint) -> None:
    numbers = [toys.Add(a=n, b=100) for n in range(30)]
    nodes = [Drawing(seed=number, checkpoint=checkpoint) for number in numbers]
    values, _ = run(nodes, make_session(batch=30))
    assert values == [f"STAR {n + 100}" for n in range(30)]
    assert batches == [[*range(100, 130)]]


def test_a_prompt_is_embedded_once_within_a_batch_and_alone_where_memory_is_short(
    checkpoint: Checkpoint,
) -> None:
    nodes = [Drawing(seed=seed, checkpoint=checkpoint) for seed in range(4)]
    session = make_session(60 * KB)  # no room for the encoder, the painter and working memory
    values, event_log = run(nodes, session)
    assert values == [f"STAR {seed}" for seed in range(4)]
    assert sum(isinstance(event, events.StageStarted) for event in event_log) == 1
    assert batches, "there is room for a batch once the encoder is gone"


def test_several_failures_with_keep_going_are_told(checkpoint: Checkpoint) -> None:
    nodes = [
        Drawing(seed=13, text=text, checkpoint=checkpoint) for text in ("star", "ring", "disc")
    ]
    with pytest.raises(NodesFailedError) as caught:
        run(nodes, make_session(), keep_going=True)
    assert len(caught.value.failures) == 3
