"""Converts the problems that a node class finds in its fields into problems of the file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sdgraph.errors import Problem
from sdgraph.graph import DeferredValue, Node, describe_kind

from .node_builder import holds_placeholder
from .references import parse_reference, value_at
from .template import NodeSpec, place_of_subject
from .yaml_document import KeyPath


def problem_as_written(
    problem: Problem,
    spec: NodeSpec,
    cls: type[Node[Any]],
    fields: Mapping[str, Any],
    nodes: Mapping[str, DeferredValue],
) -> tuple[Problem, KeyPath] | None:
    """A problem of a node class in terms of the file, and its place in the node's fields.

    None if it only follows from another problem, because the field contains a placeholder.

    Args:
        problem: The problem; its subject begins with the name of the class.
        spec: The node as it is written in the file.
        cls: The node's class.
        fields: The values of the node's fields.
        nodes: The file's nodes by name, some of which may be proposed instead.
    """
    place = place_of_subject(problem.subject.removeprefix(cls.__name__)[1:], spec.fields)
    name = str(place[0]) if place else ""
    value = value_at(fields, place)
    if name not in cls.definition.ports and holds_placeholder(value):
        return None
    problem = replace(problem, subject=".".join(map(str, place)))
    written = value_at(spec.fields, place)
    reference = parse_reference(written)
    if reference is None:
        if name in cls.definition.ports and isinstance(written, str) and written in nodes:
            problem = replace(problem, fix=f"did you mean ${written}?")
        return problem, tuple(place)
    if not isinstance(value, DeferredValue):
        return replace(problem, found=f"{reference}, {problem.found}"), tuple(place)
    found = f"{reference}, which makes {describe_kind(value.output)}"
    fix = _nodes_that_fit(cls, name, str(reference), nodes) or problem.fix
    return replace(problem, found=found, fix=fix), tuple(place)


def _nodes_that_fit(
    cls: type[Node[Any]], field: str, written: str, nodes: Mapping[str, DeferredValue]
) -> str:
    """A fix that names nodes whose values a port takes."""
    port = cls.definition.ports.get(field)
    if port is None:
        return "a parameter takes a plain value, not a node"
    fitting = [
        f"${name}"
        for name, node in nodes.items()
        if node.output is not None and port.takes(node.output) and f"${name}" != written
    ]
    return f"{', '.join(fitting[:4])} would fit" if fitting else ""
