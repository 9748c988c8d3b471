"""The files that the variants of a sweep write: that no two are one, and none is lost."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from .errors import InvalidWorkflow, Problem, in_file_order
from .graph import plain_name
from .node import Node
from .patterns import braces_kept, slug
from .sweep import Sweep, Variant, merged
from .workflow import Workflow

SHOWN = 3
"""How many files an error names."""


def apart(workflow: Workflow, found: Sequence[Variant], only: Sequence[str] = ()) -> Sweep:
    """The checked sweep in which no two variants write one file; raises InvalidWorkflow.

    Where several would, and no pattern says how to name them, the values that vary are put into
    the name; with a pattern that is a problem.
    """
    sweep = merged(workflow, found, only)
    varied = patterns(workflow, sweep)
    if varied:
        sweep = merged(workflow.with_fields(varied), found, only)
    whole = replace(sweep.graph, nodes=tuple(sweep.needed))
    problems = [*clashes(sweep), *(whole if not only else sweep.graph).check()]
    if problems:
        raise InvalidWorkflow(in_file_order(problems))
    return sweep


def written(sweep: Sweep) -> Iterator[tuple[Path, Node[Any], str]]:
    """Every file or folder that the sweep will write, with its node and the field that says so."""
    for node in sweep.graph.nodes:
        for name in type(node).definition.targets:
            yield Path(os.path.normpath(Path(getattr(node, name)).absolute())), node, name


def same_files(sweep: Sweep) -> dict[Path, list[tuple[Node[Any], str]]]:
    """The files that more than one node would write, with those nodes."""
    writers: dict[Path, list[tuple[Node[Any], str]]] = {}
    for path, node, name in written(sweep):
        writers.setdefault(path, []).append((node, name))
    return {path: nodes for path, nodes in writers.items() if len(nodes) > 1}


def patterns(workflow: Workflow, sweep: Sweep) -> dict[str, str]:
    """For each field, as NODE.FIELD, of a path that is one in several variants: one that varies.

    The values that vary are put behind its stem. A field with a pattern of its own is left as it
    is, and so is one inside a sub-workflow, which does not know what varies outside.
    """
    found: dict[str, tuple[Path, str]] = {}
    for nodes in same_files(sweep).values():
        entries = Counter(plain_name(sweep.graph.names[node]) for node, _ in nodes)
        for node, name in nodes:
            entry = plain_name(sweep.graph.names[node])
            known = entries[entry] > 1 and entry in workflow.template.specs
            if known and node not in sweep.patterned:
                path = Path(getattr(node, name))
                added = _told(workflow, sweep.variants, sweep.common(node))
                key = f"{entry}.{name}"
                if found.get(key, (path, added)) != (path, added):
                    added = "{number:04d}"  # side by side some values may come again
                found[key] = path, added
    return {
        key: f"{braces_kept(str(path.with_suffix('')))}_{added}{braces_kept(path.suffix)}"
        for key, (path, added) in found.items()
    }


def clashes(sweep: Sweep) -> Iterator[Problem]:
    """A problem for each file that would be written twice."""
    for path, nodes in same_files(sweep).items():
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
            f"{plain_name(names[0])}.{field}", found, "a file for each", fix,
            sweep.graph.mark(one, field),
        )  # fmt: skip


def refuse_existing(sweep: Sweep, *more: Path) -> None:
    """Raises InvalidWorkflow where files, of the sweep or of `more`, are there already."""
    every = [*(path for path, _, _ in written(sweep)), *more]
    there = [path for path in every if path.exists()]
    if not there:
        return
    shown = ", ".join(map(str, there[:SHOWN]))
    rest = f" and {len(there) - SHOWN} more" if len(there) > SHOWN else ""
    found = f"{len(there)} of {len(every)} files there already: {shown}{rest}"
    fix = "--overwrite (overwrite=True in Python) writes over them; or name other files"
    raise InvalidWorkflow([Problem("files", found, "a sweep that writes over nothing", fix)])


def _told(workflow: Workflow, found: Sequence[Variant], common: Mapping[str, Any]) -> str:
    """The pattern of the values that a node's variants share: seed-{seed:04d}_style-{style_slug}.

    The variant's number where that would not tell them apart, or is too long for a name.
    """
    parts = []
    for name in common:
        values = {variant.places[name]: variant.inputs[name] for variant in found}
        kinds = {type(value) for value in values.values()}
        if kinds == {int} and min(values.values()) >= 0:
            parts.append(f"{name}-{{{name}:0{max(4, len(str(max(values.values()))))}d}}")
        elif kinds <= {int, float}:
            parts.append(f"{name}-{{{name}}}")
        elif len({slug(each) for each in _nameable(workflow, name, values)}) == len(values):
            parts.append(f"{name}-{{{name}_slug}}")
        else:
            return "{number:04d}"
    return "_".join(parts) if 0 < len(parts) <= 3 else "{number:04d}"


def _nameable(workflow: Workflow, name: str, values: Mapping[int, Any]) -> list[Any]:
    paths = workflow.inputs[name].is_path
    return [Path(value) if paths(value) else value for value in values.values()]
