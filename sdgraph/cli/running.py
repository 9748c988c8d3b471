"""The verbs that run workflows, or plan to: `run`, `plan`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from .app import (
    Changes,
    Debug,
    Device,
    Dtype,
    File,
    Inputs,
    NoCache,
    Only,
    Out,
    Packs,
    Pickles,
    Ram,
    Vram,
    verb,
)  # fmt: skip
from .sweeping import Overwrite, Sheet, Sweeping, Table, Yes, Zip, sweep_run

if TYPE_CHECKING:
    from sdgraph.run import Session


def _session(
    device: str | None, dtype: str | None, vram: str | None, ram: str | None, no_cache: bool
) -> Session:
    """A session of its own for one verb; raises WrongArgument for what cannot be."""
    from sdgraph.models import ModelCache
    from sdgraph.request import budget, check_device
    from sdgraph.residency import Budgets
    from sdgraph.run import Session
    from sdgraph.running import Record

    from .caching import kept

    check_device(device, dtype)
    budgets = Budgets(budget("--vram", vram), budget("--ram", ram))
    # No run comes after this one that could use what it leaves.
    models = ModelCache(budgets=budgets, keep_alive=0, watch=Record())
    store = None if no_cache else kept()
    return Session(device=device, dtype=dtype, store=store, models=models)


@verb
def run(
    file: File,
    inputs: Inputs = None,
    device: Device = None,
    dtype: Dtype = None,
    vram: Vram = None,
    ram: Ram = None,
    changes: Changes = None,
    only: Only = None,
    packs: Packs = None,
    out: Out = None,
    no_cache: NoCache = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="past a failure, do all that does not need it")
    ] = False,
    explain: Annotated[
        bool, typer.Option("--explain", help="say of each node why it ran or did not")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="print events as JSON lines")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing but errors")] = False,
    side_by_side: Zip = False,
    sheet: Sheet = None,
    table: Table = None,
    overwrite: Overwrite = False,
    yes: Yes = False,
    allow_pickle: Pickles = False,
    debug: Debug = False,
) -> None:
    """Run a workflow, or make a saved picture again.

    An input with several values (seed=1..50, prompt=@prompts.txt, style='[a, b]') makes a sweep.
    """
    from sdgraph.request import folder_named, opened, registry_with, requested

    from .caching import Manner

    session = _session(device, dtype, vram, ram, no_cache)
    workflow = opened(file, registry_with(packs or ()), out=folder_named(out))
    asked = requested(workflow, inputs or (), changes or ())
    how = Sweeping(side_by_side, sheet, table, overwrite, yes)
    manner = Manner(session, quiet, as_json, keep_going, explain)
    if asked.axes:
        sweep_run(manner, asked, only or (), how)
    else:
        how.refuse()
        manner.run(asked.graph(only or ()))


@verb
def plan(
    file: File,
    inputs: Inputs = None,
    device: Device = None,
    dtype: Dtype = None,
    vram: Vram = None,
    ram: Ram = None,
    changes: Changes = None,
    only: Only = None,
    packs: Packs = None,
    no_cache: NoCache = False,
    allow_pickle: Pickles = False,
    side_by_side: Zip = False,
    debug: Debug = False,
) -> None:
    """Show the steps of a run, what they load, and the memory they take.

    In order, without running them.
    """
    from sdgraph.report import plan_rows, plan_totals
    from sdgraph.request import opened, registry_with, requested
    from sdgraph.terminal import say, say_table

    session = _session(device, dtype, vram, ram, no_cache)
    workflow = opened(file, registry_with(packs or ()))
    asked = requested(workflow, inputs or (), changes or ())
    made = session.plan(asked.graph(only or (), side_by_side=side_by_side))
    say(f"on {made.device}, {made.dtype}")
    say_table(["", "node", "type", "loads", "beside that", "releases"], [*plan_rows(made)])
    say(plan_totals(made))
