"""Runs of a workflow whose inputs were given several values."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

if TYPE_CHECKING:
    from sdgraph.sweep import Sweep

    from .request import Request
    from .run_options import Manner
    from .terminal import Watch

Zip = Annotated[
    bool, typer.Option("--zip", help="sweep: values side by side, not every combination")
]
Sheet = Annotated[
    Path | None, typer.Option(help="sweep: a contact sheet of all variants", metavar="FILE")
]
Table = Annotated[
    Path | None, typer.Option(help="sweep: a table of all variants, .csv or .jsonl", metavar="FILE")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="sweep: write over existing files")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="sweep: go on without asking")]


@dataclass(frozen=True)
class Sweeping:
    """The options of `run` that are for sweeps."""

    side_by_side: bool = False
    sheet: Path | None = None
    table: Path | None = None
    overwrite: bool = False
    yes: bool = False

    def refuse(self) -> None:
        """Raises ArgumentError where there is no sweep that an option could be for."""
        from sdgraph.errors import Problem

        from .request import ArgumentError

        given = {
            "--zip": self.side_by_side,
            "--sheet": self.sheet,
            "--table": self.table,
        }
        for option, value in given.items():
            if value:
                wanted = "an input with several values, such as seed=1..8"
                raise ArgumentError(Problem(option, "no sweep", wanted))


def sweep_run(manner: Manner, asked: Request, only: Sequence[str], how: Sweeping) -> None:
    """Makes all variants, with the sheet and the table that were asked for."""
    from sdgraph.sweep import (
        SweepConfirmation,
        VariantRecorder,
        open_table,
        refuse_existing_files,
        with_contact_sheet,
    )

    sweep = asked.sweep(only, side_by_side=how.side_by_side)
    if how.sheet is not None:
        sweep = with_contact_sheet(
            sweep, how.sheet.expanduser().absolute(), asked.workflow.registry
        )
    attended = not (manner.quiet or manner.as_json) and sys.stdin.isatty() and sys.stdout.isatty()
    if not (how.yes or attended):
        _refuse_many(sweep)
    if not how.overwrite:
        refuse_existing_files(sweep, *([how.table] if how.table else []))
    with ExitStack() as stack:
        rows = stack.enter_context(open_table(how.table, sweep.inputs)) if how.table else None
        account = VariantRecorder(sweep, rows)
        stack.callback(account.finish)

        def asking(watch: Watch) -> SweepConfirmation | None:
            return SweepConfirmation(sweep, watch.ask) if attended and not how.yes else None

        manner.run(sweep.graph, asked.workflow.name, account, asking)


def _refuse_many(sweep: Sweep) -> None:
    """Raises ArgumentError for more variants than are made unasked, where nobody can be asked."""
    from sdgraph.errors import Problem
    from sdgraph.sweep import confirm

    from .request import ArgumentError

    count = len(sweep.variants)
    if count > confirm.MANY_VARIANTS:
        found = f"{count:,} variants, {len(sweep.graph.nodes):,} nodes; how long they take is"
        problem = Problem(
            "sweep",
            f"{found} not known before the first is made",
            f"at most {confirm.MANY_VARIANTS} where no terminal is there to ask",
            "add --yes",
        )
        raise ArgumentError(problem)
