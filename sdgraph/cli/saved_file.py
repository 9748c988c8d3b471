"""The record in a saved picture or video, and its workflow, as it can run here."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from sdgraph.errors import MediaError
from sdgraph.graph import Registry
from sdgraph.language import Workflow, parse_reference, workflow_from_yaml
from sdgraph.provenance import ProvenanceRecord, find_source, read_record, record_folder

from .argument_error import ArgumentError


def read_record_of(file: str) -> ProvenanceRecord:
    """The provenance record in a saved picture or video; raises ArgumentError if it has none."""
    try:
        return read_record(Path(file))
    except MediaError as error:
        raise ArgumentError(error.problems) from error


def workflow_of_saved_file(file: str, registry: Registry, *, allow_outside: bool) -> Workflow:
    """The workflow in a saved picture or video.

    Of the paths of files to write only the names are kept. Files to read are those of the shipped
    workflows, or in the folder that `record_folder` returns.

    Args:
        file: The path of the picture or video.
        registry: The known node types.
        allow_outside: Whether it may write files into any folder.

    Raises:
        ArgumentError: The file has no record.
        InvalidWorkflowError: The workflow has problems.
    """
    record = read_record_of(file)
    folder = record_folder(Path(file), record)
    workflow = workflow_from_yaml(
        record.workflow,
        registry=registry,
        folder=folder,
        file=f"{file}/workflow",
        allow_outside=allow_outside,
    )
    return _with_found_files(workflow, folder)


def _with_found_files(workflow: Workflow, folder: Path) -> Workflow:
    """A picture's workflow, with the files to read where they are here, and bare names to write."""
    fields, inputs = {}, dict(workflow.inputs)

    def source(path: Any) -> Any:
        return [*map(source, path)] if isinstance(path, list) else _found_source(path, folder)

    def target(path: Any) -> Any:
        is_path = isinstance(path, str) and not parse_reference(path)
        return Path(path).name or path if is_path else path

    for name, declared in workflow.inputs.items():
        if declared.is_path(declared.default):
            inputs[name] = replace(declared, default=source(declared.default))
    for name, spec in workflow.template.specs.items():
        cls = workflow.registry.get(spec.type)
        definition = cls.definition if cls is not None else None
        for field in definition.targets if definition is not None else ():
            reference = parse_reference(spec.fields.get(field))
            if reference is not None and reference.to_input and reference.name in inputs:
                declared = workflow.inputs[reference.name]
                inputs[reference.name] = replace(declared, default=target(declared.default))
            elif field in spec.fields:
                fields[f"{name}.{field}"] = target(spec.fields[field])
        for field in (*definition.sources, *definition.folders) if definition is not None else ():
            if field in spec.fields:
                fields[f"{name}.{field}"] = source(spec.fields[field])
    template = replace(workflow.template, inputs=inputs)
    return replace(workflow, template=template).with_fields(fields)


def _found_source(path: Any, folder: Path) -> Any:
    """The path of a shipped file that a record names by its path in sdgraph; others as they are."""
    if not isinstance(path, str) or parse_reference(path):
        return path
    found = find_source(path, folder)
    return path if found is None or found == folder / path else str(found)
