"""Sweeps on the command line: the options, and the run of all variants."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from .run_options import RunOptions, run_graph

if TYPE_CHECKING:
    from sdgraph.execution import Session
    from sdgraph.sweep import Sweep, SweepConfirmation, TableFile

    from .request import Request
    from .terminal import RunDisplay

MAX_ASKED = 10_000
"""For more variants than this, --yes must be given: no question is asked after the first one."""

Zip = Annotated[
    bool,
    typer.Option("--zip", help="sweep: combine the values side by side, not each with each"),
]
Sheet = Annotated[
    Path | None, typer.Option(help="sweep: write a contact sheet of all variants", metavar="FILE")
]
Table = Annotated[
    Path | None,
    typer.Option(help="sweep: write a table of all variants, .csv or .jsonl", metavar="FILE"),
]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="sweep: run without asking")]


@dataclass(frozen=True)
class SweepOptions:
    """How the values of a sweep combine, and which other files are written."""

    side_by_side: Zip = False
    sheet: Sheet = None
    table: Table = None
    yes: Yes = False

    def refuse_without_sweep(self) -> None:
        """Raises ArgumentError for an option that has no meaning without a sweep."""
        from sdgraph.errors import Problem

        from .request import ArgumentError

        options = {"--zip": self.side_by_side, "--sheet": self.sheet, "--table": self.table}
        for option, value in options.items():
            if value:
                wanted = "an input with several values, such as seed=1..8"
                raise ArgumentError(Problem(option, "no sweep", wanted))


def run_sweep(
    session: Session,
    request: Request,
    only: Sequence[str],
    options: RunOptions,
    sweep_options: SweepOptions,
) -> None:
    """Runs all variants and writes the contact sheet and the table, if they are wanted.

    Args:
        session: Where the variants run.
        request: The workflow and its inputs, some with several values.
        only: The names of the nodes to make; empty for all targets.
        options: What to show and what to do after a failure.
        sweep_options: The options that are for sweeps only.
    """
    from sdgraph.errors import InvalidWorkflowError
    from sdgraph.events import TableOpened
    from sdgraph.graph import find_refused_files, library_module
    from sdgraph.sweep import SweepConfirmation, VariantRecorder, confirm, with_contact_sheet

    ask = not sweep_options.yes and _can_ask(options)
    if not sweep_options.yes:
        _refuse_large(request, MAX_ASKED if ask else confirm.MANY_VARIANTS, sweep_options)
    sweep = request.sweep(only, side_by_side=sweep_options.side_by_side)
    sheet = _output_path("--sheet", sweep_options.sheet, options.out, sweep)
    table_file = _output_path("--table", sweep_options.table, options.out, sweep)
    if sheet is not None:
        sweep = with_contact_sheet(sweep, sheet, library_module("contact_sheet"))
    if not options.replaces_files and (problems := [*find_refused_files(sweep.graph)]):
        raise InvalidWorkflowError(problems)  # before a table is begun
    with ExitStack() as stack:
        rows, opened = None, []
        if table_file is not None:
            table = stack.enter_context(_open_table(table_file, sweep, options))
            rows, opened = table.add, [TableOpened(0.0, str(table.path))]
        recorder = VariantRecorder(sweep, rows)
        stack.callback(recorder.finish)

        def confirmation(display: RunDisplay) -> SweepConfirmation | None:
            return SweepConfirmation(sweep, display.confirm) if ask else None

        name = request.workflow.name
        run_graph(session, sweep.graph, name, options, recorder, confirmation, opened)


def _open_table(path: Path, sweep: Sweep, options: RunOptions) -> AbstractContextManager[TableFile]:
    from sdgraph.language import PortablePaths
    from sdgraph.sweep import describe_sweep, open_table

    return open_table(
        path,
        sweep.inputs,
        describe_sweep(sweep),
        PortablePaths(sweep.graph),
        overwrite=options.replaces_files,
        with_sidecar=not options.no_metadata,
    )


def _output_path(option: str, path: Path | None, out: Path | None, sweep: Sweep) -> Path | None:
    """The absolute path of a sheet or table; relative ones are in --out, as all files written.

    Raises ArgumentError for a path outside of the folders that the sweep may write into.
    """
    from sdgraph.files import expand_home

    from .request import ArgumentError, output_folder

    if path is None:
        return None
    path = (output_folder(out) or Path.cwd()) / expand_home(path)
    folders = sweep.graph.output_folders
    if folders is not None and not folders.permit(path):
        raise ArgumentError(folders.problem(option, path))
    return path


def _can_ask(options: RunOptions) -> bool:
    """Whether the user is at a terminal and can answer a question."""
    silent = options.quiet or options.as_json
    return not silent and sys.stdin.isatty() and sys.stdout.isatty()


def _refuse_large(request: Request, most: int, sweep_options: SweepOptions) -> None:
    """Raises ArgumentError for more variants than `most`, before any of them is made."""
    from sdgraph.errors import Problem
    from sdgraph.sweep import count_variants

    from .request import ArgumentError

    count = count_variants(request.axes, side_by_side=sweep_options.side_by_side)
    if count > most:
        found = f"{count:,} variants, for an unknown time"
        wanted = f"at most {most:,} variants without a confirmation"
        raise ArgumentError(Problem("sweep", found, wanted, "add --yes"))
