"""Out of memory is a ladder: what is tried, rung by rung, before a node fails for it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from .errors import OutOfMemory, Problem, SdgraphError
from .node import Node


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
    for told, lighter in node.lighter():
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


def exhausted(device: str, said: str, tried: list[str]) -> OutOfMemory:
    """The error at the top of the ladder."""
    return OutOfMemory(
        Problem(
            "memory",
            f"none left on {device} ({said}), even when {', and then '.join(tried)}",
            "room for the node's models and what it works with",
            "a smaller picture, fewer frames, a smaller dtype, or fewer programs beside this one",
        )
    )
