"""Out of memory is a ladder: what is tried, rung by rung, before a node fails for it."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from sdgraph.errors import OutOfMemoryError, Problem, SdgraphError, out_of_memory
from sdgraph.graph import Node
from sdgraph.models import Models

from .stage_cache import Recall


@dataclass(frozen=True)
class Rung:
    """One more way to run a node: as which node, where, and whether room is made before."""

    told: str
    """What is done, for people."""
    node: Node[Any]
    device: str
    unload: bool = True
    altered: bool = False
    """Whether the result may differ in a few bits from what the graph asks for."""


def rungs(node: Node[Any], device: str) -> Iterator[Rung]:
    """The ways left once a node has run out of memory on a device, the least costly first."""
    yield Rung("what the try held is given back", node, device, unload=False)
    yield Rung("every model that nobody holds is dropped", node, device)
    lightest = node
    for told, lighter in node.low_memory_variants():
        if _can_run(lighter):
            lightest = lighter
            yield Rung(told, lighter, device, altered=True)
    if device != "cpu":
        yield Rung("on the CPU", lightest, "cpu", altered=True)


def _can_run(node: Node[Any]) -> bool:
    try:
        return not list(node.check())
    except SdgraphError:
        return False


def attempt(
    lease: AbstractContextManager[Models],
    work: Callable[[Mapping[str, Any]], Any],
    arguments: Mapping[str, Any],
    once_leased: Callable[[], object] | None = None,
    recall: Recall | None = None,
) -> tuple[str | None, Any]:
    """What stopped a node's work for want of memory, if anything did; and what it made."""
    try:
        with lease as models:
            if once_leased is not None:
                once_leased()
            models = replace(models, recall=recall) if recall is not None else models
            return None, work({**arguments, "models": models})
    except Exception as error:
        said = out_of_memory(error)
        if said is None:
            raise
        # Frames hold tensors, and would until the next rung is through.
        traceback.clear_frames(error.__traceback__)
        return said, None


def exhausted(device: str, said: str, tried: list[str]) -> OutOfMemoryError:
    """The error at the top of the ladder."""
    return OutOfMemoryError(
        Problem(
            "memory",
            f"none left on {device} ({said}), even when {', and then '.join(tried)}",
            "room for the node's models and what it works with",
            "a smaller picture, fewer frames, a smaller dtype, or fewer programs beside this one",
        )
    )
