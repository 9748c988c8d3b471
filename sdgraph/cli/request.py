"""Reads the workflow, the changed fields and the inputs that a command line names."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import ByteSize, TypeAdapter, ValidationError

from sdgraph.errors import (
    InvalidValueError,
    InvalidWorkflowError,
    Problem,
    did_you_mean,
)
from sdgraph.files import describe_path, expand_home, is_folder, is_there, resolve_path
from sdgraph.graph import Graph, Registry, installed_registry
from sdgraph.language import (
    Workflow,
    escape_braces,
    input_problems,
    load_workflow,
    parse_document,
    parse_reference,
    unread_inputs,
    with_absolute_source,
)
from sdgraph.models import check_name
from sdgraph.suggestions import our_name
from sdgraph.values import DTYPES, is_media_file

from .argument_error import ArgumentError as ArgumentError

if TYPE_CHECKING:
    from sdgraph.sweep import Sweep


MAX_CHECKED = 1000
"""How many variants of a sweep `validate` checks."""


@dataclass(frozen=True)
class Request:
    """A workflow with the inputs from the command line."""

    workflow: Workflow
    inputs: Mapping[str, Any]
    problems: tuple[Problem, ...] = ()
    """The problems of the command line itself."""
    axes: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    """The inputs with several values, for a sweep."""
    notices: tuple[Problem, ...] = ()
    """Warnings about the command line, such as files in a folder that were left out."""

    def sweep(self, only: Sequence[str] = (), *, side_by_side: bool = False) -> Sweep:
        """All variants of the workflow; raises InvalidWorkflowError with every problem."""
        from sdgraph.sweep import build_sweep, make_variants

        if self.problems:
            raise InvalidWorkflowError(self.every_problem())
        combinations = make_variants(self.inputs, self.axes, side_by_side=side_by_side)
        sweep = build_sweep(self.workflow, combinations, only)
        if not self.notices:
            return sweep
        return replace(sweep, graph=replace(sweep.graph, notices=self.notices))

    def graph(self, only: Sequence[str] = (), *, side_by_side: bool = False) -> Graph:
        """The graph of the workflow or of all variants; raises InvalidWorkflowError."""
        if self.axes:
            return self.sweep(only, side_by_side=side_by_side).graph
        if self.problems:
            raise InvalidWorkflowError(self.every_problem())
        graph = self.workflow.graph(only=only, **self.inputs)
        return replace(graph, notices=self.notices) if self.notices else graph

    def every_problem(self) -> list[Problem]:
        """The problems of the command line and of the file; for a sweep, those of all variants."""
        return self.check()[0]

    def check(self) -> tuple[list[Problem], Graph | None]:
        """Every problem as `every_problem` returns them; the graph, if it can be run."""
        if self.problems or not self.axes:
            inputs = self._first_inputs()
            graph, found = self.workflow.check(**inputs)
            problems = [*self.problems, *found]
            return problems, None if problems or self.workflow.missing_inputs(inputs) else graph
        try:
            return [], self.sample().sweep().graph
        except InvalidWorkflowError as error:
            return list(error.problems), None

    def sample(self) -> Request:
        """The same with so few values of each input that at most MAX_CHECKED variants remain.

        The first and the last value of each input are among them.
        """
        axes = dict(self.axes)
        while math.prod(map(len, axes.values())) > MAX_CHECKED:
            longest = max(axes, key=lambda name: len(axes[name]))
            values = axes[longest]
            others = math.prod(map(len, axes.values())) // len(values)
            count = max(2, len(values) // 2 if others > 1 else MAX_CHECKED)
            last = len(values) - 1
            axes[longest] = tuple(values[last * n // (count - 1)] for n in range(count))
        return replace(self, axes=axes)

    @property
    def variant_count(self) -> int:
        """The number of variants: 1 without an input that has several values."""
        return math.prod(map(len, self.axes.values()))

    def warnings(self) -> list[Problem]:
        """The warnings of the graph, or of the first variant's; there must be no problems."""
        from sdgraph.graph import likely_device_problems

        graph = self.workflow.graph(**self._first_inputs())
        others = likely_device_problems(graph)
        return [*self.notices, *graph.warnings(), *graph.checkpoint_warnings(), *others]

    def _first_inputs(self) -> dict[str, Any]:
        return {**self.inputs, **{name: values[0] for name, values in self.axes.items()}}


def registry_with_files(files: Sequence[Path]) -> Registry:
    """The installed node types and those in Python files; raises PackError."""
    registry = installed_registry()
    for file in files:
        registry = registry.with_file(file)
    return registry


def open_workflow(
    file: str, registry: Registry, *, out: Path | None = None, allow_outside: bool = False
) -> Workflow:
    """The workflow in a file, on standard input, of a shipped name, or in a saved picture.

    A shipped workflow writes into the current folder, because its own folder is in an installed
    package. So does the workflow of a picture: its paths may be those of another machine, so only
    the file names are kept.

    Args:
        file: The path or name; "-" is standard input.
        registry: The known node types.
        out: The folder for relative output files, instead of the default.
        allow_outside: Whether it may write files into any folder.
    """
    if file == "-":
        from .standard_input import workflow_of_input

        return workflow_of_input(registry, out=out, allow_outside=allow_outside)
    if not is_media_file(file):
        return load_workflow(file, registry=registry, out=out, allow_outside=allow_outside)
    from .saved_file import workflow_of_saved_file

    workflow = workflow_of_saved_file(file, registry, allow_outside=allow_outside)
    template = replace(workflow.template, out=Path.cwd() if out is None else out)
    return replace(workflow, template=template)


def parse_request(
    workflow: Workflow, inputs: Sequence[str], changes: Sequence[str] = ()
) -> Request:
    """The request of a command line.

    Wrong values become problems of the request, so that they are reported with those of the file.

    Args:
        workflow: The workflow.
        inputs: Texts of the form `input=value`.
        changes: Texts of the form `NODE.FIELD=VALUE`.

    Raises:
        ArgumentError: A text does not have its form.
    """
    workflow, problems, repeated = _change_fields(workflow, changes)
    single: dict[str, Any] = {}
    axes: dict[str, tuple[Any, ...]] = {}
    notices: dict[str, Problem] = {}
    for assignment in inputs:
        from sdgraph.sweep import (  # imported only if there are inputs
            AxisValues,
            left_out_notice,
            parse_input,
        )

        name, text = _split(assignment, "input=value")
        if name not in workflow.inputs:
            problems.append(_unknown_input(workflow, name, text))
            continue
        if name in single or name in axes:
            fix = f"for a sweep write {name}=[…, …]"
            repeated[f"inputs.{name}"] = _repeated_notice(f"inputs.{name}", fix)
        for given in (single, axes, notices):  # the last value counts
            given.pop(name, None)
        try:
            value = parse_input(workflow.inputs[name], text)
        except InvalidWorkflowError as error:
            problems += error.problems
            continue
        if isinstance(value, AxisValues):
            axes[name] = value.values
            if value.left_out:
                notices[name] = left_out_notice(workflow.inputs[name], text, value.left_out)
        else:
            single[name] = value
    names = {*single, *axes}
    unread = [name for name in unread_inputs(workflow.template) if name in names] if names else []
    warnings = (*repeated.values(), *notices.values(), *map(_unread_notice, unread))
    return Request(workflow, single, tuple(problems), axes, warnings)


def _repeated_notice(name: str, fix: str) -> Problem:
    """The warning about an input or a field that is given more than once."""
    return Problem(name, "given more than once: the last value counts", fix=fix)


def _unread_notice(name: str) -> Problem:
    """The warning about a value for an input that no node refers to."""
    fix = f"leave it out, or write $inputs.{name} into a field of a node"
    return Problem(f"inputs.{name}", "an input that no node reads, so it has no effect", fix=fix)


def _change_fields(
    workflow: Workflow, changes: Sequence[str]
) -> tuple[Workflow, list[Problem], dict[str, Problem]]:
    """The workflow with the fields of `--set`, the problems of their values, and the warnings.

    The warnings are those about fields that are given more than once, by the field.
    """
    problems: list[Problem] = []
    warnings: dict[str, Problem] = {}
    fields: dict[str, Any] = {}
    for change in changes:
        field, value = _split(change, "--set NODE.FIELD=VALUE")
        try:
            data = parse_document(value, f"--set {field}").data
        except InvalidWorkflowError as error:
            problems += error.problems
            continue
        # Paths in a file are relative to the file, those on the command line to the current folder.
        if field in fields:
            warnings[field] = _repeated_notice(field, "give it once")
        fields[field] = _absolute(workflow, field, data)
    return workflow.with_fields(fields) if fields else workflow, problems, warnings


def _unknown_input(workflow: Workflow, name: str, text: str) -> Problem:
    """The problem of an input that the workflow does not declare; it may be a field of a node."""
    (problem,) = input_problems(workflow.inputs, {name: text})
    if problem.fix:
        return problem
    for node, spec in workflow.template.specs.items():
        cls = workflow.registry.get(spec.type)
        names = cls.model_fields if cls is not None else ()
        field = name if name in names else our_name(name, names)
        if field is not None:
            return replace(problem, fix=f"to set a field of a node: --set {node}.{field}={text}")
    return problem


def split_arguments(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The files and the `input=value` texts among arguments; an existing path is a file."""
    inputs = [
        text
        for text in arguments
        if text.partition("=")[0].isidentifier() and "=" in text and not is_there(text)
    ]
    return [text for text in arguments if text not in inputs], inputs


def check_device(device: str | None, dtype: str | None) -> None:
    """Raises ArgumentError for an unknown device or dtype; does not import torch."""
    if device is not None:
        try:
            check_name(device)
        except InvalidValueError as error:
            raise ArgumentError(error.problems) from error
    if dtype is not None and dtype not in DTYPES:
        fix = did_you_mean(dtype, DTYPES)
        raise ArgumentError(Problem("--dtype", dtype, f"one of {', '.join(DTYPES)}", fix))


_LONGEST_SIZE = 100
"""The most characters of a size: Python reads no number of more than 4,300 digits."""


def parse_bytes(option: str, text: str | None) -> int | None:
    """The number of bytes in a text such as "8GB" or "6.5GiB"; raises ArgumentError.

    Args:
        option: The name of the option, for the error.
        text: The text, or None if the option was not given.
    """
    if text is None:
        return None
    wanted = "bytes, such as 8GB, 6.5GiB or 500MB"
    if len(text) > _LONGEST_SIZE:
        raise ArgumentError(Problem(option, f"{len(text)} characters", wanted))
    if text.strip().isdecimal() and 0 < int(text) < 1_000_000:
        found, fix = f"{text.strip()}, without a unit", f"write {text.strip()}GB"
        raise ArgumentError(Problem(option, found, "a size with its unit, such as 8GB", fix))
    try:
        size = TypeAdapter(ByteSize).validate_python(text.strip())
    except ValidationError:
        size = ByteSize(-1)
    if size < 0:
        raise ArgumentError(Problem(option, text, wanted))
    return int(size)


def find_node_type(registry: Registry, name: str) -> type[Any]:
    """The node class of a name; for an unknown name raises ArgumentError with a similar one."""
    if name not in registry:
        raise ArgumentError(registry.unknown(name))
    return registry[name]


def output_folder(path: Path | None) -> Path | None:
    """The absolute path of a folder for output; raises ArgumentError if it is a file."""
    if path is None:
        return None
    path = expand_home(path)
    if not is_folder(path) and (is_there(path) or not describe_path(path).startswith("no such")):
        found = describe_path(path, "folder")
        raise ArgumentError(Problem("--out", f"{path}: {found}", "a folder"))
    return resolve_path(path)


def _split(text: str, wanted: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        name, colon, value = text.partition(":")
        fix = f"write {name}={value if colon else 'VALUE'}" if name.isidentifier() else ""
        raise ArgumentError(Problem("argument", text, wanted, fix))
    return name.strip(), value


def _absolute(workflow: Workflow, qualified: str, value: Any) -> Any:
    """The value for `NODE.FIELD`; paths become absolute, relative to the current folder."""
    name, _, field = qualified.partition(".")
    spec = workflow.template.specs.get(name)
    cls = workflow.registry.get(spec.type) if spec is not None else None
    if isinstance(value, list):
        return [_absolute(workflow, qualified, item) for item in value]
    if cls is not None and field in cls.definition.weights:
        return with_absolute_source(value, Path.cwd(), field)
    is_workflow = spec is not None and spec.type == "Workflow" and field == "path"
    if not isinstance(value, str) or parse_reference(value) or not value:
        return value
    if is_workflow:
        return str(Path.cwd() / expand_home(value))
    if cls is None:
        return value
    is_target = field in cls.definition.targets
    if is_target and workflow.template.out is None:
        return str(Path(escape_braces(str(Path.cwd()))) / expand_home(value))
    if field in (*cls.definition.sources, *cls.definition.folders):
        return str(Path.cwd() / expand_home(value))
    return value
