"""Finds components that a device cannot load as their checkpoints say. Nothing is loaded for it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.models import device_problem, guess_device, resolve_part

from .dag import Graph, has_known_parts, parts_of
from .node import Node


def device_problems(graph: Graph, nodes: Iterable[Node[Any]], device: str) -> Iterator[Problem]:
    """The first problem of each node with a device: a quantization that needs another one.

    Args:
        graph: The graph, for the names of the nodes.
        nodes: The nodes to check.
        device: The device that models run on.
    """
    for node in nodes:
        for part in parts_of(node).values() if has_known_parts(node) else ():
            if part.quantization is None:
                continue
            if (problem := device_problem(resolve_part(part), device)) is not None:
                error, mark = CheckpointError(problem), graph.mark(node, "checkpoint")
                own = error.as_problems_of("checkpoint", problem.wanted)
                yield from (each.under(graph.names[node], mark) for each in own)
                break


def likely_device_problems(graph: Graph) -> list[Problem]:
    """The problems of a graph with the device that this machine likely has; imports no torch."""
    nodes = [
        node
        for node in graph.nodes
        if has_known_parts(node) and any(part.quantization for part in parts_of(node).values())
    ]
    return list(device_problems(graph, nodes, guess_device())) if nodes else []
