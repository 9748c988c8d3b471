"""Sweeps over workflows in which a node with a `count` stands for several."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from sdgraph.errors import InvalidWorkflowError, in_file_order
from sdgraph.graph import Node, find_copies, has_counts, nodes_of, with_copies

from .sweep import Sweep


def expand_sweep(sweep: Sweep) -> Sweep:
    """The sweep in which each node makes one value: the same one if that holds already.

    A copy that several variants make is one node, which all of them need.

    Args:
        sweep: A sweep whose variants write to files of different names.

    Raises:
        InvalidWorkflowError: If a node cannot be there several times.
    """
    if not has_counts(sweep.needed):
        return sweep
    copies, problems = find_copies(sweep.needed)
    if problems:
        graph = sweep.graph
        raise InvalidWorkflowError(
            in_file_order(
                [
                    problem.under(graph.names[node], graph.mark(node, problem.subject))
                    for node, problem in problems
                ]
            )
        )
    needed: dict[Node[Any], list[int]] = {}
    for node, indices in sweep.needed.items():
        for own in nodes_of(node, copies):
            needed[own] = sorted({*needed.get(own, ()), *indices})
    targets = tuple(
        {
            copy_name: new
            for name, node in of_variant.items()
            for copy_name, new in (
                [(copy.rename(name), copy.node) for copy in copies[node]]
                if node in copies
                else [(name, node)]
            )
        }
        for of_variant in sweep.targets
    )
    return replace(
        sweep,
        graph=replace(with_copies(sweep.graph, copies), results={}),
        targets=targets,
        needed=needed,
        patterned=frozenset(new for node in sweep.patterned for new in nodes_of(node, copies)),
    )
