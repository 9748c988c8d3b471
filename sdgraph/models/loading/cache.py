"""The cache of loaded components, and their leases.

A component that belongs to several checkpoints is loaded once, and stays until its memory is
needed. A lease is the right to use all components of one node: loading and pinning are one step, a
leased component is never evicted, and a load that fails leaves nothing behind.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from sdgraph.memoize import memoized_scope
from sdgraph.memory import (
    UNLIMITED,
    Action,
    Budgets,
    Component,
    MemoryContents,
    MemoryLimits,
    Placement,
    Requirement,
    Tier,
    actions_for_step,
    evictions_over_budget,
)
from sdgraph.models.checkpoint.resolved import resolve_part
from sdgraph.models.checkpoint.resolved_part import ResolvedPart
from sdgraph.models.formats.file_hashes import refuse_changed_files
from sdgraph.values import Checkpoint, Part

from . import devices
from .component import LoadedComponent as LoadedComponent
from .component import Models as Models
from .component import source_of
from .component_pool import ComponentPool, Report
from .device_locks import device_lock
from .loader import Loader, load_quietly
from .quantization import refuse_device

Watch = Callable[[Iterable[LoadedComponent]], None]
"""Called with the loaded components whenever they or their users change; must not raise."""

ChooseActions = Callable[[Sequence[Component], MemoryContents], Sequence[Action]]
"""Chooses the actions before components are leased, for the present contents of memory."""


@dataclass
class ModelCache:
    """Loaded components, kept within budgets of memory. Safe to share between threads.

    A plan decides what is evicted and when; without a plan the least recently used components are
    evicted.

    Args:
        load: Loads a component in a dtype onto a device. Tests pass one that only counts.
        budgets: The bytes that components and nodes may take on the accelerator and in host
            memory. If one is None, it is the free memory that `probe` returns, less the `reserve`.
        probe: Returns how many bytes are free on a device.
        reserve: The bytes kept free for the work of nodes, on a tier without a budget.
        keep_alive: The seconds that unused components stay loaded after a run; None is forever.
            With 0 they are evicted even during the run, before the next load.
        watch: Called with the components whenever they or their users change.

    Example:
        >>> from sdgraph import Session
        >>> from sdgraph.models import ModelCache
        >>> session = Session(models=ModelCache(keep_alive=60))
    """

    load: Loader = load_quietly
    budgets: Budgets = UNLIMITED
    probe: devices.Probe = devices.free_bytes
    reserve: int = 2 * 2**30
    keep_alive: float | None = None
    watch: Watch = lambda held: None

    def __post_init__(self) -> None:
        self._pool = ComponentPool(self.load, self._notify)
        self._lock = threading.RLock()
        self._timer: threading.Timer | None = None
        self._runs = 0
        """How many runs are in progress."""

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

        Until then no other thread of the process gets a lease on the same device; it waits.

        Args:
            parts: The components by the names that the node gives them. One that a plan has
                resolved is loaded only if its files have not changed since then.
            device: The device to put them on.
            dtype: The dtype of components whose checkpoint names none.
            report: Called with each action: "loaded", "moved" or "evicted", and details.
            choose_actions: Chooses what is evicted and loaded; without it the least recently used
                components are evicted.

        Raises:
            CheckpointError: A component cannot be loaded, or one of its files has changed since the
                plan was made. Nothing stays pinned then.
            OutOfMemoryError: There is too little memory for a component.
        """
        with (
            device_lock(device),
            self._lease(parts, device, dtype, report, choose_actions) as models,
        ):
            yield models

    @contextmanager
    def _lease(
        self,
        parts: Mapping[str, Part | ResolvedPart],
        device: str,
        dtype: str,
        report: Report | None,
        choose_actions: ChooseActions | None,
    ) -> Iterator[Models]:
        leased: dict[str, LoadedComponent] = {}
        with self._lock:
            try:
                resolved = _resolve_parts(parts, device)
                wanted = {name: part.component(device, dtype) for name, part in resolved.items()}
                self._refuse_changed(parts, wanted)
                by_key = {wanted[name].key: part for name, part in resolved.items()}
                actions = self._actions(list(wanted.values()), device, choose_actions)
                self._pool.perform(actions, by_key, report)
                for name, component in wanted.items():
                    leased[name] = self._pool.use(component.key)
                    leased[name].leases += 1
                    leased[name].in_run = self._runs > 0
                self._keep_budgets(device, report)
            except BaseException:
                self._end_lease(leased, device, report)
                raise
        try:
            yield Models({name: leased[name].module for name in parts}, device, dtype)
        finally:
            with self._lock:
                self._end_lease(leased, device, report)

    def limits(self, device: str) -> MemoryLimits:
        """The bytes that components and nodes may take: the budgets, or else the free memory."""
        accelerator, host = self.budgets.accelerator, self.budgets.host
        if accelerator is None and device != "cpu":
            accelerator = self._free(device, Tier.ACCELERATOR)
        return MemoryLimits(
            Budgets(accelerator, self._free("cpu", Tier.HOST) if host is None else host),
            self.budgets,
            keep_unused=self.keep_alive != 0,
        )

    def has_room_ahead(self, size: int) -> bool:
        """Whether weights of that many bytes may be read into host memory before their load.

        This is asked in addition to the plan, which counts them against the budget.
        """
        free = self.probe("cpu")
        return free is None or size <= free - self.reserve

    def contents(self, device: str, *, leased: bool = False) -> dict[Component, Placement]:
        """The components in host memory and on a device, the least recently used first.

        Pinned ones must stay where they are; so must leased ones, if `leased` says so.
        """
        with self._lock:
            return self._pool.contents(device, leased=leased)

    def loaded(self) -> tuple[LoadedComponent, ...]:
        """The components in memory, the least recently used first."""
        with self._lock:
            return tuple(self._pool)

    def pin(self, checkpoint: Checkpoint | str) -> None:
        """Keeps the components of a checkpoint in memory from when they are loaded.

        Args:
            checkpoint: The checkpoint, or its source.
        """
        self._pin(self._pool.pinned | {source_of(checkpoint)})

    def unpin(self, checkpoint: Checkpoint | str) -> None:
        """Undoes `pin`.

        Args:
            checkpoint: The checkpoint, or its source.
        """
        self._pin(self._pool.pinned - {source_of(checkpoint)})

    def unload(
        self, checkpoint: Checkpoint | str | None = None, report: Report | None = None
    ) -> int:
        """Drops the components that are neither leased nor pinned.

        Args:
            checkpoint: The checkpoint whose components are dropped, or its source; None for all.
            report: Called with each action.

        Returns:
            The bytes that were dropped.
        """
        with self._lock:
            unused = [component for component in self._pool if component.free]
            if checkpoint is not None:
                unused = [
                    component for component in unused if component.is_of(source_of(checkpoint))
                ]
            dropped = sum(component.bytes for component in unused)
            self._pool.evict(unused, report)
            return dropped

    def expire(self) -> None:
        """Drops the components that have not been used for `keep_alive` seconds."""
        with self._lock:
            until = time.monotonic() - (self.keep_alive or 0)
            self._pool.evict(
                [
                    component
                    for component in self._pool
                    if component.free and component.used_at <= until
                ],
                None,
            )

    @contextmanager
    def during_run(self) -> Iterator[None]:
        """A block within which leased components count as used by a run.

        The time of `keep_alive` starts at its end.
        """
        with self._lock:
            self._runs += 1
        try:
            yield
        finally:
            with self._lock:
                self._runs -= 1
                if not self._runs:
                    for component in self._pool:
                        component.in_run = False
                    self._notify()
            self._expire_in_time()

    def _expire_in_time(self) -> None:
        """Drops the components that have expired, and starts a timer for the next one."""
        if self._timer is not None:
            self._timer.cancel()
        if self.keep_alive is None:
            return
        self.expire()
        used_at = [component.used_at for component in self.loaded() if component.free]
        if used_at:
            wait = max(0.0, min(used_at) + self.keep_alive - time.monotonic())
            self._timer = threading.Timer(wait, self._expire_in_time)
            self._timer.daemon = True
            self._timer.start()

    def _notify(self) -> None:
        self.watch(self._pool)

    def _pin(self, sources: frozenset[str]) -> None:
        with self._lock:
            self._pool.pin(sources)
            self._notify()

    def _free(self, device: str, tier: Tier) -> int | None:
        """The bytes on a tier that are free or taken by components, less the reserve."""
        free = self.probe(device)
        if free is None:
            return None
        return max(0, self._pool.bytes_on(tier, device) + free - self.reserve)

    def _refuse_changed(
        self, parts: Mapping[str, Part | ResolvedPart], wanted: Mapping[str, Component]
    ) -> None:
        """Raises CheckpointError for a file to load that has changed since the plan was made."""
        refuse_changed_files(
            [
                hashed
                for name, part in parts.items()
                if isinstance(part, ResolvedPart) and wanted[name].key not in self._pool
                for hashed in part.hashed_files
            ]
        )

    def _actions(
        self, wanted: Sequence[Component], device: str, choose_actions: ChooseActions | None
    ) -> Sequence[Action]:
        """The actions that bring the wanted components to where they are used."""
        contents = self._pool.contents(device, leased=True)
        # The size of a component is an estimate until it is loaded.
        sized = {component.key: component for component in contents}
        wanted = [sized.get(component.key, component) for component in wanted]
        if choose_actions is not None:
            return choose_actions(wanted, contents)
        return actions_for_step(Requirement("", tuple(wanted)), self.limits(device), contents)

    def _keep_budgets(self, device: str, report: Report | None) -> None:
        """Evicts components above a budget that was set, now that sizes and leases are known."""
        if self.budgets != UNLIMITED:
            contents = self._pool.contents(device, leased=True)
            self._pool.perform(evictions_over_budget(self.budgets, contents), {}, report)
        self._notify()

    def _end_lease(
        self, leased: dict[str, LoadedComponent], device: str, report: Report | None
    ) -> None:
        for component in leased.values():
            component.leases -= 1
            component.used_at = time.monotonic()
        leased.clear()
        self._keep_budgets(device, report)


def _resolve_parts(
    parts: Mapping[str, Part | ResolvedPart], device: str
) -> dict[str, ResolvedPart]:
    """Resolves components; raises CheckpointError for one that the device cannot quantize."""
    resolved: dict[str, ResolvedPart] = {}
    with memoized_scope():
        for name, part in parts.items():
            resolved_part = part if isinstance(part, ResolvedPart) else resolve_part(part)
            refuse_device(resolved_part, device)
            resolved[name] = resolved_part
    return resolved
