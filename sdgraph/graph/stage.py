"""Parts of a node's work whose results are remembered by themselves, finer than the node's own.

A new seed changes a picture and not the embedding of its prompt: what makes that need then neither
run nor be loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Stage:
    """A part of a node's work that few of its fields, and few of its components, decide."""

    name: str
    """What it makes, in a word: "prompt"."""
    inputs: Mapping[str, Any] = field(hash=False)
    """All that its result depends on, other than its components, the device and the dtype."""
    parts: tuple[str, ...]
    """The components, by name, that nothing else of the node's work needs."""
