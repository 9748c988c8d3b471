"""The commands that only print: `validate`, `show`, `diff`, `nodes`, `schema`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any

import typer

from .app import command
from .exit_codes import WRONG
from .options import AllowOutside, Debug, FieldValues, File, Json, Out, Packs, Pickles
from .safe_output import write_line


@command
def validate(
    files: Annotated[
        list[str],
        typer.Argument(help="workflow files, and INPUT=VALUE for their inputs", metavar="FILE"),
    ],
    changes: FieldValues = None,
    packs: Packs = None,
    as_json: Annotated[bool, typer.Option("--json", help="print all of it as JSON")] = False,
    out: Out = None,
    allow_outside: AllowOutside = False,
    allow_pickle: Pickles = False,
    debug: Debug = False,
) -> None:
    """Print everything that is wrong with workflow files.

    No model is loaded.
    """
    from sdgraph.formatting import format_count

    from .validation_report import reports_as_data, validate_files

    reports = validate_files(
        files, packs or (), changes=changes or (), out=out, allow_outside=allow_outside
    )
    count = sum(problem.count for report in reports for problem in report.problems)
    if as_json:
        print_json(reports_as_data(reports))
    else:
        for report in reports:
            write_line(report.as_text())
        write_line(f"{format_count(count, 'problem')} in {format_count(len(reports), 'file')}")
    if count:
        raise typer.Exit(WRONG)


@command
def show(
    file: File,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="as a Mermaid flowchart")] = False,
    yaml: Annotated[bool, typer.Option("--yaml", help="only the workflow as YAML")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="a picture's record as JSON")] = False,
    packs: Packs = None,
    debug: Debug = False,
) -> None:
    """Draw a workflow, or print how a saved picture was made."""
    from sdgraph.errors import Problem
    from sdgraph.provenance import format_record, record_as_data, record_folder
    from sdgraph.values import is_media_file

    from . import diagram
    from .request import (
        ArgumentError,
        open_workflow,
        registry_with_files,
    )
    from .saved_file import read_record_of

    registry = registry_with_files(packs or ())
    if is_media_file(file) and not mermaid:
        record = read_record_of(file)
        if as_json:
            print_json(record_as_data(record, record_folder(Path(file), record)))
        else:
            write_line(record.workflow.rstrip() if yaml else format_record(file, record))
        return
    if as_json:
        raise ArgumentError(Problem("--json", file, "a saved picture, whose record it prints"))
    workflow = open_workflow(file, registry)
    if yaml:
        write_line(workflow.to_yaml().rstrip())
    else:
        draw = diagram.as_mermaid if mermaid else diagram.as_text
        write_line(draw(workflow.template, registry))


@command
def diff(
    first: Annotated[Path, typer.Argument(help="a saved picture or video", metavar="FILE")],
    second: Annotated[Path, typer.Argument(help="another one", metavar="OTHER")],
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Print what differs in how two pictures were made, and in their pixels.

    Pictures without a record are compared by their pixels alone.
    """
    from sdgraph.errors import MediaError
    from sdgraph.provenance import compare_files

    from .request import ArgumentError
    from .terminal import print_note, print_table, print_text

    try:
        found = compare_files(first, second)
    except MediaError as error:
        raise ArgumentError(error.problems) from error
    for notice in found.notices:
        print_note(f"not compared: {notice.as_line()}")
    if as_json:
        print_json(found.as_data())
        return
    if found.made:
        headers = ("how it was made", str(first), str(second))
        print_table(headers, [difference.as_row() for difference in found.made])
    elif found.made is not None:
        print_text("made in the same way, as far as the records say")
    if found.same_bytes:
        print_text("the files are equal, byte for byte")
    elif found.pixels is not None:
        print_text(f"pixels: {found.pixels}")
    else:
        print_text("pixels: of videos not compared; the files differ")


@command
def nodes(
    name: Annotated[str | None, typer.Argument(help="one node type", metavar="TYPE")] = None,
    packs: Packs = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the node types, or print the documentation of one."""
    from .node_docs import document_node, group_by_category, node_summary
    from .request import find_node_type, registry_with_files
    from .terminal import print_error, print_table, print_text

    registry = registry_with_files(packs or ())
    for pack, reason in registry.broken.items():
        print_error(f"the node pack {pack} could not be loaded: {reason}")
    if name is not None:
        doc = document_node(find_node_type(registry, name))
        if as_json:
            print_json(doc.as_data())
        else:
            print_text(doc.as_text())
        return
    groups = group_by_category(registry)
    if as_json:
        found = [item for types in groups.values() for item in types]
        print_json([document_node(cls, name).as_data() for name, cls in found])
        return
    columns = {
        category: [(name, cls.definition.output.__name__, node_summary(cls)) for name, cls in types]
        for category, types in groups.items()
    }
    rows = [row for category in columns.values() for row in category]
    width = max((len(name) for name, _, _ in rows), default=0)
    kinds = max((len(kind) for _, kind, _ in rows), default=0)
    for category, types in columns.items():
        print_text(category, "bold")
        shown = [(name.ljust(width), kind.ljust(kinds), text) for name, kind, text in types]
        print_table((), shown, indent=2)


@command
def schema(packs: Packs = None, debug: Debug = False) -> None:
    """Print the JSON Schema of workflow files.

    An editor uses it to complete and check them.
    """
    from sdgraph.language import workflow_schema

    from .request import registry_with_files

    print_json(workflow_schema(registry_with_files(packs or ())))


def print_json(data: Any) -> None:
    """Writes plain data to standard output as JSON."""
    write_line(json.dumps(data, indent=2, ensure_ascii=False))
