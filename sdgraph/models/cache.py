"""The cache of loaded components, and leases of them.

A component is loaded once, whichever checkpoints it belongs to, and stays until room is needed.
A lease is the right to use all components of one node: loading and pinning are one step, a leased
component is never evicted, and a load that fails leaves nothing behind.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sdgraph.memoize import memoized_scope
from sdgraph.memory import (
    UNLIMITED,
    Action,
    Budgets,
    Component,
    ComponentKey,
    MemoryContents,
    MemoryLimits,
    Placement,
    Requirement,
    Tier,
    actions_for_step,
    evictions_over_budget,
)
from sdgraph.values import Checkpoint, Part

from . import devices
from .component import LoadedComponent as LoadedComponent
from .component import Models as Models
from .component import source_of
from .file_hashes import refuse_changed
from .loader import Loader, load_or_raise, load_quietly, refuse_device
from .resolved import ResolvedPart, resolve_part
from .sizes import bytes_of

Report = Callable[..., None]

Watch = Callable[[Iterable[LoadedComponent]], None]
"""Hears what is held, each time that it changes, or who holds it; it must not raise."""

ChooseActions = Callable[[Sequence[Component], MemoryContents], Sequence[Action]]
"""Says what is to be done to memory before components are leased, memory being so."""


@dataclass
class ModelCache:
    """Loaded components within budgets; what goes is the plan's word, else recency decides.

    `budgets` are bytes for the accelerator and for host memory; where one is None it is what the
    probe says is free beside the components, less a reserve.
    """

    load: Loader = load_quietly
    budgets: Budgets = UNLIMITED
    probe: devices.Probe = devices.free_bytes
    reserve: int = 2 * 2**30
    """Bytes kept free for what nodes do, on a tier without a budget."""
    keep_alive: float | None = None
    """Seconds that what nobody uses stays loaded after a run; None for good, 0 not at all.

    With 0 it does not wait for the end of its run either: it goes before the next load.
    """
    watch: Watch = lambda held: None

    def __post_init__(self) -> None:
        self._components: OrderedDict[ComponentKey, LoadedComponent] = OrderedDict()
        self._lock = threading.RLock()
        self._pins: frozenset[str] = frozenset()
        self._timer: threading.Timer | None = None
        self._runs = 0
        """How many runs are going on."""

    @contextmanager
    def lease(
        self,
        parts: Mapping[str, Part | ResolvedPart],
        device: str,
        dtype: str,
        report: Report | None = None,
        *,
        choose_actions: ChooseActions | None = None,
    ) -> Iterator[Models]:
        """All of a node's components, loaded and pinned until the block ends.

        Args:
            parts: The components by the names that the node gives them. One that a plan has
                resolved is loaded only while its files are as they were then.
            device: Where they are to be.
            dtype: The dtype of those whose checkpoint names none.
            report: Is called with what happens: "loaded", "moved" or "evicted", and details.
            choose_actions: Decides what is evicted and loaded; without it the components go that
                were used longest ago.

        Raises:
            CheckpointError: A component cannot be loaded, or a file of it has changed since the
                plan. Nothing stays pinned then.
            OutOfMemoryError: There is too little memory for one.
        """
        held: dict[str, LoadedComponent] = {}
        with self._lock:
            try:
                resolved = self._resolved(parts, device)
                wanted = {name: part.component(device, dtype) for name, part in resolved.items()}
                self._refuse_changed(parts, wanted)
                self._arrange(
                    list(wanted.values()), resolved.values(), device, choose_actions, report
                )
                for name, component in wanted.items():
                    held[name] = self._components[component.key]
                    held[name].leases += 1
                    held[name].in_run = self._runs > 0
                    self._components.move_to_end(component.key)
                self._settle(device, report)
            except BaseException:
                self._unpin(held)
                self._settle(device, report)
                raise
        try:
            yield Models({name: held[name].module for name in parts}, device, dtype)
        finally:
            with self._lock:
                self._unpin(held)
                self._settle(device, report)

    def limits(self, device: str) -> MemoryLimits:
        """The bytes that components and nodes may take, as set or as far as the probe can see."""
        accelerator, host = self.budgets.accelerator, self.budgets.host
        if accelerator is None and device != "cpu":
            accelerator = self._free(device, Tier.ACCELERATOR)
        return MemoryLimits(
            Budgets(accelerator, self._free("cpu", Tier.HOST) if host is None else host),
            self.budgets,
            keep_unused=self.keep_alive != 0,
        )

    def contents(self, device: str, *, leased: bool = False) -> dict[Component, Placement]:
        """What is in host memory and on a device, least recently used first.

        What a person has pinned stays; so does, if asked for, what is leased just now.
        """
        with self._lock:
            return {
                each.component: Placement(each.tier, each.pinned or (leased and each.leases > 0))
                for each in self._components.values()
                if each.tier is Tier.HOST or each.key.device == device
            }

    def loaded(self) -> tuple[LoadedComponent, ...]:
        """What is in memory, least recently used first."""
        with self._lock:
            return tuple(self._components.values())

    def pin(self, checkpoint: Checkpoint | str) -> None:
        """Keeps the components of a checkpoint once they are loaded, whatever room is wanted."""
        self._pin(self._pins | {source_of(checkpoint)})

    def unpin(self, checkpoint: Checkpoint | str) -> None:
        """Takes a pin back."""
        self._pin(self._pins - {source_of(checkpoint)})

    def unload(
        self, checkpoint: Checkpoint | str | None = None, report: Report | None = None
    ) -> int:
        """Drops what nobody holds or has pinned, of one checkpoint or of all; returns its bytes."""
        with self._lock:
            free = [each for each in self._components.values() if each.free]
            if checkpoint is not None:
                free = [each for each in free if each.is_of(source_of(checkpoint))]
            self._perform([Action("evict", each.component) for each in free], {}, report)
            return sum(each.bytes for each in free)

    @contextmanager
    def during_run(self) -> Iterator[None]:
        """For the time of a run: what it leases counts as its own until the block ends.

        From then on `keep_alive` counts.
        """
        with self._lock:
            self._runs += 1
        try:
            yield
        finally:
            with self._lock:
                self._runs -= 1
                if not self._runs:
                    for each in self._components.values():
                        each.in_run = False
                    self.watch(self._components.values())
            self._rest()

    def _rest(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        if self.keep_alive is None:
            return
        self.expire()
        left = [each.used_at for each in self.loaded() if each.free]
        if left:
            wait = max(0.0, min(left) + self.keep_alive - time.monotonic())
            self._timer = threading.Timer(wait, self._rest)
            self._timer.daemon = True
            self._timer.start()

    def expire(self) -> None:
        """Drops what nobody has used for as long as `keep_alive` says."""
        with self._lock:
            until = time.monotonic() - (self.keep_alive or 0)
            old = [
                each for each in self._components.values() if each.free and each.used_at <= until
            ]
            self._perform([Action("evict", each.component) for each in old], {}, None)

    def _pin(self, sources: frozenset[str]) -> None:
        with self._lock:
            self._pins = sources
            for each in self._components.values():
                each.pinned = any(map(each.is_of, sources))
            self.watch(self._components.values())

    def _free(self, device: str, tier: Tier) -> int | None:
        """The bytes on a tier that are free, or taken by components, less the reserve."""
        free = self.probe(device)
        if free is None:
            return None
        here = [each for each in self._components.values() if each.tier is tier]
        if tier is Tier.ACCELERATOR:
            here = [each for each in here if each.key.device == device]
        return max(0, sum(each.bytes for each in here) + free - self.reserve)

    def _resolved(
        self, parts: Mapping[str, Part | ResolvedPart], device: str
    ) -> dict[str, ResolvedPart]:
        """The components by name, resolved; refuses those that the device cannot hold."""
        resolved: dict[str, ResolvedPart] = {}
        with memoized_scope():
            for name, part in parts.items():
                here = part if isinstance(part, ResolvedPart) else resolve_part(part)
                refuse_device(here, "cpu" if here.part.on_host else device)
                resolved[name] = here
        return resolved

    def _refuse_changed(
        self, parts: Mapping[str, Part | ResolvedPart], wanted: Mapping[str, Component]
    ) -> None:
        """Raises CheckpointError for a file to load that is no longer as it was planned with."""
        for name, part in parts.items():
            if isinstance(part, ResolvedPart) and wanted[name].key not in self._components:
                for path, sha256 in part.hashed_files:
                    refuse_changed(path, sha256)

    def _arrange(
        self,
        wanted: Sequence[Component],
        parts: Iterable[ResolvedPart],
        device: str,
        choose_actions: ChooseActions | None,
        report: Report | None,
    ) -> None:
        """Makes room, and brings what is wanted to its home."""
        contents = self.contents(device, leased=True)
        # A component's size is known once it is loaded.
        sized = {each.key: each for each in contents}
        wanted = [sized.get(each.key, each) for each in wanted]
        if choose_actions is None:
            chosen = actions_for_step(Requirement("", tuple(wanted)), self.limits(device), contents)
        else:
            chosen = tuple(choose_actions(wanted, contents))
        self._perform(
            chosen, {each.key: part for each, part in zip(wanted, parts, strict=True)}, report
        )

    def _settle(self, device: str, report: Report | None) -> None:
        """Lets go what is above a budget that was set, now that sizes and holders are known."""
        if self.budgets != UNLIMITED:
            self._perform(
                evictions_over_budget(self.budgets, self.contents(device, leased=True)),
                {},
                report,
            )
        self.watch(self._components.values())

    def _perform(
        self,
        actions: Sequence[Action],
        parts: Mapping[ComponentKey, ResolvedPart],
        report: Report | None,
    ) -> None:
        """Does what is to be done to memory, in that order: room is made before it is taken."""
        freed: dict[str, bool] = {}
        for kind, each in actions:
            if kind in ("upload", "load"):
                _give_back(freed)
            if kind == "load":
                self._components[each.key] = self._load(each, parts[each.key], report)
            elif kind == "evict":
                gone = self._components.pop(each.key)
                place = "cpu" if gone.parked else each.key.device
                freed[place] = gone.let_go() or freed.get(place, False)
                _tell(report, "evicted", component=each.name, bytes=each.bytes)
            else:
                self._shift(self._components[each.key], kind == "offload", report)
                freed.setdefault(each.key.device, False)
            self.watch(self._components.values())
        _give_back(freed)

    def _shift(self, component: LoadedComponent, parked: bool, report: Report | None) -> None:
        """Moves a component to host memory or back to its device."""
        device = "cpu" if parked else component.key.device
        started = time.perf_counter()
        try:
            component.module.to(device)
        except Exception:
            # Some of its tensors have moved and some have not: nobody can use it any more.
            del self._components[component.key]
            raise
        component.parked = parked
        _tell(
            report,
            "moved",
            component=component.name,
            bytes=component.bytes,
            device=device,
            seconds=time.perf_counter() - started,
        )

    def _load(
        self, wanted: Component, part: ResolvedPart, report: Report | None
    ) -> LoadedComponent:
        _, dtype, device = wanted.key
        started = time.perf_counter()
        module = load_or_raise(self.load, part, dtype, device)
        size, read = bytes_of(module), part.file_bytes
        _tell(
            report,
            "loaded",
            component=wanted.name,
            bytes=size,
            file_bytes=read,
            device=device,
            seconds=time.perf_counter() - started,
        )
        made = LoadedComponent(wanted.key, wanted.name, module, size, read)
        made.pinned = any(map(made.is_of, self._pins))
        return made

    def _unpin(self, held: dict[str, LoadedComponent]) -> None:
        """Lets go of what was leased."""
        for component in held.values():
            component.leases -= 1
            component.used_at = time.monotonic()
        held.clear()


def _tell(report: Report | None, happened: str, **details: Any) -> None:
    if report is not None:
        report(happened, **details)


def _give_back(freed: dict[str, bool]) -> None:
    """Returns the memory of devices, each with whether something of it is still held."""
    for device, held in freed.items():
        devices.give_back(device, collect=held)
    freed.clear()
