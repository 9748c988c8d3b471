"""Sweeps: the variants of a workflow as one graph, in which what they share stands once."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidWorkflowError, Problem, in_file_order
from sdgraph.graph import Graph, Marks, Node, Origins, ancestry, describe, named
from sdgraph.language import BoundNodes, Input, Workflow

from .axis_syntax import MAX_VALUES

MAX_PROBLEMS = 50
"""Once so many are found, no further variant is looked at."""


@dataclass(frozen=True)
class Variant:
    """One choice of values for the inputs that a sweep goes through."""

    number: int
    """Its place in the sweep, from 1."""
    inputs: Mapping[str, Any]
    """What the workflow is given: the inputs that vary, and those that do not."""
    places: Mapping[str, int]
    """For each input that varies, which of its values this is: the place of the first equal one."""

    @property
    def swept(self) -> dict[str, Any]:
        """The values of the inputs that vary."""
        return {name: self.inputs[name] for name in self.places}

    def __str__(self) -> str:
        return f"variant {self.number} ({values_label(self.swept)})"


@dataclass(frozen=True)
class Sweep:
    """Variants, and the graph that makes all of them."""

    graph: Graph
    variants: tuple[Variant, ...]
    targets: tuple[Mapping[str, Node[Any]], ...] = field(repr=False)
    """For each variant its targets, by the names that its workflow gives them."""
    needed: Mapping[Node[Any], Sequence[int]] = field(repr=False)
    """For each node, also of those that no target needs, the places of the variants it is in."""
    patterned: frozenset[Node[Any]] = field(repr=False, default=frozenset())
    """The nodes that write to a path with inputs in braces."""
    inputs: Mapping[str, Input] = field(repr=False, default_factory=dict)
    """What the workflow declares."""

    def common(self, node: Node[Any]) -> dict[str, Any]:
        """The varying inputs whose value is the same wherever a node is needed."""
        return _common(self.variants, self.needed[node])


def make_variants(
    fixed: Mapping[str, Any], axes: Mapping[str, Sequence[Any]], *, side_by_side: bool = False
) -> tuple[Variant, ...]:
    """Every combination of the values, the last input's changing first; or side by side.

    Raises InvalidWorkflowError for values side by side that are not equally many, for an input with
    none, and for more variants than MAX_VALUES.
    """
    counts = {name: len(values) for name, values in axes.items()}
    listed = ", ".join(f"{count:,} of {name}" for name, count in counts.items())
    for name, count in counts.items():
        if not count:
            raise _refused(f"inputs.{name}", "no values", "at least one")
    if side_by_side and len(set(counts.values())) > 1:
        fix = "give as many of each, or leave out zip for every combination"
        raise _refused("zip", listed, "equally many values, to go side by side", fix)
    if not side_by_side and math.prod(counts.values()) > MAX_VALUES:
        found = f"{math.prod(counts.values()):,} variants ({listed})"
        raise _refused("sweep", found, f"at most {MAX_VALUES:,}", "sweep over fewer values")
    ranges = [range(count) for count in counts.values()]
    chosen = zip(*ranges, strict=True) if side_by_side else product(*ranges)
    firsts = {name: _first_places(values) for name, values in axes.items()}
    made = []
    for number, places in enumerate(chosen, 1):
        named = dict(zip(axes, places, strict=True))
        swept = {name: axes[name][place] for name, place in named.items()}
        same = {name: firsts[name][place] for name, place in named.items()}
        made.append(Variant(number, {**fixed, **swept}, same))
    return tuple(made)


def _first_places(values: Sequence[Any]) -> list[int]:
    """For each value the first place of an equal one; 1, 1.0 and true are not equal."""
    seen: dict[Any, int] = {}
    return [
        seen.setdefault((type(value), value) if isinstance(value, Hashable) else id(value), place)
        for place, value in enumerate(values)
    ]


def merge_variants(workflow: Workflow, found: Sequence[Variant], only: Sequence[str] = ()) -> Sweep:
    """The graph of all variants, unchecked.

    Raises InvalidWorkflowError where a node cannot be made.

    A node that only some variants need is named for the values that those share: star[seed=3].
    """
    needed: dict[Node[Any], list[int]] = {}
    plain: dict[Node[Any], str] = {}
    marks: dict[Node[Any], Marks] = {}
    origins: dict[Node[Any], Origins] = {}
    patterned: set[Node[Any]] = set()
    uncached: set[Node[Any]] = set()
    targets = []
    for place, (bound, aims) in enumerate(_bound(workflow, found, only)):
        names = named(ancestry(*(aims if only else bound.names)), bound.names)
        for node, name in names.items():
            needed.setdefault(node, []).append(place)
            plain.setdefault(node, name)
        for node, where in bound.marks.items():
            marks.setdefault(node, where)
        for node, read in bound.origins.items():
            known = origins.setdefault(node, read)
            origins[node] = {k: each for k, each in known.items() if read.get(k) == each}
        patterned |= bound.patterned
        uncached |= bound.uncached
        targets.append({names[node]: node for node in aims})
    ends = dict.fromkeys(node for aims in targets for node in aims.values())
    labels = _labels(found, needed, plain)
    graph = Graph(
        tuple(ends),
        tuple(ancestry(*ends)),
        labels,
        marks,
        origins,
        frozenset(uncached),
        variants=True,
    )
    return Sweep(graph, tuple(found), tuple(targets), needed, frozenset(patterned), workflow.inputs)


def _bound(
    workflow: Workflow, found: Sequence[Variant], only: Sequence[str]
) -> list[tuple[BoundNodes, list[Node[Any]]]]:
    """What binding makes of each variant, and its targets; raises InvalidWorkflowError."""
    problems: dict[Problem, None] = {}
    made = []
    for variant in found:
        bound, aims = workflow.bind(variant.inputs, only, variant.number)
        told = [*in_file_order(bound.problems), *workflow.missing_inputs(variant.inputs)]
        problems.update(dict.fromkeys(told))
        if len(problems) >= MAX_PROBLEMS:
            break
        made.append((bound, aims))
    if problems:
        raise InvalidWorkflowError(problems)
    return made


def _common(found: Sequence[Variant], places: Sequence[int]) -> dict[str, Any]:
    """The varying inputs whose value is the same in the variants at these places."""
    first = found[places[0]]
    return {
        name: first.inputs[name]
        for name, value in first.places.items()
        if all(found[place].places[name] == value for place in places)
    }


def _labels(
    found: Sequence[Variant], needed: Mapping[Node[Any], list[int]], plain: Mapping[Node[Any], str]
) -> dict[Node[Any], str]:
    """A name for each node that no other has."""
    labels: dict[Node[Any], str] = {}
    taken: set[str] = set()
    for node, places in needed.items():
        label = plain[node]
        if len(places) < len(found):
            number = f"#{found[places[0]].number}"
            said = values_label(_common(found, places))
            label = f"{plain[node]}[{said or number}]"
            if label in taken:
                label = f"{plain[node]}[{said}{number}]"
        taken.add(label)
        labels[node] = label
    return labels


def values_label(values: Mapping[str, Any], length: int = 24) -> str:
    """The values of some inputs in a line, each cut to a length: seed=3 style=ink."""
    return " ".join(f"{name}={shorten_value(value, length)}" for name, value in values.items())


def shorten_value(value: Any, length: int) -> str:
    """A value in a few characters: a file by its name, a text by its beginning."""
    if isinstance(value, Path):
        value = value.name
    if isinstance(value, bool):
        value = str(value).lower()
    text = str(value) if isinstance(value, str | int | float) else describe(value)
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _refused(subject: str, found: str, wanted: str, fix: str = "") -> InvalidWorkflowError:
    return InvalidWorkflowError([Problem(subject, found, wanted, fix)])
