"""What a command line asks for: a workflow opened, fields set, inputs read."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from pydantic import ByteSize, TypeAdapter, ValidationError

from sdgraph.errors import (
    InvalidValueError,
    InvalidWorkflowError,
    MediaError,
    Problem,
    SdgraphError,
    did_you_mean,
)
from sdgraph.graph import Graph, Registry, installed
from sdgraph.language import (
    Workflow,
    escape_braces,
    input_problems,
    load_workflow,
    parse_reference,
    shipped_workflows,
    workflow_from_yaml,
    yaml_document,
)
from sdgraph.models import check_name
from sdgraph.provenance import ProvenanceRecord, read_record
from sdgraph.sweep import Sweep, axis_syntax, build_sweep, make_variants
from sdgraph.values import DTYPES

PICTURES = (
    ".png",
    ".jpg",
    ".jpeg",
    ".webp",
    ".tif",
    ".tiff",
    ".bmp",
    ".gif",
    ".mp4",
    ".webm",
)
"""Suffixes of the files that may carry a workflow."""


class ArgumentError(SdgraphError):
    """Something on the command line is wrong."""


@dataclass(frozen=True)
class Request:
    """A workflow and the inputs given to it; `problems` are those of the command line itself."""

    workflow: Workflow
    inputs: Mapping[str, Any]
    problems: tuple[Problem, ...] = ()
    axes: Mapping[str, tuple[Any, ...]] = dataclasses.field(default_factory=dict)
    """The inputs with several values, for a sweep."""

    def sweep(self, only: Sequence[str] = (), *, side_by_side: bool = False) -> Sweep:
        """All variants that are asked for; raises InvalidWorkflowError with every problem found."""
        if self.problems:
            raise InvalidWorkflowError(self.every_problem())
        found = make_variants(self.inputs, self.axes, side_by_side=side_by_side)
        return build_sweep(self.workflow, found, only)

    def graph(self, only: Sequence[str] = (), *, side_by_side: bool = False) -> Graph:
        """The graph that is asked for; raises InvalidWorkflowError with every problem found."""
        if self.axes:
            return self.sweep(only, side_by_side=side_by_side).graph
        if self.problems:
            raise InvalidWorkflowError(self.every_problem())
        return self.workflow.graph(only=only, **self.inputs)

    def every_problem(self) -> list[Problem]:
        """The problems of the command line, then those of the file, or of all its variants."""
        if self.problems or not self.axes:
            first = {name: values[0] for name, values in self.axes.items()}
            return [*self.problems, *self.workflow.problems(**self.inputs, **first)]
        try:
            self.sweep()
        except InvalidWorkflowError as error:
            return list(error.problems)
        return []


def registry_with(files: Sequence[Path]) -> Registry:
    """The installed node types and those of some Python files; raises PackError."""
    registry = installed()
    for file in files:
        registry = registry.and_file(file)
    return registry


def is_picture(file: str) -> bool:
    """Whether a name is that of a picture or video, by its suffix."""
    return Path(file).suffix.lower() in PICTURES


def record_in(file: str) -> ProvenanceRecord:
    """The record in a saved picture or video; raises ArgumentError where there is none."""
    try:
        return read_record(Path(file))
    except MediaError as error:
        raise ArgumentError(error.problems) from error


def opened(file: str, registry: Registry, *, out: Path | None = None) -> Workflow:
    """The workflow in a file, of a shipped one's name, or inside a saved picture.

    Relative files that are written go below `out`; a shipped workflow's go below the current
    folder, for its own may be that of an installed package. A picture's workflow has no folder:
    what it writes goes, under the same name, to `out` or the current folder, and never over the
    place on somebody's disk that the record names.
    """
    if not is_picture(file):
        if out is None and file in shipped_workflows() and not Path(file).exists():
            out = Path.cwd()
        return load_workflow(file, registry=registry, out=out)
    folder = Path.cwd() if out is None else out
    text = record_in(file).workflow
    workflow = workflow_from_yaml(text, registry=registry, folder=folder, file=f"{file}/workflow")
    return _written_below(workflow, out)


def _written_below(workflow: Workflow, out: Path | None) -> Workflow:
    """A picture's workflow, with the files it writes by their names alone, not where they were."""
    moved, inputs = {}, dict(workflow.inputs)
    for name, spec in workflow.template.specs.items():
        cls = workflow.registry.get(spec.type)
        for field in cls.definition.targets if cls is not None else ():
            written = spec.fields.get(field)
            to = parse_reference(written)
            if to is not None and to.to_input and to.name in inputs:
                declared = inputs[to.name]
                if isinstance(declared.default, str):
                    inputs[to.name] = replace(declared, default=Path(declared.default).name)
            elif isinstance(written, str) and to is None:
                moved[f"{name}.{field}"] = Path(written).name
    template = replace(workflow.template, inputs=inputs, out=out)
    return replace(workflow, template=template).with_fields(moved)


def requested(workflow: Workflow, inputs: Sequence[str], changes: Sequence[str] = ()) -> Request:
    """The workflow with `input=value` and `NODE.FIELD=VALUE` texts applied.

    What is wrong with the values is kept as problems, so that it comes out with the file's.
    """
    problems: list[Problem] = []
    fields: dict[str, Any] = {}
    for change in changes:
        place, value = _split(change, "--set NODE.FIELD=VALUE")
        try:
            fields[place] = yaml_document.parse_document(value, f"--set {place}").data
        except InvalidWorkflowError as error:
            problems += error.problems
    if fields:
        # Paths are relative to what names them: the file, or here the current folder.
        rooted = {place: _from_here(workflow, place, value) for place, value in fields.items()}
        workflow = workflow.with_fields(rooted)
    given: dict[str, Any] = {}
    axes: dict[str, tuple[Any, ...]] = {}
    for assignment in inputs:
        name, text = _split(assignment, "input=value")
        if name not in workflow.inputs:
            problems += input_problems(workflow.inputs, {name: text})
            continue
        given.pop(name, None), axes.pop(name, None)  # of an input given twice the last counts
        try:
            value = axis_syntax.parse_input(workflow.inputs[name], text)
        except InvalidWorkflowError as error:
            problems += error.problems
            continue
        if isinstance(value, axis_syntax.AxisValues):
            axes[name] = value.values
        else:
            given[name] = value
    return Request(workflow, given, tuple(problems), axes)


def files_and_inputs(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The files, and the `input=value` among them; what exists as a file is a file."""
    inputs = [
        each
        for each in arguments
        if each.partition("=")[0].isidentifier() and "=" in each and not Path(each).exists()
    ]
    return [each for each in arguments if each not in inputs], inputs


def check_device(device: str | None, dtype: str | None) -> None:
    """Raises ArgumentError for a name no device or dtype has; torch is not asked."""
    if device is not None:
        try:
            check_name(device)
        except InvalidValueError as error:
            raise ArgumentError(error.problems) from error
    if dtype is not None and dtype not in DTYPES:
        fix = did_you_mean(dtype, DTYPES)
        raise ArgumentError(Problem("--dtype", dtype, f"one of {', '.join(DTYPES)}", fix))


def budget(option: str, text: str | None) -> int | None:
    """The bytes that "8GB", "6.5GiB" or "500M" say; raises ArgumentError for what says none."""
    if text is None:
        return None
    try:
        found = TypeAdapter(ByteSize).validate_python(text.strip())
    except ValidationError:
        found = ByteSize(-1)
    if found < 0:
        raise ArgumentError(Problem(option, text, "bytes, such as 8GB, 6.5GiB or 500MB"))
    return int(found)


def node_type(registry: Registry, name: str) -> type[Any]:
    """The node class of a name; raises ArgumentError with the nearest."""
    if name not in registry:
        problem = Problem("type", name, "a known node type", registry.suggest(name))
        raise ArgumentError(problem)
    return registry[name]


def folder_named(path: Path | None) -> Path | None:
    """A folder to write to, made whole; raises ArgumentError where a file is in its place."""
    if path is not None and path.exists() and not path.is_dir():
        raise ArgumentError(Problem("--out", f"{path}, a file", "a folder"))
    return path.expanduser().resolve() if path is not None else None


def _split(text: str, wanted: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals or not name:
        raise ArgumentError(Problem("argument", text, wanted))
    return name.strip(), value


def _from_here(workflow: Workflow, place: str, value: Any) -> Any:
    """A relative path given for a field of paths, made whole from the current folder."""
    name, _, field = place.partition(".")
    spec = workflow.template.specs.get(name)
    cls = workflow.registry.get(spec.type) if spec is not None else None
    if cls is None or not isinstance(value, str) or parse_reference(value) or not value:
        return value
    is_target = field in cls.definition.targets
    if is_target and workflow.template.out is None:
        return str(Path(escape_braces(str(Path.cwd()))) / Path(value).expanduser())
    if field in cls.definition.sources:
        return str(Path.cwd() / Path(value).expanduser())
    return value
