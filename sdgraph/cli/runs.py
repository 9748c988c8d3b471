"""The verb about runs that were: `runs` lists them, `runs show` draws one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from .app import Debug, Json, app
from .exit_codes import ending

runs_app = typer.Typer(
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    invoke_without_command=True,
    help="List the runs that were recorded; `runs show` draws one.",
)
app.add_typer(runs_app, name="runs")


@runs_app.callback()
def runs(context: typer.Context, as_json: Json = False, debug: Debug = False) -> None:
    """List the runs that were recorded, the newest first."""
    if context.invoked_subcommand is not None:
        return
    with ending(debug=debug):
        from sdgraph.history import list_runs, runs_folder, summary_row

        from .terminal import say, say_table

        found = list_runs()
        if as_json:
            typer.echo(json.dumps([run.as_data() for run in found], indent=2, ensure_ascii=False))
        elif found:
            headers = ("id", "when", "workflow", "status", "took", "nodes")
            say_table(headers, [summary_row(run) for run in found])
        else:
            say(f"no runs are recorded in {runs_folder() or 'any folder: SDGRAPH_RUNS is empty'}")


@runs_app.command()
def show(
    run: Annotated[
        str, typer.Argument(help="its id, the beginning of one, or `last`", metavar="ID")
    ] = "last",
    svg: Annotated[
        Path | None, typer.Option(help="write the timeline as SVG", metavar="FILE")
    ] = None,
    html: Annotated[Path | None, typer.Option(help="write a page", metavar="FILE")] = None,
    as_json: Json = False,
    debug: Debug = False,
) -> None:
    """Draw when each node of a run ran, and what was loaded."""
    with ending(debug=debug):
        from sdgraph.files import atomic_write
        from sdgraph.history import find_run, timeline

        found = find_run(run)
        for path, draw in ((svg, timeline.as_svg), (html, timeline.as_html)):
            if path is not None:
                with atomic_write(path) as beside:
                    beside.write_text(draw(found), "utf-8", "backslashreplace")
        if as_json:
            data = {**found.as_data(), **found.summarize().as_data(), **found.summary}
            typer.echo(json.dumps(data, indent=2, ensure_ascii=False))
        elif svg is None and html is None:
            typer.echo(timeline.as_text(found))
