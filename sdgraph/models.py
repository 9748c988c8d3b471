"""The cache of loaded components, and leases of them.

A component is loaded once, whichever checkpoints it belongs to, and stays until room is needed.
A lease is the right to use all components of one node: loading and pinning are one step, a leased
component is never evicted, and a load that fails leaves nothing behind.
"""

from __future__ import annotations

import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from . import checkpoints, devices
from .checkpoints import Part
from .digests import refuse_changed
from .errors import CheckpointError
from .loading import load_quietly, refuse_device

Key = tuple[str, str, str]
"""Identity, dtype and device: what makes two components one."""

Loader = Callable[[Part, str, str], Any]
"""Loads a part in a dtype onto a device."""

Report = Callable[..., None]

# One load at a time, whichever cache asks: diffusers patches torch process-wide while it loads.
_loading = threading.Lock()


class Planned(NamedTuple):
    """What a plan has worked out of a component: its identity, and its files with their sha256."""

    identity: str
    files: tuple[tuple[Path, str], ...] = ()


@dataclass(eq=False)
class Component:
    """One loaded module (or tokenizer, or processor) and how many leases hold it."""

    key: Key
    name: str
    module: Any
    bytes: int
    leases: int = 0


@dataclass(frozen=True)
class Models(Mapping[str, Any]):
    """What a lease hands to a node: its components by name, and where they live."""

    components: Mapping[str, Any]
    device: str
    dtype: str

    def __getitem__(self, name: str) -> Any:
        return self.components[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.components)

    def __len__(self) -> int:
        return len(self.components)

    def without(self, prefix: str) -> Models:
        """The components whose names do not begin with `prefix`."""
        left = {k: v for k, v in self.components.items() if not k.startswith(prefix)}
        return Models(left, self.device, self.dtype)


@dataclass
class ModelCache:
    """Loaded components within a byte budget for each device; the least recently used go first.

    `budget` is in bytes per device (None: what the probe says is free, less a reserve).
    """

    load: Loader = load_quietly
    budget: int | None = None
    probe: devices.Probe = devices.free_bytes
    reserve: int = 2 * 2**30
    """Bytes kept free for the work of nodes where no budget is given."""

    def __post_init__(self) -> None:
        self._components: OrderedDict[Key, Component] = OrderedDict()
        self._lock = threading.RLock()

    @contextmanager
    def lease(
        self,
        parts: Mapping[str, Part],
        device: str,
        dtype: str,
        report: Report | None = None,
        *,
        known: Mapping[str, Planned] | None = None,
    ) -> Iterator[Models]:
        """All of a node's components, loaded and pinned until the block ends.

        `known` is what a plan has worked out, by name. Raises CheckpointError when one cannot be
        loaded, or a file of it has changed since the plan; nothing stays pinned then.
        """
        held: dict[str, Component] = {}
        with self._lock:
            try:
                for part in parts.values():
                    refuse_device(part, "cpu" if part.on_host else device)
                self._pin(parts, held, known or {}, device, dtype, report)
            except BaseException:
                self._unpin(held, report)
                raise
        try:
            yield Models({name: held[name].module for name in parts}, device, dtype)
        finally:
            with self._lock:
                self._unpin(held, report)

    def loaded(self) -> tuple[Component, ...]:
        """What is in memory, least recently used first."""
        with self._lock:
            return tuple(self._components.values())

    def unload(self) -> int:
        """Drops everything that no lease holds and says how many bytes that was."""
        with self._lock:
            free = [each for each in self._components.values() if not each.leases]
            for each in free:
                del self._components[each.key]
            for device in {each.key[2] for each in free}:
                devices.give_back(device)
            return sum(each.bytes for each in free)

    def _pin(
        self, parts: Mapping[str, Part], held: dict[str, Component], known: Mapping[str, Planned],
        device: str, dtype: str, report: Report | None,
    ) -> None:  # fmt: skip
        """Puts every component into `held`, pinned."""
        keys = {
            name: (
                known[name].identity if name in known else checkpoints.identity(part),
                part.checkpoint.dtype or dtype,
                "cpu" if part.on_host else device,
            )
            for name, part in parts.items()
        }
        for name in parts:
            if name in known and keys[name] not in self._components:
                for path, digest in known[name].files:
                    refuse_changed(path, digest)
        # What is here is pinned first: else a load might evict it, to load it again.
        for name in sorted(parts, key=lambda name: keys[name] not in self._components):
            key = keys[name]
            if key not in self._components:
                self._components[key] = self._load(key, parts[name], report)
            component = held[name] = self._components[key]
            component.leases += 1
            self._components.move_to_end(key)
            # Weights files may be of another dtype, so the size is known only now.
            self._make_room(0, key[2], report)

    def _load(self, key: Key, part: Part, report: Report | None) -> Component:
        _, dtype, device = key
        self._make_room(checkpoints.size(part), device, report)
        started = time.perf_counter()
        try:
            with _loading:
                module = self.load(part, dtype, device)
        except CheckpointError:
            raise
        except Exception as error:
            # The libraries raise many kinds for a damaged file. Frames of the failed load hold
            # tensors: `from None` with a text lets them go.
            error.__traceback__ = None
            raise CheckpointError(
                f"{part}: cannot be loaded ({type(error).__name__}: {error}); the files may be "
                "damaged or of another kind"
            ) from None
        size = bytes_of(module)
        if report is not None:
            report("loaded", component=str(part), bytes=size, device=device,
                   seconds=time.perf_counter() - started)  # fmt: skip
        return Component(key, str(part), module, size)

    def _make_room(self, needed: int, device: str, report: Report | None) -> None:
        """Evicts unleased components, least recently used first, until `needed` bytes fit."""
        here = [each for each in self._components.values() if each.key[2] == device]
        if self.budget is not None:
            short = sum(each.bytes for each in here) + needed - self.budget
        else:
            short = needed + self.reserve - self.probe(device)
        evicted = False
        for each in here:
            if short <= 0:
                break
            if each.leases:
                continue
            del self._components[each.key]
            short -= each.bytes
            evicted = True
            if report is not None:
                report("evicted", component=each.name, bytes=each.bytes)
        if evicted:
            del here[:], each
            devices.give_back(device)

    def _unpin(self, held: dict[str, Component], report: Report | None) -> None:
        """Lets go; what was over the budget while all was leased goes now."""
        for component in held.values():
            component.leases -= 1
        if self.budget is not None:
            for device in {component.key[2] for component in held.values()}:
                self._make_room(0, device, report)
        held.clear()


def bytes_of(module: Any) -> int:
    """The bytes of a module's parameters and buffers; 0 for what has none."""
    if not hasattr(module, "parameters"):
        return 0
    return sum(map(_held, (*module.parameters(), *module.buffers())))


def _held(tensor: Any) -> int:
    """The bytes of a tensor, of a quantized one those of the tensors inside it."""
    if hasattr(tensor, "__tensor_flatten__"):
        return sum(_held(getattr(tensor, name)) for name in tensor.__tensor_flatten__()[0])
    return int(tensor.numel() * tensor.element_size())
