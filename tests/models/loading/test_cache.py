"""The component cache keeps its budget and what is leased, and an error leaves nothing leased."""

from __future__ import annotations

import gc
import tempfile
import threading
import weakref
from contextlib import ExitStack
from pathlib import Path

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sdgraph.errors import CheckpointError
from sdgraph.memory import Budgets
from sdgraph.models import ModelCache, ResolvedPart, resolve_part
from sdgraph.models.loading import devices
from sdgraph.models.loading import loader as loading
from sdgraph.values import Checkpoint, Part
from tests.support import fake_checkpoints

SIZES = {"a": 10, "b": 20, "c": 30, "d": 40, "e": 70}
BUDGET = 100


def parts_of(folder: Path, *names: str) -> dict[str, Part]:
    return {name: Part(Checkpoint(folder), name) for name in names}


@pytest.fixture
def model(tmp_path: Path) -> Path:
    weights = {name: name.encode() * size for name, size in SIZES.items()}
    return fake_checkpoints.checkpoint(tmp_path / "model", **weights)


class Leases(RuleBasedStateMachine):
    """Any order of leases, failing loads, raising blocks and unloads."""

    def __init__(self) -> None:
        super().__init__()
        self.home = tempfile.TemporaryDirectory()
        weights = {name: name.encode() * size for name, size in SIZES.items()}
        self.model = fake_checkpoints.checkpoint(Path(self.home.name) / "model", **weights)
        self.loader = fake_checkpoints.Loader()
        self.cache = ModelCache(self.loader, budgets=Budgets(BUDGET, BUDGET))
        self.open: list[tuple[ExitStack, dict[str, fake_checkpoints.Module]]] = []

    names = st.lists(st.sampled_from(sorted(SIZES)), min_size=1, max_size=3, unique=True)

    @rule(names=names)
    def lease(self, names: list[str]) -> None:
        stack = ExitStack()
        models = stack.enter_context(
            self.cache.lease(parts_of(self.model, *names), "cpu", "float32")
        )
        assert [models[name].name for name in names] == names and list(models) == names
        self.open.append((stack, dict(models)))

    @precondition(lambda self: self.open)
    @rule(place=st.integers(0, 9))
    def end(self, place: int) -> None:
        self.open.pop(place % len(self.open))[0].close()

    @rule(names=names, failing=st.sampled_from(sorted(SIZES)))
    def lease_with_a_torn_file(self, names: list[str], failing: str) -> None:
        present = {component.module.name for component in self.cache.loaded()}
        before = {component.key: component.leases for component in self.cache.loaded()}
        self.loader.failing = {f"{self.model}/{failing}"}
        try:
            with self.cache.lease(parts_of(self.model, *names), "cpu", "float32"):
                assert failing not in names or failing in present
        except CheckpointError:
            assert failing in names and failing not in present
        self.loader.failing = set()
        for component in self.cache.loaded():
            assert component.leases == before.get(component.key, 0)

    @rule(names=names)
    def a_block_that_raises(self, names: list[str]) -> None:
        before = {component.key: component.leases for component in self.cache.loaded()}
        with (
            pytest.raises(ZeroDivisionError),
            self.cache.lease(parts_of(self.model, *names), "cpu", "float32"),
        ):
            raise ZeroDivisionError
        for component in self.cache.loaded():
            assert component.leases == before.get(component.key, 0)

    @rule()
    def unload(self) -> None:
        freed = sum(component.bytes for component in self.cache.loaded() if not component.leases)
        assert self.cache.unload() == freed
        assert all(component.leases for component in self.cache.loaded())

    @invariant()
    def resident_fits_the_budget_or_is_all_leased(self) -> None:
        loaded = self.cache.loaded()
        resident = sum(component.bytes for component in loaded)
        assert resident <= BUDGET or all(component.leases for component in loaded)

    @invariant()
    def what_is_leased_is_loaded_and_counted_right(self) -> None:
        counts: dict[str, int] = {}
        for _, models in self.open:
            for name in models:
                counts[name] = counts.get(name, 0) + 1
        loaded = {component.module.name: component for component in self.cache.loaded()}
        assert {
            name: component.leases for name, component in loaded.items() if component.leases
        } == counts
        for _, models in self.open:
            assert all(loaded[name].module is module for name, module in models.items())

    def teardown(self) -> None:
        for stack, _ in self.open:
            stack.close()
        self.home.cleanup()


TestLeases = Leases.TestCase
TestLeases.settings = settings(max_examples=12, stateful_step_count=12)


def test_the_least_recently_used_goes_first(model: Path) -> None:
    cache = ModelCache(fake_checkpoints.Loader(), budgets=Budgets(60, 60))
    for name in ("a", "b", "c", "a"):
        with cache.lease(parts_of(model, name), "cpu", "float32"):
            pass
    assert fake_checkpoints.names(cache.loaded()) == ["b", "c", "a"]
    with cache.lease(parts_of(model, "d"), "cpu", "float32"):
        assert fake_checkpoints.names(cache.loaded()) == ["a", "d"]


def test_what_a_lease_needs_is_not_evicted_for_its_own_other_part(model: Path) -> None:
    loader = fake_checkpoints.Loader()
    cache = ModelCache(loader, budgets=Budgets(60, 60))
    for name in ("c", "b"):
        with cache.lease(parts_of(model, name), "cpu", "float32"):
            pass
    with cache.lease(parts_of(model, "a", "d"), "cpu", "float32"):
        pass
    with cache.lease(parts_of(model, "b", "d"), "cpu", "float32"):
        pass
    assert loader.loaded.count(f"{model}/d") == 1


def test_equal_weights_under_two_checkpoints_load_once(tmp_path: Path) -> None:
    one = fake_checkpoints.checkpoint(tmp_path / "one", vae=b"same", unet=b"x")
    two = fake_checkpoints.checkpoint(tmp_path / "two", vae=b"same", unet=b"y")
    loader = fake_checkpoints.Loader()
    cache = ModelCache(loader, budgets=Budgets(1000, 1000))
    with (
        cache.lease(parts_of(one, "vae", "unet"), "cpu", "float32") as first,
        cache.lease(parts_of(two, "vae", "unet"), "cpu", "float32") as second,
    ):
        assert first["vae"] is second["vae"] and first["unet"] is not second["unet"]
    assert loader.loaded == [f"{one}/vae", f"{one}/unet", f"{two}/unet"]


def test_a_dtype_that_is_written_out_makes_no_second_component(model: Path) -> None:
    cache = ModelCache(fake_checkpoints.Loader(), budgets=Budgets(1000, 1000))
    written = {"a": Part(Checkpoint(model, dtype="float32"), "a")}
    other = {"a": Part(Checkpoint(model, dtype="float16"), "a")}
    with (
        cache.lease(parts_of(model, "a"), "cpu", "float32") as first,
        cache.lease(written, "cpu", "float16") as second,
        cache.lease(other, "cpu", "float32") as third,
    ):
        assert first["a"] is second["a"] and first["a"] is not third["a"]


def test_parts_kept_on_the_host_and_on_a_device_are_two(model: Path) -> None:
    cache = ModelCache(fake_checkpoints.Loader(), budgets=Budgets(1000, 1000))
    host = {"a": Part(Checkpoint(model), "a", on_host=True)}
    with cache.lease(host, "cuda", "float32"), cache.lease(parts_of(model, "a"), "cuda", "float32"):
        assert [component.key[2] for component in cache.loaded()] == ["cpu", "cuda"]


def test_one_part_under_two_names_is_one_component(model: Path) -> None:
    cache = ModelCache(loader := fake_checkpoints.Loader(), budgets=Budgets(1000, 1000))
    twice = {"x": Part(Checkpoint(model), "a"), "y": Part(Checkpoint(model), "a")}
    with cache.lease(twice, "cpu", "float32") as models:
        assert models["x"] is models["y"] and len(models) == 2
        assert models.without("x").components == {"y": models["y"]}
    assert len(loader.loaded) == 1 and not cache.loaded()[0].leases


def test_weights_that_grow_in_memory_still_keep_the_budget(model: Path) -> None:
    cache = ModelCache(fake_checkpoints.Loader(size_factor=2), budgets=Budgets(100, 100))
    for name in ("b", "c", "a"):
        with cache.lease(parts_of(model, name), "cpu", "float32"):
            assert sum(component.bytes for component in cache.loaded()) <= 100


def test_without_a_budget_the_probe_decides(model: Path) -> None:
    free = 1000
    cache = ModelCache(fake_checkpoints.Loader(), probe=lambda device: free, reserve=100)
    for name in ("a", "b", "c"):
        with cache.lease(parts_of(model, name), "cpu", "float32"):
            pass
    assert fake_checkpoints.names(cache.loaded()) == ["a", "b", "c"]
    free = 125  # 40 needed and 100 kept: 15 short, so a (10) and b (20) go
    with cache.lease(parts_of(model, "d"), "cpu", "float32"):
        assert fake_checkpoints.names(cache.loaded()) == ["c", "d"]


def test_each_device_has_its_own_budget(model: Path) -> None:
    cache = ModelCache(fake_checkpoints.Loader(), budgets=Budgets(70, 70))
    with cache.lease(parts_of(model, "e"), "cpu", "float32"):
        pass
    host = {"e": Part(Checkpoint(model), "e")}
    with cache.lease(host, "cuda:1", "float32"):
        assert len(cache.loaded()) == 2


def test_loads_and_evictions_are_reported(model: Path) -> None:
    reported: list[tuple[str, str, int]] = []

    def report(happened: str, *, component: str, bytes: int, **more: object) -> None:  # noqa: A002
        reported.append((happened, component.rpartition("/")[2], bytes))

    cache = ModelCache(fake_checkpoints.Loader(), budgets=Budgets(70, 70))
    for name in ("d", "c", "e"):
        with cache.lease(parts_of(model, name), "cpu", "float32", report):
            pass
    assert reported == [
        ("loaded", "d", 40),
        ("loaded", "c", 30),
        ("evicted", "d", 40),
        ("evicted", "c", 30),
        ("loaded", "e", 70),
    ]


def test_two_caches_never_load_at_once(model: Path, tmp_path: Path) -> None:
    loader = fake_checkpoints.Loader()  # refuses a second load while one is under way
    leased, others = threading.Event(), threading.Event()

    def slow(part: ResolvedPart, dtype: str, device: str) -> fake_checkpoints.Module:
        leased.set()
        others.wait(0.2)
        return loader(part, dtype, device)

    def lease(cache: ModelCache) -> None:
        with cache.lease(parts_of(model, "a", "b"), "cpu", "float32"):
            pass

    caches = [ModelCache(slow, budgets=Budgets(1000, 1000)) for _ in range(4)]
    threads = [threading.Thread(target=lease, args=(cache,)) for cache in caches]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert leased.is_set() and loader.overlaps == 0 and len(loader.loaded) == 8


def test_a_failing_load_holds_no_frame_of_the_loader(model: Path) -> None:
    cache = ModelCache(fake_checkpoints.Loader(failing={f"{model}/a"}), budgets=Budgets(1000, 1000))
    with (
        pytest.raises(
            CheckpointError,
            match=r"/a\n  found:  it cannot be loaded \(OSError: the file cannot be read\)",
        ) as caught,
        cache.lease(parts_of(model, "b", "a"), "cpu", "float32"),
    ):
        raise AssertionError("the lease was granted")
    assert caught.value.__cause__ is None
    assert [component.leases for component in cache.loaded()] == [0]


def test_only_what_is_held_elsewhere_when_it_goes_costs_a_collection(
    model: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cache, collected = ModelCache(fake_checkpoints.Loader()), []
    give_back = devices.give_back

    def noting_give_back(device: str, *, collect: bool = True) -> None:
        collected.append(collect)
        give_back(device, collect=collect)

    monkeypatch.setattr(devices, "give_back", noting_give_back)
    with cache.lease(parts_of(model, "a"), "cpu", "float32"):
        pass
    cache.unload()
    with cache.lease(parts_of(model, "a", "b"), "cpu", "float32") as models:
        gone = weakref.ref(models["a"])
        models["a"].itself = models["a"]
        del models
    cache.unload()
    assert collected == [False, True]
    assert gone() is None


@pytest.mark.torch
def test_no_garbage_is_looked_for_while_a_component_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    collecting = []

    def load(part: ResolvedPart, dtype: str, device: str) -> None:
        collecting.append(gc.isenabled())
        if dtype == "torn":
            raise OSError

    monkeypatch.setattr(loading, "load_part", load)
    part = Part(Checkpoint("tiny/text-to-image"), "unet")
    loading.load_quietly(resolve_part(part), "float32", "cpu")
    assert gc.isenabled()
    with pytest.raises(OSError):
        loading.load_quietly(resolve_part(part), "torn", "cpu")
    assert gc.isenabled()
    gc.disable()
    try:
        loading.load_quietly(resolve_part(part), "float32", "cpu")
        assert not gc.isenabled()
    finally:
        gc.enable()
    assert collecting == [False] * 3


@pytest.mark.torch
@pytest.mark.parametrize("folder", ["unet", "text_encoder"])
def test_a_loaded_component_is_frozen_and_in_evaluation_mode(folder: str) -> None:
    part = Part(Checkpoint("tiny/text-to-image"), folder)
    module = loading.load_quietly(resolve_part(part), "float32", "cpu")
    assert not any(module.training for module in module.modules())
    assert not any(parameter.requires_grad for parameter in module.parameters())
