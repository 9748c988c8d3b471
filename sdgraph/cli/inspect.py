"""The verbs that tell and change nothing: `validate`, `show`, `nodes`, `schema`, `models`."""

from __future__ import annotations

import json
from typing import Annotated, Any

import typer

from .app import Debug, File, Json, Packs, Pickles, verb
from .exit_codes import WRONG


@verb
def validate(
    files: Annotated[
        list[str],
        typer.Argument(help="workflow files, and INPUT=VALUE for their inputs", metavar="FILE"),
    ],
    packs: Packs = None,
    as_json: Annotated[bool, typer.Option("--json", help="print problems as JSON")] = False,
    allow_pickle: Pickles = False,
    debug: Debug = False,
) -> None:
    """Say all that is wrong with workflow files.

    Nothing is loaded.
    """
    from sdgraph.formatting import format_count

    from .report import reports
    from .source_excerpt import problem_data

    found = reports(files, packs or ())
    count = sum(len(each.problems) for each in found)
    if as_json:
        _print_json([problem_data(problem) for each in found for problem in each.problems])
    else:
        for each in found:
            typer.echo(each.as_text())
        typer.echo(f"{format_count(count, 'problem')} in {format_count(len(found), 'file')}")
    if count:
        raise typer.Exit(WRONG)


@verb
def show(
    file: File,
    mermaid: Annotated[bool, typer.Option("--mermaid", help="as a Mermaid flowchart")] = False,
    yaml: Annotated[bool, typer.Option("--yaml", help="only the workflow as YAML")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="a picture's record as JSON")] = False,
    packs: Packs = None,
    debug: Debug = False,
) -> None:
    """Draw a workflow; say how a picture was made."""
    from sdgraph.errors import Problem
    from sdgraph.provenance import format_record, record_as_data

    from . import diagram
    from .request import ArgumentError, is_picture, opened, record_in, registry_with

    registry = registry_with(packs or ())
    if is_picture(file) and not mermaid:
        record = record_in(file)
        if as_json:
            _print_json(record_as_data(record))
        else:
            typer.echo(record.workflow.rstrip() if yaml else format_record(file, record))
        return
    if as_json:
        raise ArgumentError(Problem("--json", file, "a saved picture, whose record it prints"))
    workflow = opened(file, registry)
    if yaml:
        typer.echo(workflow.to_yaml().rstrip())
    else:
        draw = diagram.mermaid if mermaid else diagram.as_text
        typer.echo(draw(workflow.template, registry))


@verb
def nodes(
    name: Annotated[str | None, typer.Argument(help="one node type", metavar="TYPE")] = None,
    packs: Packs = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the node types, or document one of them."""
    from .node_docs import by_category, node_doc
    from .request import node_type, registry_with
    from .terminal import complain, say, say_table

    registry = registry_with(packs or ())
    for pack, why in registry.broken.items():
        complain(f"the node pack {pack} could not be loaded: {why}")
    if name is not None:
        doc = node_doc(node_type(registry, name))
        if as_json:
            _print_json(doc.as_data())
        else:
            say(doc.as_text())
        return
    groups = {
        category: [node_doc(cls) for cls in classes]
        for category, classes in by_category(registry).items()
    }
    if as_json:
        _print_json([doc.as_data() for docs in groups.values() for doc in docs])
        return
    width = max((len(doc.name) for docs in groups.values() for doc in docs), default=0)
    kinds = max((len(doc.output) for docs in groups.values() for doc in docs), default=0)
    for category, docs in groups.items():
        rows = [(doc.name.ljust(width), doc.output.ljust(kinds), doc.summary) for doc in docs]
        say(category, "bold")
        say_table((), rows, indent=2)


@verb
def schema(packs: Packs = None, debug: Debug = False) -> None:
    """Print the JSON Schema of workflow files.

    By it editors complete and check them.
    """
    from sdgraph.language import workflow_schema

    from .request import registry_with

    _print_json(workflow_schema(registry_with(packs or ())))


@verb
def models(as_json: Json = False, debug: Debug = False) -> None:
    """List the checkpoints on this machine, and what is loaded.

    Those that ship with sdgraph, and those fetched from the hub; then what running processes
    hold in memory, and why.
    """
    from .report import hub_cache, in_memory, shipped_family
    from .terminal import say, say_table

    sections = [shipped_family(), hub_cache(), in_memory()]
    if as_json:
        _print_json({each.key: each.data for each in sections})
        return
    for each in sections:
        if each.title:
            say(each.title, "bold")
        if each.rows:
            say_table(each.headers, each.rows, indent=2)


def _print_json(data: Any) -> None:
    typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
