"""What `validate` finds in workflow files, as text and as data for JSON."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidWorkflowError, Problem
from sdgraph.graph import Registry, list_names
from sdgraph.language import Input, Workflow, unread_inputs
from sdgraph.memoize import memoized_scope

from .diagram import unneeded_nodes
from .report import files_as_data, list_files
from .request import (
    MAX_CHECKED,
    ArgumentError,
    Request,
    open_workflow,
    output_folder,
    parse_request,
    registry_with_files,
    split_arguments,
)
from .source_excerpt import format_problem


@dataclass(frozen=True)
class ValidationReport:
    """The problems of one workflow file, warnings and notes."""

    file: str
    problems: tuple[Problem, ...]
    unneeded: tuple[str, ...] = ()
    """The nodes that no target needs."""
    required: tuple[Input, ...] = ()
    unread: tuple[str, ...] = ()
    """The inputs that no node refers to."""
    warnings: tuple[Problem, ...] = ()
    unchecked: str = ""
    """A note if not every variant of a sweep was checked."""
    files: tuple[Path, ...] = ()
    """What a run writes, if that is known; of a large sweep, some of it."""

    def as_text(self) -> str:
        """The problems, each with its line of the file, then the notes."""
        lines = [f"{format_problem(problem)}\n" for problem in self.problems]
        if not self.problems:
            lines.append(f"{self.file}: no problems")
        lines += [f"  warning: {warning.as_line()}" for warning in self.warnings]
        lines += [f"  note: {note}" for note in self.notes()]
        if self.files:
            least = "at least " if self.unchecked else ""
            lines.append(f"  writes {least}{list_files(self.files)}")
        return "\n".join(lines)

    def notes(self) -> list[str]:
        """What is worth knowing and no mistake."""
        notes = [self.unchecked] if self.unchecked else []
        if self.unneeded:
            notes.append(f"no target needs {list_names(self.unneeded)}")
        if self.unread:
            inputs = "input" if len(self.unread) == 1 else "inputs"
            notes.append(f"no node reads the {inputs} {list_names(self.unread)}")
        if self.required:
            inputs = ", ".join(f"{declared.name} ({declared.type})" for declared in self.required)
            notes.append(f"a run needs values for {inputs}")
        return notes


def reports_as_data(reports: Sequence[ValidationReport]) -> dict[str, Any]:
    """Reports as plain data for JSON: problems, warnings, notes, and the files that are written.

    Args:
        reports: The reports of all files; each problem says of which file it is.
    """
    return {
        "problems": [
            {**problem.as_data(), "severity": "error"}
            for report in reports
            for problem in report.problems
        ],
        "warnings": [
            {**warning.as_data(), "severity": "warning"}
            for report in reports
            for warning in report.warnings
        ],
        "notes": [f"{report.file}: {note}" for report in reports for note in report.notes()],
        "writes": files_as_data([path for report in reports for path in report.files]),
    }


def validate_files(
    arguments: Sequence[str],
    packs: Sequence[Path],
    *,
    changes: Sequence[str] = (),
    out: Path | None = None,
    allow_outside: bool = False,
) -> list[ValidationReport]:
    """A report for each file.

    Args:
        arguments: Files, and `INPUT=VALUE` for their inputs; a file gets the inputs it declares.
        packs: Python files with more node types.
        changes: Texts of the form `NODE.FIELD=VALUE`; a file gets those of the nodes it has.
        out: The folder for relative output files, instead of the default.
        allow_outside: Whether the workflows may write files into any folder.

    Raises:
        ArgumentError: No argument is a file.
    """
    files, assignments = split_arguments(arguments)
    if not files:
        raise ArgumentError(Problem("FILE", f"only {' '.join(arguments)}", "a file to validate"))
    registry = registry_with_files(packs)
    out = output_folder(out)
    workflows = [_open(file, registry, out, allow_outside) for file in files]
    declared = {name for flow in workflows if isinstance(flow, Workflow) for name in flow.inputs}
    undeclared = [text for text in assignments if _input_name(text) not in declared]
    nodes = {name for flow in workflows if isinstance(flow, Workflow) for name in _nodes(flow)}
    nowhere = [text for text in changes if _node_name(text) not in nodes]
    reports = []
    for file, workflow in zip(files, workflows, strict=True):
        if isinstance(workflow, InvalidWorkflowError):
            reports.append(ValidationReport(file, workflow.problems))
            continue
        own = [text for text in assignments if _input_name(text) in workflow.inputs]
        changed = [text for text in changes if _node_name(text) in _nodes(workflow)]
        request = parse_request(workflow, [*undeclared, *own], [*nowhere, *changed])
        reports.append(_report(file, request))
        undeclared, nowhere = [], []  # reported with the first file only
    return reports


def _open(
    file: str, registry: Registry, out: Path | None, allow_outside: bool
) -> Workflow | InvalidWorkflowError:
    try:
        return open_workflow(file, registry, out=out, allow_outside=allow_outside)
    except InvalidWorkflowError as error:
        return error


def _input_name(assignment: str) -> str:
    return assignment.partition("=")[0]


def _node_name(change: str) -> str:
    return change.partition("=")[0].partition(".")[0]


def _nodes(workflow: Workflow) -> Iterable[str]:
    return workflow.template.specs


def _report(file: str, request: Request) -> ValidationReport:
    workflow = request.workflow
    missing = tuple(
        declared
        for name, declared in workflow.inputs.items()
        if declared.required and name not in (*request.inputs, *request.axes)
    )
    unneeded = unneeded_nodes(workflow.template, workflow.registry)
    with memoized_scope():
        problems, graph = request.check()
        warnings = () if graph is None else tuple(request.warnings())
    files = tuple(path for path, _, _ in graph.files_to_write) if graph is not None else ()
    unchecked = ""
    if request.variant_count > MAX_CHECKED:
        checked = request.sample().variant_count
        counts = f"{checked:,} of {request.variant_count:,} variants"
        unchecked = f"{counts} were checked; a run checks all"
    return ValidationReport(
        file,
        tuple(problems),
        unneeded=tuple(unneeded),
        required=missing,
        unread=unread_inputs(workflow.template),
        warnings=warnings,
        unchecked=unchecked,
        files=files,
    )
