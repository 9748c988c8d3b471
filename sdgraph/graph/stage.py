"""Parts of a node's work whose results are remembered separately.

A new seed changes a picture but not the embedding of its prompt, so the text encoder does not have
to run again, nor to be loaded. Where memory is short, the plan has the embedding made first and
alone: then the text encoder and the other components are never in memory at once.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Stage:
    """A part of a node's work that depends on some of its fields and components only."""

    name: str
    """The name of its result: "prompt"."""
    inputs: Mapping[str, Any] = field(hash=False)
    """All that its result depends on, other than its components, the device and the dtype."""
    parts: tuple[str, ...]
    """The components, by name, that nothing else of the node's work needs."""
    reads: tuple[Any, ...] = field(default=(), hash=False)
    """Further values that its result depends on, and nodes on whose results it depends."""
    runs_alone: bool = False
    """Whether `Node.run_stage` makes its result with no other components than `parts`."""
