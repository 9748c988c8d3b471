"""A workflow inside another: which file it is, what it may not do, and what it makes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidWorkflowError, Problem
from sdgraph.files import expand_home

from .template import Spec, Template, read_template, reference, unescaped

MAX_NESTING = 16
"""How deep sub-workflows may stand in one another."""

MAX_WORKFLOWS = 1000
"""How many sub-workflows a workflow may hold, all the way down."""


def sub_template(spec: Spec, outer: Template, trail: tuple[Path, ...], count: int) -> Template:
    """The template of the workflow that `spec` names, the `count`-th to be opened.

    `trail` holds the files it stands in, outermost first. Raises InvalidWorkflowError.
    """
    written = spec.fields.get("path")
    if not isinstance(written, str) or "\0" in written or reference(written):
        found = "no path" if written is None else repr(written)
        fix = "write it out: which file it is cannot hang on an input"
        raise _refused(found, "the path of a workflow file", fix if reference(written) else "")
    path = (outer.folder / expand_home(unescaped(written))).resolve()
    if path in trail:
        found = " → ".join(each.name for each in (*trail, path))
        raise _refused(found, "no workflow inside itself")
    if len(trail) > MAX_NESTING:
        raise _refused(f"more than {MAX_NESTING} workflows in one another", "a flatter workflow")
    if count > MAX_WORKFLOWS:
        raise _refused(f"more than {MAX_WORKFLOWS} sub-workflows", "a smaller workflow")
    try:
        return replace(read_template(path), out=outer.out)
    except InvalidWorkflowError as error:
        raise InvalidWorkflowError(
            problem
            if problem.at
            else replace(problem, subject="path", found=f"{path.name}: {problem.found}")
            for problem in error.problems
        ) from None


def outputs(template: Template, registry: Mapping[str, Any]) -> list[str]:
    """The node that `output` names, else those without an effect that only effects read."""
    if template.output:
        return [template.output]
    makers = {
        name: spec
        for name, spec in template.specs.items()
        if not getattr(registry.get(spec.type), "effect", False)
    }
    read = {name for spec in makers.values() for name in spec.references()}
    return [name for name in makers if name not in read]


def no_single_output(template: Template, ends: list[str]) -> Problem:
    """What is wrong with referring to a workflow that has no output, or several."""
    found = f"{len(ends)} possible outputs ({', '.join(ends)})" if ends else "no output"
    return Problem("path", found, "one output", f"add `output: $name` to {template.document.file}")


def _refused(found: str, wanted: str, fix: str = "") -> InvalidWorkflowError:
    return InvalidWorkflowError([Problem("path", found, wanted, fix)])
