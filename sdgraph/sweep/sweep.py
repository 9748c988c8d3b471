"""Sweeps: the variants of a workflow as one graph, in which equal nodes are one."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import product
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidWorkflowError, Problem, in_file_order
from sdgraph.graph import Graph, Marks, Node, Origins, ancestry, assign_names, describe_value
from sdgraph.language import BoundNodes, Input, Workflow, nodes_that_read

from .axis_syntax import MAX_VALUES

MAX_PROBLEMS = 50
"""When this many problems are found, no further variant is checked."""


@dataclass(frozen=True)
class Variant:
    """One choice of values for the inputs that a sweep varies."""

    number: int
    """Its number in the sweep, counted from 1."""
    inputs: Mapping[str, Any]
    """The values of the workflow's inputs, those that vary and those that do not."""
    indices: Mapping[str, int]
    """For each input that varies, the index of its value; equal values have one index."""

    @property
    def swept(self) -> dict[str, Any]:
        """The values of the inputs that vary."""
        return {name: self.inputs[name] for name in self.indices}

    def __str__(self) -> str:
        return f"variant {self.number} ({values_label(self.swept)})"


@dataclass(frozen=True)
class Sweep:
    """The variants of a workflow, and one graph that makes all of them."""

    graph: Graph
    variants: tuple[Variant, ...]
    targets: tuple[Mapping[str, Node[Any]], ...] = field(repr=False)
    """For each variant its targets, by their names in the workflow."""
    needed: Mapping[Node[Any], Sequence[int]] = field(repr=False)
    """For each node, also one that no target needs, the indices of the variants that it is in."""
    patterned: frozenset[Node[Any]] = field(repr=False, default=frozenset())
    """The nodes that write to a path with inputs in braces."""
    inputs: Mapping[str, Input] = field(repr=False, default_factory=dict)
    """The inputs that the workflow declares."""

    def common(self, node: Node[Any]) -> dict[str, Any]:
        """The varying inputs that have the same value in all variants that need a node."""
        return _common(self.variants, self.needed[node])


def make_variants(
    fixed: Mapping[str, Any], axes: Mapping[str, Sequence[Any]], *, side_by_side: bool = False
) -> tuple[Variant, ...]:
    """The variants of a sweep: every combination of the values, the last input's changing first.

    Args:
        fixed: Inputs that have one value in all variants.
        axes: Inputs that vary, each with its values.
        side_by_side: Combine the first values of all inputs, then the second, and so on (`zip`).

    Raises:
        InvalidWorkflowError: If an input has no values, if inputs to be combined side by side have
            different numbers of values, or if there are more variants than MAX_VALUES.

    Example:
        >>> for variant in make_variants({}, {"seed": [1, 2], "style": ["ink"]}):
        ...     print(variant)
        variant 1 (seed=1 style=ink)
        variant 2 (seed=2 style=ink)
    """
    counts = {name: len(values) for name, values in axes.items()}
    total = count_variants(axes, side_by_side=side_by_side)
    listed = ", ".join(f"{count:,} of {name}" for name, count in counts.items())
    for name, count in counts.items():
        if not count:
            raise _sweep_error(f"inputs.{name}", "no values", "at least one")
    if side_by_side and len(set(counts.values())) > 1:
        fix = "give as many of each, or leave out zip for every combination"
        raise _sweep_error("zip", listed, "the same number of values for each input", fix)
    if total > MAX_VALUES:
        found = f"{total:,} variants ({listed})"
        raise _sweep_error("sweep", found, f"at most {MAX_VALUES:,}", "sweep over fewer values")
    ranges = [range(count) for count in counts.values()]
    chosen = zip(*ranges, strict=True) if side_by_side else product(*ranges)
    firsts = {name: _first_indices(values) for name, values in axes.items()}
    variants = []
    for number, indices in enumerate(chosen, 1):
        by_name = dict(zip(axes, indices, strict=True))
        swept = {name: axes[name][index] for name, index in by_name.items()}
        same = {name: firsts[name][index] for name, index in by_name.items()}
        variants.append(Variant(number, {**fixed, **swept}, same))
    return tuple(variants)


def count_variants(axes: Mapping[str, Sequence[Any]], *, side_by_side: bool = False) -> int:
    """How many variants `make_variants` makes of these values."""
    counts = [len(values) for values in axes.values()]
    return max(counts) if side_by_side else math.prod(counts)


def _first_indices(values: Sequence[Any]) -> list[int]:
    """For each value the index of the first equal one; 1, 1.0 and true are not equal here."""
    first_index: dict[Any, int] = {}
    return [
        first_index.setdefault(
            (type(value), value) if isinstance(value, Hashable) else id(value), index
        )
        for index, value in enumerate(values)
    ]


def merge_variants(
    workflow: Workflow, variants: Sequence[Variant], only: Sequence[str] = ()
) -> Sweep:
    """The graph of all variants, which is not checked yet.

    The name of a node that only some variants need contains the values that those share:
    star[seed=3]. Raises InvalidWorkflowError if a node cannot be built.
    """
    needed: dict[Node[Any], list[int]] = {}
    plain: dict[Node[Any], str] = {}
    marks: dict[Node[Any], Marks] = {}
    origins: dict[Node[Any], Origins] = {}
    patterned: set[Node[Any]] = set()
    uncached: set[Node[Any]] = set()
    pinned: set[Node[Any]] = set()
    targets = []
    for index, (bound, ends) in enumerate(_bind_variants(workflow, variants, only)):
        chosen = bound.names
        names = assign_names(ancestry(*(ends if only else chosen)), chosen)
        for node, name in names.items():
            needed.setdefault(node, []).append(index)
            plain.setdefault(node, name)
        for node, where in bound.marks.items():
            marks.setdefault(node, where)
        for node, read in bound.origins.items():
            before = origins.setdefault(node, read)
            origins[node] = {
                field: origin for field, origin in before.items() if read.get(field) == origin
            }
        patterned |= bound.patterned
        uncached |= bound.uncached
        pinned |= bound.pinned
        targets.append({names[node]: node for node in ends})
    every_target = dict.fromkeys(node for of_variant in targets for node in of_variant.values())
    labels = _labels(variants, needed, plain)
    graph = Graph(
        tuple(every_target),
        tuple(ancestry(*every_target)),
        labels,
        marks,
        origins,
        frozenset(uncached),
        frozenset(pinned),
        variants=True,
        output_folders=workflow.output_folders,
        folder=workflow.template.folder,
    )
    return Sweep(
        graph, tuple(variants), tuple(targets), needed, frozenset(patterned), workflow.inputs
    )


def _bind_variants(
    workflow: Workflow, variants: Sequence[Variant], only: Sequence[str]
) -> list[tuple[BoundNodes, list[Node[Any]]]]:
    """The nodes of each variant, and its targets among them; raises InvalidWorkflowError."""
    problems: dict[Problem, None] = {}
    bound_variants: list[tuple[BoundNodes, list[Node[Any]]]] = []
    varying = {name for variant in variants for name in variant.indices}
    changed = nodes_that_read(workflow.template, varying)
    known: BoundNodes | None = None
    for variant in variants:
        bound, ends = workflow.bind(variant.inputs, only, variant.number, known)
        if known is None:
            known = bound.without(changed, varying)
        missing = workflow.missing_inputs(variant.inputs)
        problems.update(dict.fromkeys([*in_file_order(bound.problems), *missing]))
        if len(problems) >= MAX_PROBLEMS:
            break
        bound_variants.append((bound, ends))
    if problems:
        raise InvalidWorkflowError(problems)
    return bound_variants


def _common(variants: Sequence[Variant], indices: Sequence[int]) -> dict[str, Any]:
    """The varying inputs that have the same value in the variants at these indices."""
    first = variants[indices[0]]
    return {
        name: first.inputs[name]
        for name, value in first.indices.items()
        if all(variants[index].indices[name] == value for index in indices)
    }


def _labels(
    variants: Sequence[Variant],
    needed: Mapping[Node[Any], list[int]],
    plain: Mapping[Node[Any], str],
) -> dict[Node[Any], str]:
    """A unique name for each node."""
    labels: dict[Node[Any], str] = {}
    taken: set[str] = set()
    for node, indices in needed.items():
        label = plain[node]
        if len(indices) < len(variants):
            number = f"#{variants[indices[0]].number}"
            values = values_label(_common(variants, indices))
            label = f"{plain[node]}[{values or number}]"
            if label in taken:
                label = f"{plain[node]}[{values}{number}]"
        taken.add(label)
        labels[node] = label
    return labels


def values_label(values: Mapping[str, Any], length: int = 24) -> str:
    """The values of some inputs in one line, each shortened to a length.

    Example:
        >>> values_label({"seed": 3, "style": "ink on paper"}, length=6)
        'seed=3 style=ink o…'
    """
    return " ".join(f"{name}={shorten_value(value, length)}" for name, value in values.items())


def shorten_value(value: Any, length: int) -> str:
    """A value in at most `length` characters: a file's name, the beginning of a text."""
    if isinstance(value, Path):
        value = value.name
    if isinstance(value, bool):
        value = str(value).lower()
    text = str(value) if isinstance(value, str | int | float) else describe_value(value)
    text = " ".join(text.split())
    return text if len(text) <= length else f"{text[: length - 1]}…"


def _sweep_error(subject: str, found: str, wanted: str, fix: str = "") -> InvalidWorkflowError:
    return InvalidWorkflowError([Problem(subject, found, wanted, fix)])
