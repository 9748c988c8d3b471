"""The terms of the memory planner: components, tiers, requirements, budgets and actions.

There are two tiers of memory above the disk: the accelerator and host memory. A component has a
home, the tier where it must be to be used. A component whose home is the accelerator can also be
offloaded to the host. On a machine without an accelerator every home is the host, and nothing is
ever offloaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Literal, NamedTuple

_NO_LIMIT = 1 << 62


class Tier(StrEnum):
    """Where a component can be in memory; a component on neither tier is on disk."""

    ACCELERATOR = "accelerator"
    HOST = "host"


class ComponentKey(NamedTuple):
    """What makes two components the same: the identity of their weights, dtype and device."""

    identity: str
    dtype: str
    device: str


class Component(NamedTuple):
    """A component that is in memory or will be: its bytes there, and the bytes of its files.

    Components with equal keys are the same component, even where their names and sizes differ.
    """

    key: ComponentKey
    name: str
    bytes: int
    file_bytes: int

    @property
    def home(self) -> Tier:
        """The tier where it must be to be used."""
        return Tier.HOST if self.key.device == "cpu" else Tier.ACCELERATOR


@dataclass(frozen=True, slots=True)
class Placement:
    """Where a component is; a pinned one stays there until the end of the plan."""

    tier: Tier
    pinned: bool = False


MemoryContents = Mapping[Component, Placement]
"""What is in memory, least recently used first."""


class Action(NamedTuple):
    """One change of memory before a step.

    `load` reads a component from disk to its home, `evict` drops it from memory, `offload` moves it
    from the accelerator to the host, `upload` moves it back.
    """

    kind: Literal["evict", "offload", "upload", "load"]
    component: Component


@dataclass(frozen=True, slots=True)
class Requirement:
    """What one step requires of memory, and the steps that must run before it."""

    name: str
    components: tuple[Component, ...] = ()
    """What must be at home, all at once, while the step runs."""
    working_bytes: int = 0
    """The bytes that the step uses in addition to its components; an estimate."""
    after: tuple[int, ...] = ()
    """The indices of the steps that must run before it."""
    saves: bool = False
    """Whether it writes a file that a person waits for."""
    working_tier: Tier = Tier.ACCELERATOR
    """The tier that the working bytes are on."""


@dataclass(frozen=True, slots=True)
class Budgets:
    """The bytes that components and working memory may take on each tier; None for no limit."""

    accelerator: int | None = None
    host: int | None = None

    def of(self, tier: Tier) -> int | None:
        """The budget of a tier; None where it has none."""
        return self.accelerator if tier is Tier.ACCELERATOR else self.host

    def limit(self, tier: Tier) -> int:
        """The budget of a tier; a number above every sum of bytes where it has none."""
        budget = self.of(tier)
        return _NO_LIMIT if budget is None else budget


UNLIMITED = Budgets()


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """How many bytes a plan may use."""

    available: Budgets = UNLIMITED
    """The bytes of each tier: set by the user, or measured as free."""
    enforced: Budgets = UNLIMITED
    """The budgets that the user has set. A plan that cannot keep one of these is an error; a plan
    that cannot keep a measured budget only has a warning."""
    keep_unused: bool = True
    """Whether components that no later step uses stay in memory for the next run while they fit."""
