"""The fallbacks that are tried when a node runs out of memory, before it fails."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from typing import Any

from sdgraph.errors import OutOfMemoryError, Problem, SdgraphError, out_of_memory
from sdgraph.graph import Node
from sdgraph.models import Models

from .stage_results import Recall


@dataclass(frozen=True)
class Fallback:
    """Another way to run a node with less memory."""

    description: str
    """What is done, in words."""
    node: Node[Any]
    device: str
    unload: bool = True
    """Whether all models that no node uses are unloaded first."""
    altered: bool = False
    """Whether the result may differ in a few bits from what the graph asks for."""


def fallbacks(node: Node[Any], device: str) -> Iterator[Fallback]:
    """The other ways to run a node that has run out of memory on a device, cheapest first.

    1. The same node, after the memory of the failed attempt has been freed.
    2. The same node, after every model that no node uses has been unloaded.
    3. Each of its low-memory variants that can run (`Node.low_memory_variants`).
    4. The last of these variants, on the CPU.
    """
    yield Fallback("the memory of the failed attempt is freed", node, device, unload=False)
    yield Fallback("every model that no node uses is unloaded", node, device)
    last_variant = node
    for description, variant in node.low_memory_variants():
        if _can_run(variant):
            last_variant = variant
            yield Fallback(description, variant, device, altered=True)
    if device != "cpu":
        yield Fallback("on the CPU", last_variant, "cpu", altered=True)


def _can_run(node: Node[Any]) -> bool:
    try:
        return not list(node.check())
    except SdgraphError:
        return False


def attempt(
    lease: AbstractContextManager[Models],
    run_node: Callable[[Mapping[str, Any]], Any],
    arguments: Mapping[str, Any],
    on_lease: Callable[[], object] | None = None,
    recall: Recall | None = None,
) -> tuple[str | None, Any]:
    """Runs a node with leased models; returns the message if memory ran out, and the value."""
    try:
        with lease as models:
            if on_lease is not None:
                on_lease()
            models = replace(models, recall=recall) if recall is not None else models
            return None, run_node({**arguments, "models": models})
    except Exception as error:
        reason = out_of_memory(error)
        if reason is None:
            raise
        # The frames of the failed attempt would hold their tensors during the next one.
        traceback.clear_frames(error.__traceback__)
        return reason, None


def out_of_memory_error(device: str, reason: str, tried: list[str]) -> OutOfMemoryError:
    """The error if no fallback was enough."""
    return OutOfMemoryError(
        Problem(
            "memory",
            f"none left on {device} ({reason}), after trying: {'; '.join(tried)}",
            "enough memory for the node's models and its working memory",
            "a smaller picture, fewer frames, a smaller dtype, or fewer other programs",
        )
    )
