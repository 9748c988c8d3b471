"""What can change a result beside a node's parameters and inputs, as texts and keys. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from . import identities, libraries
from .checkpoints import Part
from .content import content_of
from .graph import parts_of
from .node import Node
from .stages import Stage
from .weights import Checkpoint


def surroundings(node: Node[Any], device: str, dtype: str | None) -> str:
    """What beside parameters and inputs can change a node's result.

    The weights it reads, what they compute with, and where.
    """
    known = type(node).definition
    if "models" in known.services:
        parts = parts_of(node)
        used = dict.fromkeys(part.checkpoint for part in parts.values())
        told = ",".join(identities.settings(checkpoint) for checkpoint in used)
        return f"{_computing(parts, device, dtype)};{told}"
    if not known.weights:
        return ""
    read = ",".join(map(identities.whole, _checkpoints_in(node)))
    return f"{read};{libraries.versions(libraries.MODELS)}"


def stage_key(node: Node[Any], stage: Stage, device: str, dtype: str | None) -> bytes:
    """The key of what a stage of a node makes.

    The same for every node that makes the same, of whichever checkpoint its components are.
    """
    parts = parts_of(node)
    around = _computing({name: parts[name] for name in stage.parts}, device, dtype)
    text = f"stage|{stage.name}|{content_of(stage.told)}|{around}"
    return blake2b(text.encode(), digest_size=16).digest()


def _computing(parts: Mapping[str, Part], device: str, dtype: str | None) -> str:
    components = ",".join(
        f"{name}={identities.identity(parts[name])}:{parts[name].checkpoint.dtype}"
        for name in sorted(parts)
    )
    return f"{components};{device};{dtype};{libraries.versions(libraries.MODELS)}"


def _checkpoints_in(node: Node[Any]) -> Iterable[Checkpoint]:
    """The checkpoints that stand in a node's fields, in order."""
    for name in type(node).definition.weights:
        value = getattr(node, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Checkpoint):
                yield each
