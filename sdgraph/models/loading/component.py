"""Loaded components, and the view of them that a node gets with a lease."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from weakref import ref

from sdgraph import memory  # its names are imported when they are first used
from sdgraph.values import Checkpoint


@dataclass(eq=False)
class LoadedComponent:
    """One loaded module, tokenizer or processor, its place, and the reasons why it is kept."""

    key: memory.ComponentKey
    name: str
    module: Any
    bytes: int
    file_bytes: int = 0
    leases: int = 0
    offloaded: bool = False
    """Whether it is in host memory and not on its device."""
    pinned: bool = False
    """Whether the user has pinned it, so that it stays."""
    in_run: bool = False
    """Whether a run that is in progress has leased it."""
    used_at: float = field(default_factory=time.monotonic)
    """When a lease of it last ended."""

    @property
    def free(self) -> bool:
        """Whether it is neither leased nor pinned, so that it may be evicted."""
        return not (self.leases or self.pinned)

    @property
    def where(self) -> str:
        """The device that it is on, or "host"."""
        return "host" if self.offloaded or self.key.device == "cpu" else self.key.device

    @property
    def why(self) -> str:
        """Why it is in memory, in words."""
        if self.in_run:
            return "used by a run"  # its leases come and go with every node
        if self.leases:
            return f"leased by {self.leases} node{'s' if self.leases > 1 else ''}"
        return "pinned" if self.pinned else "kept until its memory is needed"

    def release(self) -> bool:
        """Drops the module; returns whether it is still alive, because of a reference cycle."""
        reference = ref(self.module) if type(self.module).__weakrefoffset__ else None
        self.module = None
        return reference is not None and reference() is not None

    @property
    def component(self) -> memory.Component:
        """The component in the form that the memory planner uses."""
        return memory.Component(self.key, self.name, self.bytes, self.file_bytes)

    @property
    def tier(self) -> memory.Tier:
        """The tier that it is on: that of its device, or the host while it is offloaded."""
        return memory.Tier.HOST if self.offloaded else self.component.home

    def is_of(self, source: str) -> bool:
        """Whether it is a checkpoint, by its source, or a part of it."""
        return self.name == source or self.name.startswith(f"{source}/")


@dataclass(frozen=True)
class Models(Mapping[str, Any]):
    """The components of a node by name, and their device and dtype; a lease gives it to the node.

    Args:
        components: The loaded modules, tokenizers and processors, by the names in `Node.parts`.
        device: The device they are on, such as "cuda" or "cpu".
        dtype: The dtype to compute in: "float32", "float16" or "bfloat16".
        recall: Returns the result of a stage of the node's work by its name: the remembered one,
            or else the one that the function makes, which is then remembered.
    """

    components: Mapping[str, Any]
    device: str
    dtype: str
    recall: Callable[[str, Callable[[], bytes]], bytes] = lambda _, make: make()

    def __getitem__(self, name: str) -> Any:
        return self.components[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self.components)

    def __len__(self) -> int:
        return len(self.components)

    def without(self, prefix: str) -> Models:
        """The components whose names do not begin with `prefix`."""
        others = {k: v for k, v in self.components.items() if not k.startswith(prefix)}
        return replace(self, components=others)


def source_of(checkpoint: Checkpoint | str) -> str:
    """The source of a checkpoint; the argument may also be the source itself."""
    return checkpoint.source if isinstance(checkpoint, Checkpoint) else checkpoint
