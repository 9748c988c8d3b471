"""After a node has run out of memory, each fallback is tried in turn and reported."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from sdgraph import events
from sdgraph.errors import NodeFailedError, OutOfMemoryError, out_of_memory
from sdgraph.execution import Session
from sdgraph.execution.oom_fallback import fallbacks
from sdgraph.graph import Graph, In, Node, Stage
from sdgraph.memory import Budgets
from sdgraph.models import ModelCache, Models, ResolvedPart
from sdgraph.models.loading import devices
from sdgraph.nodes import Text2Image
from sdgraph.store import Store
from sdgraph.values import Checkpoint, Part
from tests.support import fake_checkpoints, toys

tries: list[tuple[str, str]] = []
"""The size and device of each try of the hungry node."""


class Hungry(Node[str]):
    """A node that runs out of memory until enough fallbacks have been applied."""

    checkpoint: In[Checkpoint]
    size: str = "large"
    fails: int = 0

    def parts(self) -> Mapping[str, Part]:
        assert isinstance(self.checkpoint, Checkpoint)
        return {"unet": Part(self.checkpoint, "unet")}

    def low_memory_variants(self) -> Iterator[tuple[str, Hungry]]:
        yield "a smaller input", self.replace(size="small")

    def run(self, checkpoint: Checkpoint, models: Models) -> str:
        tries.append((self.size, models.device))
        if len(tries) <= self.fails:
            raise MemoryError("out of memory: tried to allocate 9 GiB")
        return f"{self.size} on {models.device}"


class Reading(Node[str]):
    """A node with a stage that runs out of memory until it is tried on the CPU."""

    checkpoint: In[Checkpoint]

    def parts(self) -> Mapping[str, Part]:
        assert isinstance(self.checkpoint, Checkpoint)
        return {name: Part(self.checkpoint, name) for name in ("unet", "vae")}

    def stages(self) -> Iterator[Stage]:
        yield Stage("prompt", {}, ("vae",), runs_alone=True)

    def run_stage(self, name: str, models: Models, arguments: Mapping[str, Any]) -> bytes:
        tries.append((models.dtype, models.device))
        if models.device != "cpu":
            raise MemoryError("out of memory: tried to allocate 9 GiB")
        return models.dtype.encode()

    def run(self, checkpoint: Checkpoint, models: Models) -> str:
        return models.recall("prompt", bytes).decode()


FALLBACKS = [
    "the memory of the failed attempt is freed",
    "every model that no node uses is unloaded",
    "a smaller input",
    "on the CPU",
]
MADE = ["large on cuda", "large on cuda", "large on cuda", "small on cuda", "small on cpu"]


@pytest.fixture(autouse=True)
def pretend(monkeypatch: pytest.MonkeyPatch) -> None:
    tries.clear()
    monkeypatch.setattr(devices, "choose_device", lambda device: device)
    monkeypatch.setattr(devices, "give_back", lambda device, collect=True: None)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Checkpoint:
    weights = fake_checkpoints.safetensors(b"u" * 7)
    return Checkpoint(
        fake_checkpoints.checkpoint(
            tmp_path / "one", unet=weights, vae=fake_checkpoints.safetensors(b"v")
        )
    )


def make_session() -> Session:
    cache = ModelCache(fake_checkpoints.Loader(), probe=lambda device: 10**6, reserve=0)
    return Session(device="cuda", dtype="float16", models=cache, store=Store())


@pytest.mark.parametrize("fails", range(5))
def test_each_fallback_is_tried_in_turn_and_reported(fails: int, checkpoint: Checkpoint) -> None:
    session, event_log = make_session(), list[events.Event]()
    results = session.run(Graph.of(Hungry(checkpoint=checkpoint, fails=fails)), event_log.append)
    assert results == {"hungry": MADE[fails]}
    retries = [event for event in event_log if isinstance(event, events.Retried)]
    assert [retry.change for retry in retries] == FALLBACKS[:fails]
    assert all("9 GiB" in retry.reason for retry in retries)
    assert not any(component.leases for component in session.models.loaded())


def test_after_the_last_fallback_is_a_clear_error(checkpoint: Checkpoint) -> None:
    session = make_session()
    with pytest.raises(NodeFailedError) as caught:
        session.run(Graph.of(Hungry(checkpoint=checkpoint, fails=99)))
    message = caught.value.message
    assert "none left on cuda (out of memory: tried to allocate 9 GiB)" in message
    assert all(fallback in message for fallback in FALLBACKS) and "fix:" in message
    assert isinstance(caught.value.__cause__, OutOfMemoryError)
    assert not any(component.leases for component in session.models.loaded())


@pytest.mark.parametrize(("fails", "tried_again"), [(2, 0), (3, 1)])
def test_what_was_made_in_another_way_is_not_remembered(
    fails: int, tried_again: int, checkpoint: Checkpoint
) -> None:
    session, graph = make_session(), Graph.of(Hungry(checkpoint=checkpoint, fails=fails))
    session.run(graph)
    before = len(tries)
    session.run(graph)
    assert len(tries) - before == tried_again


def test_a_stage_on_the_cpu_is_computed_in_the_dtype_that_its_node_takes(
    tmp_path: Path,
) -> None:
    weights = {name: fake_checkpoints.safetensors(name[0].encode() * 7) for name in ("unet", "vae")}
    source = fake_checkpoints.checkpoint(tmp_path / "one", **weights)
    cache = ModelCache(fake_checkpoints.Loader(), budgets=Budgets(accelerator=10))
    session = Session(device="cuda", dtype="float16", models=cache, store=Store())
    results = session.run(Graph.of(Reading(checkpoint=Checkpoint(source))))
    assert results == {"reading": "float16"} and tries[-1] == ("float16", "cpu")


def test_another_error_tries_no_fallback(checkpoint: Checkpoint) -> None:
    event_log: list[events.Event] = []
    with pytest.raises(NodeFailedError, match="no such thing"):
        make_session().run(Graph.of(toys.Fail(message="no such thing")), event_log.append)
    assert not any(isinstance(event, events.Retried) for event in event_log)


@dataclass
class Small(fake_checkpoints.Loader):
    """A loader onto a device that holds less than the probe says."""

    capacity: int = 0
    held: list[Any] = field(default_factory=list)

    def __call__(self, part: ResolvedPart, dtype: str, device: str) -> fake_checkpoints.Module:
        import gc
        import weakref

        component = super().__call__(part, dtype, device)
        gc.collect()
        alive = [other() for other in self.held if other() is not None]
        if sum(other.size for other in alive) + component.size > self.capacity:
            raise RuntimeError("CUDA out of memory.")
        self.held.append(weakref.ref(component))
        return component


def test_a_probe_that_reports_too_much_memory_is_corrected_by_fallbacks(tmp_path: Path) -> None:
    folders = [
        fake_checkpoints.checkpoint(
            tmp_path / name,
            unet=fake_checkpoints.safetensors(letter * 7),
            vae=fake_checkpoints.safetensors(letter * 2),
        )
        for name, letter in (("one", b"a"), ("two", b"b"), ("three", b"c"))
    ]
    cache = ModelCache(Small(capacity=12), probe=lambda device: 10**6, reserve=0)
    session = Session(device="cuda", dtype="float32", models=cache, store=None)
    text: Any = ""
    for folder in folders:
        text = toys.Dream(prompt=text, checkpoint=Checkpoint(folder))
    event_log: list[events.Event] = []
    results = session.run(Graph.of(text), event_log.append)
    assert str(results["dream_3"]).count("by unet and vae") == 3
    retries = [
        (event.node, event.change) for event in event_log if isinstance(event, events.Retried)
    ]
    assert retries == [(f"dream_{n}", fallback) for n in (2, 3) for fallback in FALLBACKS[:2]]


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (MemoryError(), "MemoryError"),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: 9"), "enforce"),
        (RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"), "MPS"),
        (RuntimeError("shape mismatch"), None),
        (ValueError("out of memory"), None),
    ],
)
def test_errors_of_too_little_memory_are_recognized(
    error: BaseException, expected: str | None
) -> None:
    reason = out_of_memory(error)
    assert reason is None if expected is None else reason is not None and expected in reason


@pytest.mark.torch
def test_torchs_own_error_is_one_of_them() -> None:
    import torch

    assert out_of_memory(torch.OutOfMemoryError("no room")) == "no room"


def test_a_diffusion_node_is_made_lighter_by_its_knobs() -> None:
    node = Text2Image(prompt="a star", checkpoint=Checkpoint("tiny/text-to-image"))
    steps = [
        (fallback.description, fallback.device, fallback.node)
        for fallback in fallbacks(node, "cuda")
    ]
    assert [description for description, _, _ in steps] == [
        *FALLBACKS[:2],
        "the autoencoder works by slices and tiles",
        "weights stay on the host and move by groups",
        "on the CPU",
    ]
    tiled, grouped, last = (node for _, _, node in steps[2:])
    assert tiled == node.replace(tuning={"vae": "both"})
    assert grouped == last == tiled.replace(offload="group")
    assert steps[-1][1] == "cpu" and "on the CPU" not in [
        r.description for r in fallbacks(node, "cpu")
    ]
