"""Weights that go bad during a run stop the node that needs them, and no other."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from sdgraph import events, run
from sdgraph.errors import InvalidValueError, NodeFailedError
from sdgraph.execution import Session
from sdgraph.memory import Budgets
from sdgraph.models import ModelCache
from sdgraph.values import Checkpoint, Part
from tests.support import fake_checkpoints, toys

pytestmark = pytest.mark.torch


def checkpoint(folder: Path, letter: bytes) -> Checkpoint:
    unet, vae = fake_checkpoints.safetensors(letter * 70), fake_checkpoints.safetensors(letter * 20)
    return Checkpoint(fake_checkpoints.checkpoint(folder, unet=unet, vae=vae))


@pytest.fixture
def good(tmp_path: Path) -> Checkpoint:
    return checkpoint(tmp_path / "good", b"g")


@pytest.fixture
def bad(tmp_path: Path) -> Checkpoint:
    return checkpoint(tmp_path / "bad", b"b")


def gone(path: Path, loader: fake_checkpoints.Loader) -> None:
    path.unlink()


def change_weights(path: Path, loader: fake_checkpoints.Loader) -> None:
    path.write_bytes(path.read_bytes().replace(b"b", b"B"))


def cut_weights_short(path: Path, loader: fake_checkpoints.Loader) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def torn(path: Path, loader: fake_checkpoints.Loader) -> None:
    loader.failing = {str(path.parent)}


@pytest.mark.parametrize("part", ["unet", "vae"])
@pytest.mark.parametrize("meddle", [gone, change_weights, cut_weights_short, torn])
def test_other_work_of_the_run_stays_and_goes_on(
    good: Checkpoint,
    bad: Checkpoint,
    tmp_path: Path,
    part: str,
    meddle: Callable[[Path, fake_checkpoints.Loader], None],
) -> None:
    loader = fake_checkpoints.Loader()
    cache = ModelCache(loader, probe=lambda device: 10**6, reserve=0)
    session = Session(device="cpu", models=cache)
    text = toys.Dream(prompt="first", checkpoint=good)
    saved = toys.Write(text=text, path=tmp_path / "first.txt")
    failing = toys.Dream(prompt=text, checkpoint=bad)

    def listen(event: events.Event) -> None:
        if isinstance(event, events.NodeStarted) and event.node == "dream_2":
            meddle(Path(bad.source) / part / fake_checkpoints.WEIGHTS, loader)

    # What is leased elsewhere stays as it is, too.
    with cache.lease({"unet": Part(good, "unet")}, "cpu", "float32") as leased:
        with pytest.raises(NodeFailedError) as caught:
            run(saved, failing, session=session, on_event=listen)
        assert caught.value.node == "dream_2" and f"{bad.source}/{part}" in caught.value.message
        components = {component.name: component for component in cache.loaded()}
        assert components[f"{good.source}/unet"].module is leased["unet"]
        assert components[f"{good.source}/unet"].leases == 1
    assert f"{bad.source}/{part}" not in components, "nothing is there in part"
    assert all(component.free for component in cache.loaded())
    assert set(components) >= {f"{good.source}/unet", f"{good.source}/vae"}
    loads, event_log = len(loader.loaded), list[events.Event]()
    assert run(saved, session=session, on_event=event_log.append) == tmp_path / "first.txt"
    assert len(loader.loaded) == loads
    assert [event.node for event in event_log if isinstance(event, events.Reused)] == ["dream"]


@pytest.mark.parametrize("pinned", [False, True])
def test_a_budget_too_small_is_reported_before_anything_is_loaded_or_dropped(
    good: Checkpoint, bad: Checkpoint, pinned: bool
) -> None:
    first = toys.Dream(prompt="one", checkpoint=good)
    second = toys.Dream(prompt=first, checkpoint=bad)
    loader = fake_checkpoints.Loader()
    cache = ModelCache(loader, budgets=Budgets(host=10**6))
    session = Session(device="cpu", models=cache, store=None)
    run(first, session=session)
    if pinned:
        cache.pin(good)
    smallest = 180 if pinned else 90
    before = [component.key for component in cache.loaded()]
    for budget in (0, 1, smallest - 1):
        cache.budgets = Budgets(host=budget)
        with pytest.raises(InvalidValueError, match=f"at least {smallest} bytes") as caught:
            run(second, session=session)
        assert f"a budget of {budget} bytes on the host" in str(caught.value)
        assert [component.key for component in cache.loaded()] == before and len(loader.loaded) == 2
    cache.budgets = Budgets(host=smallest)
    assert run(second, session=session).count(" by unet and vae of ") == 2
