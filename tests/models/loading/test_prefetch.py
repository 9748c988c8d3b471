"""Files are prefetched while a node computes, as far as the plan says and memory suffices."""

from __future__ import annotations

import random
import threading
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph import events
from sdgraph.execution import Session
from sdgraph.graph import Graph
from sdgraph.memory import (
    Budgets,
    Component,
    ComponentKey,
    MemoryLimits,
    Requirement,
    Tier,
    plan_in_order,
    plan_prefetch,
)
from sdgraph.models import ModelCache, Prefetcher, PrefetchRequest
from sdgraph.models.loading import devices
from sdgraph.values import Checkpoint
from tests.support import fake_checkpoints, toys


def random_components(chance: random.Random, device: str) -> list[Component]:
    return [
        Component(
            ComponentKey(str(n), "float32", chance.choice((device, "cpu"))),
            f"c{n}",
            chance.randint(1, 9),
            chance.randint(1, 9),
        )
        for n in range(6)
    ]


@given(st.integers(0, 2**32))
def test_what_is_prefetched_is_loaded_next_and_memory_suffices_for_it(seed: int) -> None:
    chance = random.Random(seed)
    device = chance.choice(("cpu", "cuda"))
    every = random_components(chance, device)
    steps = [
        Requirement(
            f"s{n}",
            tuple(chance.sample(every, chance.randint(0, 2))),
            chance.randint(0, 3),
            working_tier=Tier.HOST if device == "cpu" else Tier.ACCELERATOR,
        )
        for n in range(chance.randint(1, 8))
    ]
    limit = chance.randint(21, 60)
    limits = MemoryLimits(Budgets(chance.randint(21, 40), limit))
    memory_plan = plan_in_order(steps, limits, {})
    ahead = plan_prefetch(steps, memory_plan.actions, limits, {})
    held: dict[Component, Tier] = {}
    for place, soon in enumerate(ahead):
        for kind, component in memory_plan.actions[place]:
            if kind == "evict":
                del held[component]
            else:
                held[component] = Tier.HOST if kind == "offload" else component.home
        if not soon:
            continue
        assert steps[place].components, "nothing is read beside a step without models"
        later = [
            [m.component for m in action if m.kind == "load"]
            for action in memory_plan.actions[place + 1 :]
        ]
        following = next(loads for loads in later if loads)
        assert list(soon) == following[: len(soon)]
        host_bytes = sum(component.bytes for component, tier in held.items() if tier is Tier.HOST)
        host_bytes += steps[place].working_bytes if device == "cpu" else 0
        assert host_bytes + sum(max(each.bytes, each.file_bytes) for each in soon) <= limit


def test_each_load_but_the_first_is_prefetched_where_memory_suffices(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(devices, "choose_device", lambda device: device)
    text: Any = ""
    for number, letter in enumerate("abc"):
        weights = fake_checkpoints.safetensors(letter.encode() * 7)
        folder = fake_checkpoints.checkpoint(tmp_path / letter, unet=weights, vae=weights)
        # The first two compute until what comes next has been read.
        gate = f"{2 * (number + 1)}" if number < 2 else ""
        text = toys.Dream(prompt=text, checkpoint=Checkpoint(folder), awaits=gate)
    event_log: list[events.Event] = []

    def listen(event: events.Event) -> None:
        event_log.append(event)
        if isinstance(event, events.Prefetched):
            read = sum(isinstance(event, events.Prefetched) for event in event_log)
            toys.gates.setdefault(f"{read}", threading.Event()).set()

    cache = ModelCache(fake_checkpoints.Loader(), probe=lambda device: 10**6, reserve=0)
    session = Session(device="cpu", dtype="float32", models=cache, store=None)
    graph = Graph.of(text)
    plan = session.plan(graph)
    assert [len(step.prefetch) for step in plan.steps] == [2, 2, 0]
    session.run(graph, listen)
    names = [event.component for event in event_log if isinstance(event, events.Prefetched)]
    assert names == [component.name for step in plan.steps for component in step.prefetch]
    small = ModelCache(fake_checkpoints.Loader(), Budgets(host=14), reserve=0)
    tight = Session(device="cpu", dtype="float32", models=small, store=None)
    assert not any(step.prefetch for step in tight.plan(graph).steps)


def test_a_file_that_is_gone_is_no_matter(tmp_path: Path) -> None:
    present = tmp_path / "there"
    present.write_bytes(b"x" * 100)
    done = threading.Event()
    wrong: list[float] = []
    reader = Prefetcher()
    reader.read([PrefetchRequest((tmp_path / "gone",), wrong.append)])
    reader.read([PrefetchRequest((present,), lambda seconds: done.set())])
    assert done.wait(30) and not wrong
    reader.close()


def test_closing_ends_the_thread_in_the_middle_of_its_work(tmp_path: Path) -> None:
    large = tmp_path / "large"
    large.write_bytes(bytes(10**7))
    reader = Prefetcher()
    reader.read([PrefetchRequest((large,) * 10_000, print)])
    reader.close()
    assert not any(thread.name == "sdgraph-prefetch" for thread in threading.enumerate())


def test_a_reader_that_was_given_nothing_starts_no_thread() -> None:
    before = threading.active_count()
    reader = Prefetcher()
    assert threading.active_count() == before
    reader.close()
