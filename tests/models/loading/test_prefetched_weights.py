"""Weights that were read ahead are those that the load would read, and errors of it are its own."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph import Checkpoint
from sdgraph.errors import CheckpointError
from sdgraph.models import ModelCache, Prefetcher, PrefetchRequest, Weights, resolve_part
from sdgraph.models.loading import loader, prefetch
from sdgraph.models.loading.loader import load_quietly
from sdgraph.models.loading.pinned_copies import move_module
from sdgraph.models.loading.prefetched_weights import (
    PrefetchedWeights,
    WeightsKey,
    can_prefetch,
    prefetched_weights,
)
from sdgraph.values import Part

UNET = Part(Checkpoint("tiny/turbo"), "unet")
KEYS = [WeightsKey((), name) for name in ("float16", "float32")]


@given(
    st.lists(
        st.tuples(
            st.sampled_from(["announce", "make", "fail", "take", "drop"]), st.sampled_from(KEYS)
        ),
        max_size=12,
    )
)
def test_weights_are_taken_once_and_only_if_they_were_read(moves: list[Any]) -> None:
    ahead, model = PrefetchedWeights(), dict[WeightsKey, Any]()
    for move, key in moves:
        if move == "announce":
            assert ahead.announce(key) is (key not in model)
            model.setdefault(key, "announced")
        elif move in ("make", "fail"):
            state = {"weight": len(model)} if move == "make" else None
            if key not in model or model[key] == "announced":
                made = ahead.make(key, lambda state=state: state)  # type: ignore[misc]
                assert made is (key in model and state is not None)
                if key in model:
                    model[key] = state
        elif move == "take":
            known = model.pop(key, None)
            assert ahead.take(key) == (known if known != "announced" else None)
        else:
            ahead.drop([key])
            model.pop(key, None)
        assert len(ahead) == len(model)


def test_a_load_waits_for_weights_that_are_being_read_but_not_for_those_in_the_queue() -> None:
    ahead, reading, finish = PrefetchedWeights(), threading.Event(), threading.Event()

    def read() -> dict[str, Any]:
        reading.set()
        assert finish.wait(30)
        return {"weight": 1}

    for key in KEYS:
        ahead.announce(key)
    thread = threading.Thread(target=ahead.make, args=(KEYS[0], read))
    thread.start()
    assert reading.wait(30)
    assert ahead.take(KEYS[1]) is None
    assert not ahead.make(KEYS[1], lambda: {"weight": 2}), "it was withdrawn"
    threading.Timer(0.05, finish.set).start()
    assert ahead.take(KEYS[0]) == {"weight": 1}
    thread.join()


def prefetched(part: Part, dtype: str, **options: Any) -> Prefetcher:
    """A prefetcher that has read a component's weights, or found that it cannot."""
    resolved, done = resolve_part(part), threading.Event()
    paths = tuple(path for path, _ in resolved.hashed_files)
    reader = Prefetcher(**options)
    weights = Weights(resolved, dtype, "cpu", resolved.file_bytes)
    reader.read([PrefetchRequest(paths, lambda seconds: done.set(), weights)])
    assert done.wait(30)
    return reader


@pytest.mark.torch
@pytest.mark.parametrize("dtype", ["float32", "float16", "bfloat16"])
def test_a_module_of_weights_read_ahead_is_the_same_and_reads_no_file(
    dtype: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    expected = load_quietly(resolve_part(UNET), dtype, "cpu").state_dict()
    reader = prefetched(UNET, dtype)
    assert len(prefetched_weights) == 1
    monkeypatch.delattr(loader, "read_weights")
    module = load_quietly(resolve_part(UNET), dtype, "cpu")
    assert not len(prefetched_weights), "they are the module's own now"
    reader.close()
    state = module.state_dict()
    assert list(state) == list(expected)
    assert all(state[name].dtype == expected[name].dtype for name in expected)
    assert all(torch.equal(state[name], expected[name]) for name in expected)
    assert not any(weight.requires_grad for weight in module.parameters())


@pytest.mark.torch
def test_without_room_files_are_read_but_nothing_is_held() -> None:
    reader = prefetched(UNET, "float16", has_room=lambda size: False)
    (future,) = prefetched_weights._futures.values()
    assert future.result(30) is None
    reader.close()
    assert not len(prefetched_weights)


@pytest.mark.torch
def test_weights_that_are_not_used_are_freed_at_the_end() -> None:
    reader = prefetched(UNET, "float16")
    reader.drop()
    assert not len(prefetched_weights)
    reader.close()


@pytest.mark.torch
def test_an_error_while_reading_ahead_is_told_once_by_the_load(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import torch

    calls: list[str] = []

    def fail(*_: Any, **__: Any) -> Any:
        calls.append("ahead")
        raise RuntimeError("the disk went away")

    monkeypatch.setattr(prefetch, "read_weights", fail)
    reader = prefetched(UNET, "float16")
    module = load_quietly(resolve_part(UNET), "float16", "cpu")
    assert calls == ["ahead"] and module.dtype is torch.float16
    monkeypatch.setattr(loader, "read_weights", fail)
    with (
        pytest.raises(CheckpointError, match="the disk went away"),
        ModelCache().lease({"unet": UNET}, "cpu", "float16"),
    ):
        pass
    reader.close()


@pytest.mark.torch
def test_closing_while_weights_are_read_ends_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    began = threading.Event()

    def read(*_: Any, stopped: Any, **__: Any) -> None:
        began.set()
        until = time.monotonic() + 30
        while not stopped() and time.monotonic() < until:
            time.sleep(0.01)

    monkeypatch.setattr(prefetch, "read_weights", read)
    resolved = resolve_part(UNET)
    reader = Prefetcher()
    weights = Weights(resolved, "float16", "cpu", 1)
    reader.read([PrefetchRequest((), lambda seconds: None, weights)])
    assert began.wait(30)
    before = time.monotonic()
    reader.close()
    assert time.monotonic() - before < 15 and not len(prefetched_weights)


def test_what_a_library_reads_by_itself_is_not_held() -> None:
    assert can_prefetch(resolve_part(UNET))
    assert not can_prefetch(resolve_part(Part(Checkpoint("tiny/turbo"), "text_encoder")))
    assert not can_prefetch(resolve_part(Part(Checkpoint("tiny/turbo"), "scheduler")))


@pytest.mark.torch
def test_a_module_is_moved_by_pinned_copies_and_shared_weights_stay_shared() -> None:
    import torch

    module = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.BatchNorm1d(3))
    module.append(torch.nn.Linear(3, 3))
    module[2].weight = module[0].weight
    pinned: list[Any] = []

    def pin(tensor: Any) -> Any:
        pinned.append(tensor)
        return tensor.clone()

    before = [weight.data_ptr() for weight in module.parameters()]
    moved = move_module(module, "cpu", pin)
    assert moved is module and moved[0].weight is moved[2].weight
    assert not set(before) & {weight.data_ptr() for weight in module.parameters()}
    assert len(pinned) == len(list(module.parameters())) + len(list(module.buffers()))
