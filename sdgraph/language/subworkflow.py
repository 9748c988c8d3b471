"""A workflow inside another one: its file, the limits on nesting, and its output node."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidWorkflowError, Problem
from sdgraph.files import expand_home, resolve_path

from .node_builder import BoundNodes
from .references import parse_reference, unescape_dollar
from .template import NodeSpec, WorkflowTemplate, read_template

MAX_NESTING = 16
"""How deep sub-workflows may be nested."""

MAX_WORKFLOWS = 1000
"""How many sub-workflows a workflow may contain, at all depths together."""


MAX_NODES = 100_000
"""How many nodes a workflow with its sub-workflows may have."""


def read_subworkflow(
    spec: NodeSpec, outer: WorkflowTemplate, trail: tuple[Path, ...], bound: BoundNodes
) -> WorkflowTemplate:
    """The workflow file that an entry of type Workflow names.

    Args:
        spec: The entry.
        outer: The file with the entry.
        trail: The files that it is nested in, outermost first.
        bound: The nodes so far, and the files that were read.

    Raises:
        InvalidWorkflowError: If the file is wrong, contains itself, or a limit is exceeded.
    """
    written = spec.fields.get("path")
    if not isinstance(written, str) or "\0" in written or parse_reference(written):
        found = "no path" if written is None else repr(written)
        fix = "write the path itself: it cannot come from an input"
        raise _path_error(
            found, "the path of a workflow file", fix if parse_reference(written) else ""
        )
    path = resolve_path(outer.folder / expand_home(unescape_dollar(written)))
    if path in trail:
        found = " → ".join(file.name for file in (*trail, path))
        raise _path_error(found, "no workflow inside itself")
    if len(trail) > MAX_NESTING:
        raise _path_error(f"more than {MAX_NESTING} workflows in one another", "a flatter workflow")
    if len(bound.nodes) > MAX_NODES:
        raise _path_error(f"more than {MAX_NODES:,} nodes", "a smaller workflow")
    if bound.subworkflow_count > MAX_WORKFLOWS:
        raise _path_error(f"more than {MAX_WORKFLOWS} sub-workflows", "a smaller workflow")
    try:
        if path not in bound.templates:
            bound.templates[path] = read_template(path, outer.pack_kinds)
        return replace(bound.templates[path], out=outer.out)
    except InvalidWorkflowError as error:
        raise InvalidWorkflowError(
            problem
            if problem.at
            else replace(problem, subject="path", found=f"{path.name}: {problem.found}")
            for problem in error.problems
        ) from None


def output_nodes(template: WorkflowTemplate, registry: Mapping[str, Any]) -> list[str]:
    """The node that `output` names, or else every node whose value no other node here reads.

    Nodes with an effect (Save) are not counted, because they make no value of their own.
    """
    if template.output:
        return [template.output]
    makers = {
        name: spec
        for name, spec in template.specs.items()
        if not getattr(registry.get(spec.type), "effect", False)
    }
    read = {name for spec in makers.values() for name in spec.references()}
    return [name for name in makers if name not in read]


def no_single_output_problem(template: WorkflowTemplate, outputs: list[str]) -> Problem:
    """The problem of a reference to a workflow that has no output, or several."""
    found = f"{len(outputs)} possible outputs ({', '.join(outputs)})" if outputs else "no output"
    return Problem("path", found, "one output", f"add `output: $name` to {template.document.file}")


def _path_error(found: str, wanted: str, fix: str = "") -> InvalidWorkflowError:
    return InvalidWorkflowError([Problem("path", found, wanted, fix)])
