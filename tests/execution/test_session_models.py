"""Sessions share the components of models, run one model node at a time, and stop within a step."""

from __future__ import annotations

import _thread
import threading
from pathlib import Path
from typing import Any

import pytest

from sdgraph import events
from sdgraph.errors import NodeFailedError
from sdgraph.execution import Session, plan, run
from sdgraph.graph import Graph, Node
from sdgraph.models import ModelCache
from tests.support import fake_checkpoints, toys


@pytest.fixture
def session() -> Session:
    return Session(device="cpu", models=ModelCache(fake_checkpoints.Loader()))


@pytest.fixture
def dreams(tmp_path: Path) -> str:
    return checkpoint(tmp_path / "model")


def checkpoint(folder: Path, number: int = 0) -> str:
    weights = {
        name: fake_checkpoints.safetensors(f"{name} {number}".encode()) for name in ("unet", "vae")
    }
    return str(fake_checkpoints.checkpoint(folder, **weights))


def weight_bytes(folder: str) -> int:
    return sum(path.stat().st_size for path in Path(folder).rglob("*.safetensors"))


def actions(session: Session, *targets: Node[Any]) -> dict[str, str]:
    return {step.name: step.action for step in session.plan(Graph.of(*targets)).steps}


@pytest.mark.torch
def test_a_second_node_over_one_checkpoint_loads_nothing(session: Session, dreams: str) -> None:
    one = toys.Dream(prompt="a", checkpoint=dreams)  # type: ignore[arg-type]
    two = toys.Dream(prompt=one, checkpoint=dreams)  # type: ignore[arg-type]
    event_log: list[events.Event] = []
    text = run(two, session=session, on_event=event_log.append)
    assert text == f"a by unet and vae of {dreams} by unet and vae of {dreams}"
    loads = [event.component for event in event_log if isinstance(event, events.Loaded)]
    assert loads == [f"{dreams}/unet", f"{dreams}/vae"]
    end = event_log[-1]
    assert isinstance(end, events.RunFinished)
    assert (end.loads, end.bytes_loaded) == (2, weight_bytes(dreams))


@pytest.mark.torch
def test_the_plan_predicts_loads_and_reuse(session: Session, dreams: str) -> None:
    target = toys.Dream(prompt="a", checkpoint=dreams)  # type: ignore[arg-type]
    before = session.plan(Graph.of(target))
    assert [Path(load.name).name for load in before.loads] == ["unet", "vae"]
    assert before.bytes_loaded == weight_bytes(dreams)
    run(target, session=session)
    other = toys.Dream(prompt="b", checkpoint=dreams)  # type: ignore[arg-type]
    assert session.plan(Graph.of(other)).loads == ()
    assert actions(session, target) == {"dream": "reuse"}


@pytest.mark.torch
def test_a_checkpoint_that_a_node_makes_is_used_once_it_is_known(
    session: Session, dreams: str
) -> None:
    target = toys.Dream(prompt="a", checkpoint=toys.Train(source=dreams))
    assert plan(target).loads == ()
    assert run(target, session=session) == f"a by unet and vae of {dreams}"
    toys.ran.clear()
    run(target, session=session)
    assert toys.ran == []


@pytest.mark.torch
def test_light_nodes_run_in_parallel_with_a_model_node(session: Session, dreams: str) -> None:
    # Each waits for the other: it ends only if both run at once.
    dream = toys.Dream(checkpoint=dreams, opens="dreaming", awaits="waiting")  # type: ignore[arg-type]
    light = toys.Wait(opens="waiting", awaits="dreaming")
    run(dream, light, session=session)


@pytest.mark.torch
def test_two_model_nodes_never_run_or_load_at_once(tmp_path: Path) -> None:
    loader = fake_checkpoints.Loader()
    session = Session(device="cpu", models=ModelCache(loader))
    nodes = [
        toys.Dream(
            prompt=toys.Text(text=str(n)),
            checkpoint=checkpoint(tmp_path / str(n), n),  # type: ignore[arg-type]
        )
        for n in range(6)
    ]
    running, most = 0, 0

    def count(event: events.Event) -> None:
        nonlocal running, most
        if isinstance(event, events.NodeStarted) and event.type == "Dream":
            running += 1
            most = max(most, running)
        running -= isinstance(event, events.NodeFinished) and "dream" in event.node

    run(nodes[0], *nodes[1:], session=session, on_event=count)
    assert most == 1 and loader.overlaps == 0 and len(loader.loaded) == 12


@pytest.mark.torch
def test_a_failing_light_node_stops_the_model_node_at_its_next_step(
    session: Session, dreams: str
) -> None:
    steps: list[int] = []

    class Doomed(Node[int]):
        def run(self) -> int:
            toys.gates.setdefault("dreaming", threading.Event()).wait(20)
            raise ValueError("no")

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Stepped):
            steps.append(event.step)

    dream = toys.Dream(checkpoint=dreams, steps=10**9, opens="dreaming")  # type: ignore[arg-type]
    with pytest.raises(NodeFailedError, match="doomed: ValueError: no"):
        run(dream, Doomed(), session=session, on_event=listen)
    assert all(not component.leases for component in session.models.loaded())


@pytest.mark.torch
def test_ctrl_c_stops_within_a_step(session: Session, dreams: str) -> None:
    steps: list[int] = []

    def listen(event: events.Event) -> None:
        if isinstance(event, events.Stepped):
            steps.append(event.step)
            if event.step == 3:
                _thread.interrupt_main()

    dream = toys.Dream(checkpoint=dreams, steps=10**7)  # type: ignore[arg-type]
    with pytest.raises(KeyboardInterrupt):
        run(dream, toys.Wait(), session=session, on_event=listen)
    assert len(steps) <= 5 and all(not component.leases for component in session.models.loaded())
    assert threading.active_count() == 1 or not [
        thread for thread in threading.enumerate() if thread.name.startswith("sdgraph-light")
    ]


@pytest.mark.torch
@pytest.mark.parametrize("error", [SystemExit("bye"), KeyboardInterrupt(), ValueError("x")])
@pytest.mark.timeout(60)
def test_whatever_ends_a_light_thread_ends_the_run(
    session: Session, dreams: str, error: BaseException
) -> None:
    class Exits(Node[int]):
        def run(self) -> int:
            toys.gates.setdefault("dreaming", threading.Event()).wait(20)
            raise error

    dream = toys.Dream(checkpoint=dreams, steps=10**9, opens="dreaming")  # type: ignore[arg-type]
    with pytest.raises((type(error), NodeFailedError)):
        run(dream, Exits(), session=session)


@pytest.mark.torch
@pytest.mark.timeout(60)
@pytest.mark.parametrize("kind", [events.NodeStarted, events.Released, events.NodeFinished])
def test_a_listener_that_raises_ends_the_run_and_hangs_nobody(
    session: Session, dreams: str, kind: type[events.Event]
) -> None:
    def listen(event: events.Event) -> None:
        if isinstance(event, kind):
            raise BrokenPipeError("nobody reads")

    dream = toys.Dream(prompt=toys.Text(text="x"), checkpoint=dreams)  # type: ignore[arg-type]
    with pytest.raises((BrokenPipeError, NodeFailedError)):
        run(dream, toys.Halve(a=toys.Number(value=1)), session=session, on_event=listen)


@pytest.mark.torch
def test_a_failed_load_names_the_node_and_pins_nothing(dreams: str) -> None:
    loader = fake_checkpoints.Loader(failing={f"{dreams}/vae"})
    session = Session(device="cpu", models=ModelCache(loader))
    message = r"dream: .*vae\n  found:  it cannot be loaded \(OSError: the file cannot"
    with pytest.raises(NodeFailedError, match=message):
        run(toys.Dream(checkpoint=dreams), session=session)  # type: ignore[arg-type]
    assert all(not component.leases for component in session.models.loaded())
