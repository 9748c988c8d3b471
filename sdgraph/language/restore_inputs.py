"""Replaces the values of fields that were read from inputs by references to those inputs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from sdgraph.graph import Graph, Node, Origin

from .inputs import Input
from .references import unescape_dollar, value_at


@dataclass(frozen=True)
class _Use:
    """One place in a node's fields that was read from an input."""

    origin: Origin
    fields: dict[str, Any]
    path: list[str | int]

    @cached_property
    def value(self) -> Any:
        """The value in the field before `replace`, in the input's type; None if there is none."""
        value = value_at(self.fields, self.path)
        if isinstance(value, str):
            return unescape_dollar(value)
        # A float field has converted the input's 3 to 3.0.
        if type(value) is float and self.origin.type == "int" and value.is_integer():
            return int(value)
        return float(value) if type(value) is int and self.origin.type == "float" else value

    def replace(self, value: Any) -> None:
        value_at(self.fields, self.path[:-1])[self.path[-1]] = value


def restore_inputs(graph: Graph, entries: Mapping[Node[Any], dict[str, Any]]) -> dict[str, Input]:
    """The inputs that a graph's fields were read from, with their values as defaults.

    In `entries`, the nodes' fields as plain data, `$inputs.name` replaces each such value. An input
    with several values in the graph, as in the graph of a sweep, is left out: its values stay.
    """
    uses: dict[str, list[_Use]] = {}
    for node in graph.nodes:
        for place, origin in graph.origins.get(node, {}).items():
            uses.setdefault(origin.name, []).append(_Use(origin, entries[node], [*place]))
    inputs = {}
    for name, of_input in uses.items():
        origin, value = of_input[0].origin, of_input[0].value
        if any(use.origin != origin or not _same(use.value, value) for use in of_input):
            continue
        declared = Input(name, origin.type, value, origin.description)
        if declared.problem(value) is None:
            inputs[name] = declared
            for use in of_input:
                use.replace(f"$inputs.{name}")
    return inputs


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
