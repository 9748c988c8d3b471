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
    Ram,
    Vram,
    verb,
)  # fmt: skip

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

    from .caching import kept

    check_device(device, dtype)
    models = ModelCache(budgets=Budgets(budget("--vram", vram), budget("--ram", ram)))
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
    debug: Debug = False,
) -> None:
    """Run a workflow, or make a saved picture again."""
    from sdgraph.explanation import Explained
    from sdgraph.request import folder_named, opened, registry_with, requested
    from sdgraph.terminal import say_table, watching

    from .caching import continued

    session = _session(device, dtype, vram, ram, no_cache)
    workflow = opened(file, registry_with(packs or ()), out=folder_named(out))
    graph = requested(workflow, inputs or (), changes or ()).graph(only or ())
    told = Explained(graph, remembers=not no_cache) if explain else None
    try:
        with watching(graph, quiet=quiet, as_json=as_json) as watch, continued(session):
            listener = told.before(watch.listener) if told is not None else watch.listener
            values = session.run(graph, listener, keep_going=keep_going)
        watch.finish(values)
    finally:
        if told is not None:
            say_table((), [*told.rows()])


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
    made = session.plan(requested(workflow, inputs or (), changes or ()).graph(only or ()))
    say(f"on {made.device}, {made.dtype}")
    say_table(["", "node", "type", "loads", "beside that", "releases"], [*plan_rows(made)])
    say(plan_totals(made))
