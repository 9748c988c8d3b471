"""What stays loaded after a run, and why: pins, unloading, and how long unused models are kept."""

from __future__ import annotations

import threading
import time
from pathlib import Path

import pytest

from sdgraph import events
from sdgraph.errors import InvalidValueError
from sdgraph.execution import Session
from sdgraph.graph import Graph
from sdgraph.memory import Budgets
from sdgraph.models import ModelCache
from sdgraph.values import Checkpoint, Part
from tests.support import fake_checkpoints, toys

pytestmark = pytest.mark.torch


@pytest.fixture
def family(tmp_path: Path) -> list[Checkpoint]:
    """Three checkpoints of 7 and 2 bytes."""
    return [
        Checkpoint(
            fake_checkpoints.checkpoint(
                tmp_path / letter,
                unet=fake_checkpoints.safetensors(letter.encode() * 7),
                vae=fake_checkpoints.safetensors(letter.encode() * 2),
            )
        )
        for letter in "abc"
    ]


def make_session(keep_alive: float | None = None, budget: int | None = None) -> Session:
    cache = ModelCache(
        fake_checkpoints.Loader(),
        Budgets(host=budget),
        probe=lambda device: 10**6,
        reserve=0,
        keep_alive=keep_alive,
    )
    return Session(device="cpu", dtype="float32", models=cache, store=None)


def dream(checkpoint: Checkpoint) -> Graph:
    return Graph.of(toys.Dream(checkpoint=checkpoint))


def loaded_names(session: Session) -> list[str]:
    return [
        Path(component.name).parent.name + Path(component.name).name
        for component in session.models.loaded()
    ]


def test_a_pinned_checkpoint_stays_when_memory_is_needed(family: list[Checkpoint]) -> None:
    session = make_session(budget=18)
    session.models.pin(family[0])  # before it is loaded
    for checkpoint in family:
        session.run(dream(checkpoint))
    assert loaded_names(session) == ["aunet", "avae", "cunet", "cvae"]
    assert {component.why for component in session.models.loaded()} == {
        "pinned",
        "kept until its memory is needed",
    }
    session.models.unpin(family[0])
    session.models.pin(str(family[2].source))  # after it was
    session.run(dream(family[1]))
    assert loaded_names(session) == ["cunet", "cvae", "bunet", "bvae"]


def test_pins_that_leave_too_little_memory_are_reported_before_the_run(
    family: list[Checkpoint],
) -> None:
    session = make_session(budget=17)
    session.models.pin(family[0])
    session.run(dream(family[0]))
    with pytest.raises(InvalidValueError, match=r"wanted: at least 18 bytes.*pinned") as caught:
        session.run(dream(family[1]))
    assert "fewer pinned components" in str(caught.value)
    assert loaded_names(session) == ["aunet", "avae"]


def test_one_checkpoint_is_unloaded_or_all_but_those_leased_or_pinned(
    family: list[Checkpoint],
) -> None:
    session = make_session()
    for checkpoint in family:
        session.run(dream(checkpoint))
    assert session.models.unload(family[1]) == 9
    assert loaded_names(session) == ["aunet", "avae", "cunet", "cvae"]
    session.models.pin(family[2])
    with session.models.lease({"vae": Part(family[0], "vae")}, "cpu", "float32"):
        assert [component.why for component in session.models.loaded() if component.leases] == [
            "leased by 1 node"
        ]
        assert session.models.unload() == 7
    assert sorted(loaded_names(session)) == ["avae", "cunet", "cvae"]


def test_with_no_keep_alive_a_run_leaves_nothing_but_pins(family: list[Checkpoint]) -> None:
    session = make_session(keep_alive=0)
    session.models.pin(family[1])
    session.run(Graph.of(*(toys.Dream(checkpoint=member) for member in family)))
    assert loaded_names(session) == ["bunet", "bvae"]


def test_with_no_keep_alive_what_is_not_used_again_goes_before_the_next_load(
    family: list[Checkpoint],
) -> None:
    graph = Graph.of(*(toys.Dream(checkpoint=member) for member in family))
    event_log: list[events.Event] = []
    session = make_session(keep_alive=0)
    plan = session.plan(graph)
    assert plan.peak_host == 9 and make_session().plan(graph).peak_host == 27
    session.run(graph, event_log.append)
    kinds = [event.kind for event in event_log if event.kind in ("loaded", "evicted")]
    assert kinds == [*["loaded"] * 2, *["evicted", "evicted", "loaded", "loaded"] * 2]


def test_within_a_run_what_is_used_again_is_not_unloaded(family: list[Checkpoint]) -> None:
    session = make_session(keep_alive=0)
    one = toys.Dream(checkpoint=family[0])
    loader = session.models.load
    session.run(Graph.of(toys.Dream(prompt=one, checkpoint=family[0])))
    assert isinstance(loader, fake_checkpoints.Loader) and len(loader.loaded) == 2


def test_what_is_unused_for_long_enough_is_unloaded(
    family: list[Checkpoint], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    session = make_session(keep_alive=60)
    session.run(dream(family[0]))
    now[0] = 130.0
    session.run(dream(family[1]))
    assert loaded_names(session) == ["aunet", "avae", "bunet", "bvae"]
    now[0] = 165.0
    session.models.expire()
    assert loaded_names(session) == ["bunet", "bvae"]
    assert session.models._timer is not None
    session.models._timer.cancel()


def test_the_timer_unloads_what_is_unused(family: list[Checkpoint]) -> None:
    session = make_session(keep_alive=0.05)
    session.run(dream(family[0]))
    until = time.monotonic() + 30
    while session.models.loaded() and time.monotonic() < until:
        threading.Event().wait(0.01)
    assert session.models.loaded() == ()
