"""What a plan predicts about memory happens; where it cannot, the run adapts and goes on."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sdgraph import events
from sdgraph.errors import InvalidValueError, NodeFailedError
from sdgraph.execution import Plan, Session
from sdgraph.graph import Graph, Node
from sdgraph.memory import Action, Budgets
from sdgraph.models import ModelCache
from sdgraph.models.loading import devices
from sdgraph.store import Store
from sdgraph.values import Checkpoint, Part
from tests.support import fake_checkpoints, toys

SIZES = (5, 9, 14, 22)
NODE = max(SIZES) * 2
"""No node needs more."""


@pytest.fixture(scope="module")
def family(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    """Six checkpoints; some hold one another's U-Net or VAE."""
    folder = tmp_path_factory.mktemp("family")
    chance = random.Random(0)
    checkpoints = []
    for number in range(6):
        unet, vae = (chance.choice(SIZES) for _ in range(2))
        unet_bytes = fake_checkpoints.safetensors(bytes([chance.randrange(3)]) * unet)
        vae_bytes = fake_checkpoints.safetensors(bytes([9]) * vae)
        checkpoints.append(
            str(fake_checkpoints.checkpoint(folder / f"m{number}", unet=unet_bytes, vae=vae_bytes))
        )
    return checkpoints


@pytest.fixture(autouse=True)
def pretend(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Every device exists, and no memory is given back."""
    monkeypatch.setattr(devices, "choose_device", lambda device: device)
    monkeypatch.setattr(devices, "give_back", lambda device, collect=True: None)
    yield


def session_on(
    device: str, accelerator: int | None, host: int | None, keep_alive: float | None = None
) -> Session:
    cache = ModelCache(
        fake_checkpoints.Loader(),
        Budgets(accelerator, host),
        probe=lambda device: 10**6,
        reserve=0,
        keep_alive=keep_alive,
    )
    return Session(device=device, dtype="float32", models=cache, store=None)


def workflow(chance: random.Random, family: Sequence[str]) -> Graph:
    """A random workflow: texts that models make from texts, some of them joined."""
    nodes: list[Node[Any]] = [toys.Text(text="x")]
    for number in range(chance.randint(1, 9)):
        prompt, other = chance.choice(nodes), chance.choice(nodes)
        if chance.random() < 0.3:
            nodes.append(toys.Join(words=[prompt, other]))
        else:
            source = Checkpoint(chance.choice(family))
            nodes.append(toys.Dream(prompt=prompt, checkpoint=source, steps=number))
    return Graph.of(*chance.sample(nodes, min(len(nodes), chance.randint(1, 4))))


def planned_moves(plan: Plan) -> list[tuple[str, str, str]]:
    """The moves of a plan: the step, what is done, and to which component."""
    return [
        (step.name, _word(action), action.component.name)
        for step in plan.steps
        for action in step.memory_actions
    ]


def _word(action: Action) -> str:
    return {"evict": "evicted", "load": "loaded", "offload": "moved", "upload": "moved"}[
        action.kind
    ]


def reported_moves(event_log: Sequence[events.Event]) -> list[tuple[str, str, str]]:
    """The moves that a run reported, in the same form."""
    moves, node = [], ""
    for event in event_log:
        if isinstance(event, events.NodeStarted) and event.type == "Dream":
            node = event.node
        elif isinstance(event, events.Loaded | events.Moved | events.Evicted):
            moves.append((node, event.kind, event.component))
    return moves


def budgets(chance: random.Random) -> tuple[int | None, int | None]:
    return chance.choice((None, NODE, NODE + 10, 80)), chance.choice((None, NODE, 60, 90))


@settings(max_examples=100)
@given(st.integers(0, 2**32))
def test_what_the_plan_predicts_happens(family: list[str], seed: int) -> None:
    chance = random.Random(seed)
    device = chance.choice(("cpu", "cuda"))
    session = session_on(device, *budgets(chance), chance.choice((None, 0)))
    for _ in range(chance.randint(1, 3)):  # the later ones find what the earlier ones left
        graph = workflow(chance, family)
        plan = session.plan(graph)
        event_log: list[events.Event] = []
        session.run(graph, event_log.append)
        assert reported_moves(event_log) == planned_moves(plan)
        (end,) = (event for event in event_log if isinstance(event, events.RunFinished))
        assert (end.loads, end.bytes_loaded) == (len(plan.loads), plan.bytes_loaded)
        loaded = [event.bytes for event in event_log if isinstance(event, events.Loaded)]
        assert loaded == [load.bytes for load in plan.loads]
        assert most_held(plan, event_log) == (plan.peak_accelerator, plan.peak_host)


def most_held(plan: Plan, event_log: Sequence[events.Event]) -> tuple[int, int]:
    """The most bytes on the accelerator and on the host, counted from events."""
    at = {
        component.name: (str(held.tier), component.bytes)
        for component, held in plan.contents.items()
    }
    device = {True: "host", False: "accelerator"}
    peaks = [0, 0]

    def count() -> None:
        for place, tier in enumerate(("accelerator", "host")):
            peaks[place] = max(peaks[place], sum(b for t, b in at.values() if t == tier))

    count()
    for event in event_log:
        if isinstance(event, events.Evicted):
            del at[event.component]
        elif isinstance(event, events.Loaded | events.Moved):
            at[event.component] = device[event.device == "cpu"], event.bytes
        count()
    return peaks[0], peaks[1]


@settings(max_examples=50)
@given(st.integers(0, 2**32))
def test_a_run_that_departs_from_its_plan_keeps_the_budget(family: list[str], seed: int) -> None:
    """Some results are found that the plan did not expect, and some checkpoints are known late."""
    chance = random.Random(seed)
    device = chance.choice(("cpu", "cuda"))
    accelerator, host = budgets(chance)
    session = session_on(device, accelerator, host, chance.choice((None, 0)))
    session.store = Store()
    halves = [toys.Halve(a=toys.Number(value=n)) for n in range(4)]
    texts = [toys.Text(text="x")]
    nodes: list[Node[Any]] = []
    for number in range(chance.randint(2, 8)):
        source: Any = chance.choice(family)
        if chance.random() < 0.3:
            source = toys.Train(source=source)
        prompt = chance.choice([*texts, *nodes])
        nodes.append(toys.Dream(prompt=prompt, checkpoint=source, steps=number % 3))
    first = Graph.of(*chance.sample(nodes, 1), *halves)
    session.run(first)
    event_log: list[events.Event] = []
    session.run(Graph.of(*nodes), event_log.append)
    held = [(component.tier, component.bytes) for component in session.models.loaded()]
    for tier, budget in (("accelerator", accelerator), ("host", host)):
        if budget is not None:
            assert sum(size for at, size in held if at == tier) <= budget
    assert not any(component.leases for component in session.models.loaded())


def test_a_component_above_a_budget_is_refused_before_anything_runs(family: list[str]) -> None:
    session = session_on("cpu", None, 4)
    target = toys.Dream(checkpoint=family[0], prompt=toys.Text(text="a"))  # type: ignore[arg-type]
    with pytest.raises(InvalidValueError, match="a budget of 4 bytes on the host"):
        session.run(Graph.of(target))
    assert toys.ran == []


def test_a_late_checkpoint_above_a_budget_is_a_clear_error(family: list[str]) -> None:
    session = session_on("cpu", None, 4)
    target = toys.Dream(checkpoint=toys.Train(source=family[0]))
    with pytest.raises(NodeFailedError, match="a budget of 4 bytes on the host"):
        session.run(Graph.of(target))
    assert session.models.loaded() == ()


def test_what_is_found_free_is_no_law(family: list[str]) -> None:
    cache = ModelCache(fake_checkpoints.Loader(), probe=lambda device: 4, reserve=0)
    session = Session(device="cpu", models=cache, store=None)
    graph = Graph.of(toys.Dream(checkpoint=family[0]))  # type: ignore[arg-type]
    plan = session.plan(graph)
    assert "4 are free" in plan.warnings[0]
    session.run(graph)
    assert len(cache.loaded()) == 2


def test_another_runs_lease_in_the_way_is_worked_around(tmp_path: Path) -> None:
    small, large = fake_checkpoints.safetensors(b"v"), fake_checkpoints.safetensors(b"u" * 7)
    one = fake_checkpoints.checkpoint(tmp_path / "one", unet=large, vae=small)
    two = fake_checkpoints.checkpoint(
        tmp_path / "two", unet=fake_checkpoints.safetensors(b"w" * 5), vae=small
    )
    session = session_on("cuda", 10, None)
    graph = Graph.of(toys.Dream(checkpoint=str(two)))  # type: ignore[arg-type]
    with session.models.lease({"unet": Part(Checkpoint(one), "unet")}, "cuda", "float32"):
        session.run(graph)
        names = [component.name for component in session.models.loaded()]
        assert names == [f"{one}/unet", f"{two}/vae"], "what was above the budget has gone"
