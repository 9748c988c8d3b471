"""Loaded components, and what a lease gives a node of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import ref

from sdgraph.memory import Component, ComponentKey, Tier
from sdgraph.values import Checkpoint


@dataclass(eq=False)
class LoadedComponent:
    """One loaded module (or tokenizer, or processor), where it is, and who holds it there."""

    key: ComponentKey
    name: str
    module: Any
    bytes: int
    file_bytes: int = 0
    leases: int = 0
    parked: bool = False
    """Whether it is kept in host memory and not on its device."""
    pinned: bool = False
    """Whether a person asked that it stays."""
    in_run: bool = False
    """Whether a run that goes on has leased it."""
    used_at: float = field(default_factory=time.monotonic)
    """When a lease of it last ended."""

    @property
    def free(self) -> bool:
        """Whether nobody holds it or has pinned it, so that it may go."""
        return not (self.leases or self.pinned)

    @property
    def why(self) -> str:
        """Why it is in memory, in words."""
        if self.leases:
            return f"leased by {self.leases} node{'s' if self.leases > 1 else ''}"
        return "pinned" if self.pinned else "kept until its room is wanted"

    def let_go(self) -> bool:
        """Drops the module; whether something else still holds it, a circle of objects perhaps."""
        watched = ref(self.module) if type(self.module).__weakrefoffset__ else None
        self.module = None
        return watched is not None and watched() is not None

    @property
    def component(self) -> Component:
        """The component as the memory planner sees it."""
        return Component(self.key, self.name, self.bytes, self.file_bytes)

    @property
    def tier(self) -> Tier:
        """The memory that holds it now: its device's, or the host's while it is parked there."""
        return Tier.HOST if self.parked else self.component.home

    def is_of(self, source: str) -> bool:
        """Whether it is a checkpoint, by its source, or a part of it."""
        return self.name == source or self.name.startswith(f"{source}/")


@dataclass(frozen=True)
class Models(Mapping[str, Any]):
    """What a lease hands to a node: its components by name, and where they live."""

    components: Mapping[str, Any]
    device: str
    dtype: str
    recall: Callable[[str, Callable[[], bytes]], bytes] = lambda _, make: make()
    """The result of a stage of the node's work by its name: remembered, or made and remembered."""

    def __getitem__(self, name: str) -> Any:
        return self.components[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.components)

    def __len__(self) -> int:
        return len(self.components)

    def without(self, prefix: str) -> Models:
        """The components whose names do not begin with `prefix`."""
        left = {k: v for k, v in self.components.items() if not k.startswith(prefix)}
        return replace(self, components=left)


def source_of(checkpoint: Checkpoint | str) -> str:
    """Where a checkpoint comes from, given it or that."""
    return checkpoint.source if isinstance(checkpoint, Checkpoint) else checkpoint
