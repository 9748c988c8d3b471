"""The command `workflows`: what ships, what it takes, and whether its checkpoints are here."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator
from typing import TYPE_CHECKING, Annotated

import typer

from .app import command
from .options import Debug, Json

if TYPE_CHECKING:
    from .workflow_list import ListedWorkflow, State

_TITLES = {
    "": "small: they run offline",
    "families": "families: an example for each family, with random weights",
    "parts": "parts: used as nodes of other workflows",
    "reference": "reference: settings and prompts for real checkpoints",
    "training": "training: how the small checkpoints were made",
}
"""What the workflows in each folder are for."""

_WIDTH = 80


@command
def workflows(
    name: Annotated[str | None, typer.Argument(help="one of them", metavar="NAME")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """List the workflows that ship, or print the inputs of one.

    For each it says what it does, its inputs, and whether its checkpoints are on this machine.
    """
    from .safe_output import write_line
    from .workflow_list import find_listed, list_workflows

    listed = list_workflows() if name is None else [find_listed(name)]
    if as_json:
        import json

        data = [workflow.as_data() for workflow in listed]
        shown = data if name is None else data[0]
        write_line(json.dumps(shown, indent=2, ensure_ascii=False))
    else:
        lines = _overview(listed) if name is None else _details(listed[0])
        write_line("\n".join(lines))


def _overview(listed: list[ListedWorkflow]) -> Iterator[str]:
    """The lines about all workflows, below a title for each folder."""
    last = None
    for workflow in listed:
        folder = workflow.name.rpartition("/")[0]
        if folder != last:
            yield from ([] if last is None else [""]) + [_TITLES.get(folder, folder)]
            last = folder
        yield f"  {workflow.name}"
        yield from _indented(workflow.description or "no description")
        yield from _indented(_inputs(workflow))
        for line in _checkpoints(workflow.states()):
            yield from _indented(line)
    yield ""
    yield "to run one: sdgraph run NAME; about one: sdgraph workflows NAME"
    yield "to change one: sdgraph new MINE.yaml NAME"


def _inputs(workflow: ListedWorkflow) -> str:
    names = ", ".join(declared.name for declared in workflow.inputs)
    return f"takes {names}" if names else ""


def _checkpoints(states: dict[str, State]) -> list[str]:
    """The checkpoints in words, a line for those of each state."""
    groups: dict[State, list[str]] = {}
    for source, state in states.items():
        groups.setdefault(state, []).append(source)
    return [f"{state}: {', '.join(sources)}" for state, sources in groups.items()]


def _indented(text: str) -> list[str]:
    indent = " " * 6
    return textwrap.wrap(
        text,
        _WIDTH,
        initial_indent=indent,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )


def _details(workflow: ListedWorkflow) -> Iterator[str]:
    """The lines about one workflow."""
    from sdgraph.formatting import align_columns, shorten_path

    yield f"{workflow.name}: {workflow.description}"
    yield f"  {shorten_path(workflow.path)}"
    rows = [(f"  {declared.name}", declared.as_text()) for declared in workflow.inputs]
    if rows:
        yield "\ninputs"
        yield from align_columns(rows)
    states = workflow.states()
    if states:
        yield "\ncheckpoints"
        yield from align_columns([(f"  {source}", state) for source, state in states.items()])
    if "not here" in states.values():
        yield f"\nwhat would be downloaded: sdgraph plan {workflow.name}"
    yield f"\nto run it: sdgraph run {workflow.name}{_example(workflow)}"
    file = workflow.name.rpartition("/")[2]
    yield f"to change it: sdgraph new my_{file}.yaml {workflow.name}"


def _example(workflow: ListedWorkflow) -> str:
    """An input with a value for the command that runs a workflow."""
    required = [declared.name for declared in workflow.inputs if declared.default is None]
    if required:
        return "".join(f" {name}=…" for name in required)
    return " seed=7" if any(declared.name == "seed" for declared in workflow.inputs) else ""
