"""The command `runs`: lists the recorded runs, and `runs show` draws one over time."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from sdgraph.formatting import shorten_path

from .app import app, handle_errors
from .help_examples import GroupExampleInHelp
from .options import Debug, Json
from .safe_output import write_line
from .usage_advice import CommandWithAdvice

runs_app = typer.Typer(
    cls=GroupExampleInHelp,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    help="List the recorded runs; `runs show` draws one over time.",
)
app.add_typer(runs_app, name="runs")


@runs_app.callback()
@handle_errors
def runs(context: typer.Context, as_json: Json = False, debug: Debug = False) -> None:
    """List the recorded runs, the newest first."""
    if context.invoked_subcommand is not None:
        return
    from sdgraph.history import list_runs, runs_folder, summary_row

    from .terminal import print_table, print_text

    past_runs = list_runs()
    if as_json:
        write_line(json.dumps([run.as_data() for run in past_runs], indent=2, ensure_ascii=False))
    elif past_runs:
        headers = ("id", "when", "workflow", "status", "took", "nodes")
        print_table(headers, [summary_row(run) for run in past_runs])
    else:
        folder = runs_folder()
        print_text(f"no runs are recorded in {folder or 'any folder: SDGRAPH_RUNS is empty'}")


@runs_app.command(cls=CommandWithAdvice)
@handle_errors
def show(
    run: Annotated[
        str, typer.Argument(help="an id, the beginning of one, or `last`", metavar="ID")
    ] = "last",
    svg: Annotated[
        Path | None, typer.Option(help="write the timeline as SVG", metavar="FILE")
    ] = None,
    html: Annotated[
        Path | None, typer.Option(help="write the timeline as an HTML page", metavar="FILE")
    ] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Draw when each node of a run ran, and what was loaded."""
    from sdgraph.history import find_run, timeline
    from sdgraph.provenance import open_output

    from .terminal import print_note

    past_run = find_run(run)
    for path, draw in ((svg, timeline.as_svg), (html, timeline.as_html)):
        if path is not None:
            with open_output(path) as output:
                text = draw(past_run)
                output.temporary.write_text(text, "utf-8", "backslashreplace")
            print_note(f"written: {shorten_path(output.path)}")
    if as_json:
        data = {**past_run.as_data(), **past_run.summarize().as_data(), **past_run.summary}
        write_line(json.dumps(data, indent=2, ensure_ascii=False))
    elif svg is None and html is None:
        write_line(timeline.as_text(past_run))
