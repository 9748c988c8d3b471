"""The verbs that run workflows, or plan to: `run`, `plan`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
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
)
from .sweep import Overwrite, Sheet, Sweeping, Table, Yes, Zip, sweep_run

if TYPE_CHECKING:
    from sdgraph.execution import Session
    from sdgraph.graph import Graph

    from .request import Request
    from .run_options import Manner


def _session(
    device: str | None,
    dtype: str | None,
    vram: str | None,
    ram: str | None,
    no_cache: bool,
    *,
    again: bool = False,
    metadata: bool = True,
) -> Session:
    """A session of its own for one verb; raises ArgumentError for what cannot be."""
    from sdgraph.execution import Session
    from sdgraph.memory import Budgets
    from sdgraph.models import ModelCache, Record
    from sdgraph.store import Store

    from .cache import kept
    from .request import budget, check_device

    check_device(device, dtype)
    budgets = Budgets(budget("--vram", vram), budget("--ram", ram))
    # Where no run comes after this one, none could use what it leaves.
    models = ModelCache(budgets=budgets, keep_alive=None if again else 0, watch=Record())
    store = None if no_cache else kept()
    if again and store is None and not no_cache:
        store = Store()  # no home to keep results in; while it watches they are held
    return Session(device=device, dtype=dtype, store=store, models=models, metadata=metadata)


@verb
def run(
    file: File,
    inputs: Inputs = None,
    device: Device = None,
    dtype: Dtype = None,
    vram: Vram = None,
    ram: Ram = None,
    changes_since: Changes = None,
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
    watch: Annotated[
        bool, typer.Option("--watch", help="run again what changed when a file that is read does")
    ] = False,
    no_metadata: Annotated[
        bool, typer.Option("--no-metadata", help="no saved file says how it was made")
    ] = False,
    allow_pickle: Pickles = False,
    debug: Debug = False,
) -> None:
    """Run a workflow, or make a saved picture again.

    An input with several values (seed=1..50, prompt=@prompts.txt, style='[a, b]') makes a sweep.
    """
    from .run_options import Manner

    session = _session(device, dtype, vram, ram, no_cache, again=watch, metadata=not no_metadata)
    manner = Manner(session, quiet, as_json, keep_going, explain)
    how = Sweeping(side_by_side, sheet, table, overwrite or watch, yes)
    asked = _asked(file, inputs, changes_since, packs, out)
    once = partial(_run_once, manner, asked, file, only or (), how)
    if watch:
        from .watch import keep_running

        keep_running(once, asked, file, inputs or (), debug=debug)
    else:
        once()


def _asked(
    file: str,
    inputs: Sequence[str] | None,
    changes_since: Sequence[str] | None,
    packs: Sequence[Path] | None,
    out: Path | None = None,
) -> Callable[[], Request]:
    """What reads the file, and what is asked of it, as they are when it is called."""
    from .request import folder_named, opened, registry_with, requested

    registry = registry_with(packs or ())

    def asked() -> Request:
        workflow = opened(file, registry, out=folder_named(out))
        return requested(workflow, inputs or (), changes_since or ())

    return asked


def _run_once(
    manner: Manner, asked: Callable[[], Request], file: str, only: Sequence[str], how: Sweeping
) -> None:
    """Runs what is asked for: a sweep, or one graph."""
    request = asked()
    if request.axes:
        sweep_run(manner, request, only, how)
        return
    how.refuse()
    graph = request.graph(only)
    _remark_changes(file, graph)
    manner.run(graph, request.workflow.name)


def _remark_changes(file: str, graph: Graph) -> None:
    """Says what has changed since a saved picture was made, where it is to be made again."""
    from sdgraph.provenance import changes_since

    from .request import is_picture, record_in
    from .terminal import remark

    if is_picture(file):
        for change in changes_since(record_in(file), graph):
            remark(f"{change}: what is made will differ")


@verb
def plan(
    file: File,
    inputs: Inputs = None,
    device: Device = None,
    dtype: Dtype = None,
    vram: Vram = None,
    ram: Ram = None,
    changes_since: Changes = None,
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
    from .report import plan_rows, plan_totals
    from .terminal import say, say_table

    session = _session(device, dtype, vram, ram, no_cache)
    request = _asked(file, inputs, changes_since, packs)()
    made = session.plan(request.graph(only or (), side_by_side=side_by_side))
    say(f"on {made.device}, {made.dtype}")
    say_table(["", "node", "type", "loads", "beside that", "releases"], [*plan_rows(made)])
    say(plan_totals(made))
