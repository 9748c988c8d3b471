"""A graph's fields that were read from a workflow's inputs, written as those inputs again."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sdgraph.graph import Graph, Node, Origin

from .inputs import Input
from .template import unescaped, value_at


@dataclass(frozen=True)
class _Use:
    """One place in a node's fields that was read from an input."""

    origin: Origin
    entry: dict[str, Any]
    place: list[str | int]

    @property
    def value(self) -> Any:
        """What stands there, as a value of the input; None where nothing does."""
        found = value_at(self.entry, self.place)
        if isinstance(found, str):
            return unescaped(found)
        # A field of floats makes 3.0 of the input's 3.
        if type(found) is float and self.origin.type == "int" and found.is_integer():
            return int(found)
        return float(found) if type(found) is int and self.origin.type == "float" else found

    def put(self, value: Any) -> None:
        value_at(self.entry, self.place[:-1])[self.place[-1]] = value


def reopened(graph: Graph, entries: Mapping[Node[Any], dict[str, Any]]) -> dict[str, Input]:
    """The inputs that a graph's fields were read from, with the values they had as defaults.

    `entries` are the nodes' fields as plain data, in which `$inputs.name` is put back. An input
    that stands for two values, as in a graph made of variants, is left as those values.
    """
    uses: dict[str, list[_Use]] = {}
    for node in graph.nodes:
        for place, origin in graph.origins.get(node, {}).items():
            uses.setdefault(origin.name, []).append(_Use(origin, entries[node], [*place]))
    made = {}
    for name, places in uses.items():
        origin, value = places[0].origin, places[0].value
        if any(each.origin != origin or not _same(each.value, value) for each in places):
            continue
        declared = Input(name, origin.type, value, origin.description)
        if declared.problem(value) is None:
            made[name] = declared
            for each in places:
                each.put(f"$inputs.{name}")
    return made


def _same(one: Any, other: Any) -> bool:
    return type(one) is type(other) and bool(one == other)
