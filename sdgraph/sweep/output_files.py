"""The files that the variants of a sweep write: that no two are one, and none is lost."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidWorkflowError, Problem, in_file_order
from sdgraph.graph import Node, plain_name
from sdgraph.language import Workflow, escape_braces, slugify
from sdgraph.memoize import memoized_scope

from .sweep import Sweep, Variant, merge_variants

MAX_FILES_SHOWN = 3
"""How many files an error names."""

NUMBER_PATTERN = "{number:04d}"

MAX_VALUES_IN_NAME = 3
"""How many values a name holds at most; more would be too long for some disks."""


def build_sweep(workflow: Workflow, found: Sequence[Variant], only: Sequence[str] = ()) -> Sweep:
    """The checked sweep in which no two variants write one file; raises InvalidWorkflowError.

    Where several would, and no pattern says how to name them, the values that vary are put into
    the name; with a pattern that is a problem.
    """
    sweep = merge_variants(workflow, found, only)
    varied = varying_paths(workflow, sweep)
    if varied:
        sweep = merge_variants(workflow.with_fields(varied), found, only)
    whole = replace(sweep.graph, nodes=tuple(sweep.needed))
    with memoized_scope():
        problems = [*clash_problems(sweep), *(whole if not only else sweep.graph).check()]
    if problems:
        raise InvalidWorkflowError(in_file_order(problems))
    return sweep


def files_to_write(sweep: Sweep) -> Iterator[tuple[Path, Node[Any], str]]:
    """Every file or folder that the sweep will write, with its node and the field that says so."""
    for node in sweep.graph.nodes:
        for name in type(node).definition.targets:
            yield Path(os.path.normpath(Path(getattr(node, name)).absolute())), node, name


def shared_files(sweep: Sweep) -> dict[Path, list[tuple[Node[Any], str]]]:
    """The files that more than one node would write, with those nodes."""
    writers: dict[Path, list[tuple[Node[Any], str]]] = {}
    for path, node, name in files_to_write(sweep):
        writers.setdefault(path, []).append((node, name))
    return {path: nodes for path, nodes in writers.items() if len(nodes) > 1}


def varying_paths(workflow: Workflow, sweep: Sweep) -> dict[str, str]:
    """For each field, as NODE.FIELD, of a path that is one in several variants: one that varies.

    The values that vary are put behind its stem. A field with a pattern of its own is left as it
    is, and so is one whose path is itself swept over, or that stands inside a sub-workflow, which
    does not know what varies outside.
    """
    forms = _forms(workflow, sweep.variants)
    found: dict[str, set[tuple[Path, str]]] = {}
    for nodes in shared_files(sweep).values():
        entries = Counter(plain_name(sweep.graph.names[node]) for node, _ in nodes)
        for node, name in nodes:
            entry = plain_name(sweep.graph.names[node])
            known = entries[entry] > 1 and entry in workflow.template.specs
            if known and node not in sweep.patterned:
                told = Path(getattr(node, name)), _suffix(sweep.common(node), forms)
                found.setdefault(f"{entry}.{name}", set()).add(told)
    varied = {}
    for field, ways in found.items():
        (path, *other), added = {path for path, _ in ways}, {suffix for _, suffix in ways}
        if not other:
            stem = escape_braces(str(path.with_suffix("")))
            # Side by side some values may come again and others not: then the number is sure.
            suffix = added.pop() if len(added) == 1 else NUMBER_PATTERN
            varied[field] = f"{stem}_{suffix}{escape_braces(path.suffix)}"
    return varied


def clash_problems(sweep: Sweep) -> Iterator[Problem]:
    """A problem for each file that would be written twice."""
    for path, nodes in shared_files(sweep).items():
        (one, field), (other, _) = nodes[:2]
        names = [sweep.graph.names[each] for each in (one, other)]
        first, second = (sweep.variants[sweep.needed[each][0]] for each in (one, other))
        if first is second:
            found = f"{path}, written by {names[0]} and {names[1]}"
            fix = "give each a path of its own"
        else:
            found = f"{path}, written by {first} and by {second}"
            varying = ", ".join(f"{{{name}}}" for name in first.places)
            fix = f"put what varies into the path: {varying} or {{number}}"
        yield Problem(
            f"{plain_name(names[0])}.{field}",
            found,
            "a file for each",
            fix,
            sweep.graph.mark(one, field),
        )


def refuse_existing_files(sweep: Sweep, *more: Path) -> None:
    """Raises InvalidWorkflowError where files, of the sweep or of `more`, are there already."""
    every = [*(path for path, _, _ in files_to_write(sweep)), *more]
    there = [path for path in every if path.exists()]
    if not there:
        return
    shown = ", ".join(map(str, there[:MAX_FILES_SHOWN]))
    rest = f" and {len(there) - MAX_FILES_SHOWN} more" if len(there) > MAX_FILES_SHOWN else ""
    found = f"{len(there)} of {len(every)} files there already: {shown}{rest}"
    fix = "--overwrite (overwrite=True in Python) writes over them; or name other files"
    raise InvalidWorkflowError([Problem("files", found, "a sweep that writes over nothing", fix)])


def _forms(workflow: Workflow, found: Sequence[Variant]) -> dict[str, str]:
    """How each input that varies stands in a name: seed-{seed:04d}, style-{style_slug}.

    One is missing where names would not tell its values apart.
    """
    forms = {}
    for name in found[0].places:
        values = list({each.places[name]: each.inputs[name] for each in found}.values())
        kinds = {type(value) for value in values}
        is_path = workflow.inputs[name].is_path
        if kinds == {int} and min(values) >= 0:
            forms[name] = f"{name}-{{{name}:0{max(4, len(str(max(values))))}d}}"
        elif kinds <= {int, float}:
            forms[name] = f"{name}-{{{name}}}"
        elif len({slugify(Path(each) if is_path(each) else each) for each in values}) == len(
            values
        ):
            forms[name] = f"{name}-{{{name}_slug}}"
    return forms


def _suffix(common: Mapping[str, Any], forms: Mapping[str, str]) -> str:
    """The pattern of the values that a node's variants share; else the variant's number."""
    told = [forms[name] for name in common if name in forms]
    whole = 0 < len(told) == len(common) <= MAX_VALUES_IN_NAME
    return "_".join(told) if whole else NUMBER_PATTERN
