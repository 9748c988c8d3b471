"""The files that the variants of a sweep write: each variant gets its own, none is overwritten."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidWorkflowError, Problem, in_file_order
from sdgraph.graph import Node, name_without_variant
from sdgraph.language import Workflow, escape_braces, slugify
from sdgraph.memoize import memoized_scope

from .counted_sweep import expand_sweep
from .sweep import Sweep, Variant, merge_variants

NUMBER_PATTERN = "{number:04d}"

MANY_VARIANTS = 500
"""For more variants than this, a few of them show which paths vary."""

VALUES_TRIED = 3
"""How many values of each input these few have."""

MAX_VALUES_IN_NAME = 3
"""How many values a file's name holds at most; more would be too long for some disks."""


def build_sweep(workflow: Workflow, variants: Sequence[Variant], only: Sequence[str] = ()) -> Sweep:
    """The checked sweep over some variants of a workflow, in which no two write to the same file.

    If several would write to one path, the values that vary are added to its name. If that path
    already has a pattern, it is a problem instead.

    Args:
        workflow: The workflow.
        variants: The values of its inputs in each variant; `make_variants` gives them.
        only: Names of the nodes to compute; without any, the default targets.

    Raises:
        InvalidWorkflowError: With the problems of the first variants that have any.
    """
    sweep = _merge_many(workflow, variants, only) if len(variants) > MANY_VARIANTS else None
    if sweep is None:
        sweep = merge_variants(workflow, variants, only)
        varied = varying_paths(workflow, sweep, variants)
        if varied:
            sweep = merge_variants(workflow.with_fields(varied), variants, only)
    sweep = expand_sweep(sweep)
    checked = sweep.graph
    if not only and len(sweep.needed) > len(checked.nodes):
        checked = replace(checked, nodes=tuple(sweep.needed))
    with memoized_scope():
        problems = [*clash_problems(sweep), *checked.check()]
    if problems:
        raise InvalidWorkflowError(in_file_order(problems))
    return sweep


def _merge_many(
    workflow: Workflow, variants: Sequence[Variant], only: Sequence[str]
) -> Sweep | None:
    """The graph of all variants, made once: which paths vary is found with a few of them.

    None if variants still write to the same file, so that all of them have to be looked at.
    """
    tried = {
        name: set(sorted({variant.indices[name] for variant in variants})[:VALUES_TRIED])
        for name in variants[0].indices
    }
    few = [
        variant
        for variant in variants
        if all(index in tried[name] for name, index in variant.indices.items())
    ]
    varied = varying_paths(workflow, merge_variants(workflow, few, only), variants)
    sweep = merge_variants(workflow.with_fields(varied), variants, only)
    return None if shared_files(sweep) else sweep


def files_to_write(sweep: Sweep) -> Iterable[tuple[Path, Node[Any], str]]:
    """Every file or folder that the sweep will write, with its node and the node's field."""
    return sweep.graph.files_to_write


def shared_files(sweep: Sweep) -> dict[Path, list[tuple[Node[Any], str]]]:
    """The files that more than one node would write, each with its nodes and their fields."""
    writers: dict[Path, list[tuple[Node[Any], str]]] = {}
    for path, node, name in files_to_write(sweep):
        writers.setdefault(path, []).append((node, name))
    return {path: nodes for path, nodes in writers.items() if len(nodes) > 1}


def varying_paths(workflow: Workflow, sweep: Sweep, variants: Sequence[Variant]) -> dict[str, str]:
    """New paths, by NODE.FIELD, for the fields that name one path in several variants.

    The values that vary follow the stem: out/star.png becomes out/star_seed-{seed:04d}.png. Fields
    with a pattern, fields that the sweep itself varies, and fields inside a sub-workflow (which
    does not know what varies outside of it) are not changed.

    Args:
        workflow: The workflow.
        sweep: Its variants, or enough of them to see what varies.
        variants: All variants, whose values the paths have to tell apart.
    """
    name_patterns = _name_patterns(workflow, variants)
    paths: dict[str, set[tuple[Path, str]]] = {}
    for nodes in shared_files(sweep).values():
        entries = Counter(name_without_variant(sweep.graph.names[node]) for node, _ in nodes)
        for node, name in nodes:
            entry = name_without_variant(sweep.graph.names[node])
            in_file = entries[entry] > 1 and entry in workflow.template.specs
            if in_file and node not in sweep.patterned:
                path = Path(getattr(node, name))
                suffix = _suffix(sweep.common(node), name_patterns)
                paths.setdefault(f"{entry}.{name}", set()).add((path, suffix))
    varied = {}
    for field, of_field in paths.items():
        (path, *other), suffixes = {path for path, _ in of_field}, {end for _, end in of_field}
        if not other:
            stem = escape_braces(str(path.with_suffix("")))
            # With zip, which values vary may differ from file to file; the number is always unique.
            suffix = suffixes.pop() if len(suffixes) == 1 else NUMBER_PATTERN
            varied[field] = f"{stem}_{suffix}{escape_braces(path.suffix)}"
    return varied


def clash_problems(sweep: Sweep) -> Iterator[Problem]:
    """A problem for each file that more than one node would write."""
    for path, nodes in shared_files(sweep).items():
        (one, field), (other, _) = nodes[:2]
        names = [sweep.graph.names[node] for node in (one, other)]
        first, second = (sweep.variants[sweep.needed[node][0]] for node in (one, other))
        if first is second:
            found = f"{path}, written by {names[0]} and {names[1]}"
            fix = "give each a path of its own"
        else:
            found = f"{path}, written by {first} and by {second}"
            varying = ", ".join(f"{{{name}}}" for name in first.indices)
            fix = f"put what varies into the path: {varying} or {{number}}"
        yield Problem(
            f"{name_without_variant(names[0])}.{field}",
            found,
            "a file for each",
            fix,
            sweep.graph.mark(one, field),
        )


def _name_patterns(workflow: Workflow, variants: Sequence[Variant]) -> dict[str, str]:
    """The pattern for each input that varies: seed-{seed:04d}, style-{style_slug}.

    An input is left out if its values would give equal names.
    """
    name_patterns = {}
    for name in variants[0].indices:
        by_index = {variant.indices[name]: variant.inputs[name] for variant in variants}
        values = list(by_index.values())
        kinds = {type(value) for value in values}
        is_path = workflow.inputs[name].is_path
        if kinds == {int} and min(values) >= 0:
            name_patterns[name] = f"{name}-{{{name}:0{max(4, len(str(max(values))))}d}}"
        elif kinds <= {int, float}:
            name_patterns[name] = f"{name}-{{{name}}}"
        elif _are_distinct(slugify(Path(value) if is_path(value) else value) for value in values):
            name_patterns[name] = f"{name}-{{{name}_slug}}"
    return name_patterns


def _are_distinct(texts: Iterable[str]) -> bool:
    items = list(texts)
    return len(set(items)) == len(items)


def _suffix(common: Mapping[str, Any], name_patterns: Mapping[str, str]) -> str:
    """The pattern of the values that a node's variants share; else the variant's number."""
    parts = [name_patterns[name] for name in common if name in name_patterns]
    is_unique = 0 < len(parts) == len(common) <= MAX_VALUES_IN_NAME
    return "_".join(parts) if is_unique else NUMBER_PATTERN
