"""What happens to files that are there already where the nodes of a graph write."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sdgraph.errors import Problem
from sdgraph.files import Existing

from .dag import Graph
from .node import Node
from .node_files import target_files


def all_target_files(graph: Graph) -> frozenset[Path]:
    """The absolute paths of the files that the nodes of a graph are to write."""
    return frozenset(path.absolute() for node in graph.nodes for _, path in _files_of(node))


def existing_rule(node: Node[Any], *, overwrite: bool = False) -> Existing:
    """What a node does with a file that is there already: its field `existing`, else "number".

    Args:
        node: A node that writes files.
        overwrite: Whether the run replaces all files.
    """
    if overwrite:
        return "replace"
    rule: Existing = node.existing if type(node).definition.has_existing else "number"  # type: ignore[attr-defined]
    return rule


def find_refused_files(graph: Graph) -> Iterator[Problem]:
    """A problem for each file that is there already and that its node refuses to replace."""
    for node in graph.nodes:
        if existing_rule(node, overwrite=graph.overwrite) != "refuse":
            continue
        for field, path in _files_of(node):
            if os.path.lexists(path):
                found, wanted = f"{path}, which exists already", "a file that does not exist yet"
                fix = "name another file, remove this one, or --overwrite (overwrite=True)"
                problem = Problem(field, found, wanted, fix)
                yield problem.under(graph.names[node], graph.mark(node, field))


def _files_of(node: Node[Any]) -> Iterator[tuple[str, Path]]:
    """The files, not folders, that a node writes, each with the name of its field."""
    files = type(node).definition.target_files
    if files:
        yield from ((field, path) for field, path in target_files(node) if field in files)
