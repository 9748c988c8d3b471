"""Making nodes of a file's fields, and what stands in for one that could not be made."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from sdgraph.errors import InvalidNodeError, Mark, Problem
from sdgraph.graph import Lazy, Node, Origins


class Unbuilt(Lazy):
    """Stands for a node that could not be made, so that its readers are checked all the same."""

    content = "unbuilt"

    def __init__(self, output: type | None) -> None:
        self.output = output  # type: ignore[misc]  # of each one, not of the class


@dataclass
class Bound:
    """What binding made: a node under each name, or an Unbuilt."""

    nodes: dict[str, Lazy] = field(default_factory=dict)
    marks: dict[Node[Any], dict[str, Mark]] = field(default_factory=dict)
    origins: dict[Node[Any], Origins] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)
    workflows: int = 0
    """How many sub-workflows were opened."""
    number: int = 1
    patterned: set[Node[Any]] = field(default_factory=set)
    """The nodes that write to a path with inputs in braces."""
    uncached: set[Node[Any]] = field(default_factory=set)
    """Those that are never remembered: they, or what they stand in, say so."""

    @property
    def names(self) -> dict[Node[Any], str]:
        """The first name of each node that was made."""
        names: dict[Node[Any], str] = {}
        for name, node in self.nodes.items():
            if isinstance(node, Node):
                names.setdefault(node, name)
        return names

    def keep_origins(self, node: Node[Any], read: Origins) -> None:
        """Keeps which inputs a node's fields were read from, as far as all its names agree."""
        known = self.origins.get(node, read)
        self.origins[node] = {k: each for k, each in known.items() if read.get(k) == each}


def attempt(
    cls: type[Node[Any]], fields: Mapping[str, Any]
) -> tuple[Node[Any] | None, list[Problem]]:
    """The node of some fields, or None and every problem in them.

    Where only wires are wrong, the rest is tried with stand-ins for them: what does not fit
    together is then told at once, not after the wires are mended.
    """
    try:
        return cls(**fields), []
    except InvalidNodeError as error:
        problems = list(error.problems)
    wrong = {field_of(problem, cls) for problem in problems}
    if wrong <= set(cls.definition.ports):
        try:
            cls(**{**fields, **{name: Unbuilt(None) for name in wrong}})
        except InvalidNodeError as error:
            problems += (each for each in error.problems if field_of(each, cls) not in wrong)
    return None, problems


def field_of(problem: Problem, cls: type[Node[Any]]) -> str:
    """The field that a problem of a node class is about; "" for the node as a whole."""
    return problem.subject.removeprefix(cls.__name__)[1:].partition(".")[0]


def holds_unbuilt(value: Any) -> bool:
    """Whether a value is, or has in it, a stand-in."""
    if isinstance(value, list | tuple):
        return any(map(holds_unbuilt, value))
    if isinstance(value, dict):
        return any(map(holds_unbuilt, value.values()))
    return isinstance(value, Unbuilt)
