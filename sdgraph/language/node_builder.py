"""Builds nodes from the fields in a workflow file, and placeholders for wrong ones."""

from __future__ import annotations

from collections.abc import Container, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidNodeError, Mark, Problem
from sdgraph.graph import DeferredValue, Node, Origins

from .template import WorkflowTemplate


class NodePlaceholder(DeferredValue):
    """Replaces a node that could not be built, so that the nodes that read it are checked too.

    Args:
        output: The kind of value that the node would make; None if it is not known.
    """

    content = "unbuilt"

    def __init__(self, output: type | None) -> None:
        self.output = output  # type: ignore[misc]  # an attribute of the object, not of the class


@dataclass
class BoundNodes:
    """The nodes of a workflow file with its inputs, their places and origins, and the problems."""

    nodes: dict[str, DeferredValue] = field(default_factory=dict)
    """A node or a NodePlaceholder by name; those of a sub-workflow as "faces/edges"."""
    loading: dict[str, Node[Any]] = field(default_factory=dict)
    """For each input of the outermost file that names a file: the node that loads it."""
    marks: dict[Node[Any], Mapping[str, Mark]] = field(default_factory=dict)
    """The places of a node ("") and its fields in the file."""
    origins: dict[Node[Any], Origins] = field(default_factory=dict)
    """The inputs that a node's fields were read from."""
    problems: list[Problem] = field(default_factory=list)
    templates: dict[Path, WorkflowTemplate] = field(default_factory=dict)
    """The sub-workflows that were read, by file."""
    subworkflow_count: int = 0
    """How many sub-workflows were opened."""
    variant_number: int = 1
    """The value of `{number}` in a file's name."""
    patterned: set[Node[Any]] = field(default_factory=set)
    """The nodes that write to a path with inputs in braces."""
    uncached: set[Node[Any]] = field(default_factory=set)
    """The nodes that are not remembered because they or their sub-workflow have `cache: false`."""
    pinned: set[Node[Any]] = field(default_factory=set)
    """The nodes whose results are always kept: they or their sub-workflow have `cache: true`."""

    @property
    def names(self) -> dict[Node[Any], str]:
        """The first name of each node that was built."""
        names: dict[Node[Any], str] = {}
        for name, node in self.nodes.items():
            if isinstance(node, Node):
                names.setdefault(node, name)
        return names

    def without(self, nodes: Container[str], inputs: Container[str]) -> BoundNodes:
        """What stays when some inputs get other values: the nodes that do not depend on them.

        Args:
            nodes: The names of the nodes that depend on these inputs.
            inputs: The names of the inputs.
        """
        changed = {node for name, node in self.nodes.items() if name.partition("/")[0] in nodes}
        kept: dict[str, DeferredValue] = {
            name: node
            for name, node in self.nodes.items()
            if isinstance(node, Node) and node not in changed and "/" not in name
        }
        loading = {name: node for name, node in self.loading.items() if name not in inputs}
        stay = {*kept.values(), *loading.values()}
        return BoundNodes(
            kept,
            loading,
            {node: places for node, places in self.marks.items() if node in stay},
            {node: origins for node, origins in self.origins.items() if node in stay},
            templates=self.templates,
            patterned=self.patterned & stay,
            uncached=self.uncached & stay,
            pinned=self.pinned & stay,
        )

    def beginning(self, number: int) -> BoundNodes:
        """What is known of these nodes, to begin with in the variant of a number."""
        return BoundNodes(
            marks=dict(self.marks),
            origins=dict(self.origins),
            templates=self.templates,
            variant_number=number,
            patterned=set(self.patterned),
            uncached=set(self.uncached),
            pinned=set(self.pinned),
        )

    def keep_origins(self, node: Node[Any], read: Origins) -> None:
        """Keeps the inputs that a node's fields were read from, if they agree for all its names."""
        before = self.origins.get(node, read)
        self.origins[node] = {
            place: origin for place, origin in before.items() if read.get(place) == origin
        }


def build_node(
    cls: type[Node[Any]], fields: Mapping[str, Any]
) -> tuple[Node[Any] | None, list[Problem]]:
    """The node with these fields, or None and all problems.

    If only wires are wrong, the node is built again with placeholders for them, so that other
    problems are reported at once and not after the wires are fixed.
    """
    try:
        return cls(**fields), []
    except InvalidNodeError as error:
        problems = list(error.problems)
    wrong_fields = {field_of_problem(problem, cls) for problem in problems}
    if wrong_fields <= set(cls.definition.ports):
        try:
            cls(**{**fields, **{name: NodePlaceholder(None) for name in wrong_fields}})
        except InvalidNodeError as error:
            problems += (
                problem
                for problem in error.problems
                if field_of_problem(problem, cls) not in wrong_fields
            )
    return None, problems


def field_of_problem(problem: Problem, cls: type[Node[Any]]) -> str:
    """The field that a problem of a node class is about; "" for the whole node."""
    return problem.subject.removeprefix(cls.__name__)[1:].partition(".")[0]


def holds_placeholder(value: Any) -> bool:
    """Whether a value is a placeholder, or a list or map that holds one."""
    if isinstance(value, list | tuple):
        return any(map(holds_placeholder, value))
    if isinstance(value, dict):
        return any(map(holds_placeholder, value.values()))
    return isinstance(value, NodePlaceholder)
