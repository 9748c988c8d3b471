"""The loaded components of a process, and the actions on them: load, move, evict.

`ModelCache` decides on the actions; the pool carries them out in order.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from sdgraph.memory import Action, Component, ComponentKey, Placement, Tier
from sdgraph.models.checkpoint.resolved_part import ResolvedPart
from sdgraph.models.formats.sizes import bytes_of

from . import devices
from .component import LoadedComponent
from .loader import Loader, load_or_raise

Report = Callable[..., None]
"""Called after each action with "loaded", "moved" or "evicted", and details."""


class ComponentPool:
    """Loaded components, the least recently used one first. Not thread-safe."""

    def __init__(self, load: Loader, changed: Callable[[], None]) -> None:
        self._load = load
        self._changed = changed
        """Called after every action."""
        self._components: OrderedDict[ComponentKey, LoadedComponent] = OrderedDict()
        self.pinned: frozenset[str] = frozenset()
        """The sources of the checkpoints that are pinned."""

    def __iter__(self) -> Iterator[LoadedComponent]:
        return iter(self._components.values())

    def __contains__(self, key: ComponentKey) -> bool:
        return key in self._components

    def use(self, key: ComponentKey) -> LoadedComponent:
        """The component with a key, which becomes the most recently used one."""
        self._components.move_to_end(key)
        return self._components[key]

    def pin(self, sources: frozenset[str]) -> None:
        """Pins the components of these sources, and no others."""
        self.pinned = sources
        for component in self._components.values():
            component.pinned = any(map(component.is_of, sources))

    def contents(self, device: str, *, leased: bool = False) -> dict[Component, Placement]:
        """The components in host memory and on a device, the least recently used first.

        Pinned ones must stay where they are; so must leased ones, if `leased` says so.
        """
        return {
            component.component: Placement(
                component.tier, component.pinned or (leased and component.leases > 0)
            )
            for component in self._components.values()
            if component.tier is Tier.HOST or component.key.device == device
        }

    def bytes_on(self, tier: Tier, device: str) -> int:
        """The bytes of the components on a tier; for the accelerator, those on `device`."""
        return sum(
            component.bytes
            for component in self._components.values()
            if component.tier is tier and (tier is Tier.HOST or component.key.device == device)
        )

    def evict(self, components: Sequence[LoadedComponent], report: Report | None) -> None:
        """Drops some components."""
        self.perform([Action("evict", component.component) for component in components], {}, report)

    def perform(
        self,
        actions: Sequence[Action],
        parts: Mapping[ComponentKey, ResolvedPart],
        report: Report | None,
    ) -> None:
        """Carries out actions in order.

        Memory that evictions and moves have freed is returned to its device before the next action
        that needs memory, and at the end.

        Args:
            actions: The actions.
            parts: The components to load, by their keys.
            report: Called after every action.
        """
        freed: dict[str, bool] = {}
        for kind, component in actions:
            key = component.key
            if kind in ("upload", "load"):
                _give_back(freed)
            if kind == "load":
                self._components[key] = self._load_component(component, parts[key], report)
            elif kind == "evict":
                evicted = self._components.pop(key)
                device = "cpu" if evicted.offloaded else key.device
                freed[device] = evicted.release() or freed.get(device, False)
                if report is not None:
                    report("evicted", component=component.name, bytes=component.bytes)
            else:
                self._move(self._components[key], kind == "offload", report)
                freed.setdefault(key.device, False)
            self._changed()
        _give_back(freed)

    def _move(self, component: LoadedComponent, offloaded: bool, report: Report | None) -> None:
        """Moves a component to host memory, or back to its device."""
        device = "cpu" if offloaded else component.key.device
        began = time.perf_counter()
        try:
            component.module.to(device)
        except Exception:
            # Some of its tensors have moved and some have not, so it is unusable.
            del self._components[component.key]
            raise
        component.offloaded = offloaded
        seconds = time.perf_counter() - began
        if report is not None:
            details: dict[str, Any] = {"device": device, "seconds": seconds}
            report("moved", component=component.name, bytes=component.bytes, **details)

    def _load_component(
        self, component: Component, part: ResolvedPart, report: Report | None
    ) -> LoadedComponent:
        """Loads a component from its files."""
        _, dtype, device = component.key
        began = time.perf_counter()
        module = load_or_raise(self._load, part, dtype, device)
        size, file_bytes = bytes_of(module), part.file_bytes
        seconds = time.perf_counter() - began
        if report is not None:
            details: dict[str, Any] = {"device": device, "seconds": seconds}
            name = component.name
            report("loaded", component=name, bytes=size, file_bytes=file_bytes, **details)
        loaded = LoadedComponent(component.key, component.name, module, size, file_bytes)
        loaded.pinned = any(map(loaded.is_of, self.pinned))
        return loaded


def _give_back(freed: dict[str, bool]) -> None:
    """Returns freed memory to devices; `freed` says for each whether to collect garbage first."""
    for device, collect in freed.items():
        devices.give_back(device, collect=collect)
    freed.clear()
