"""The verbs that run workflows, or plan to: `run`, `plan`."""

from __future__ import annotations

from collections.abc import Callable
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
    Only,
    Out,
    Packs,
    Ram,
    Vram,
    verb,
)  # fmt: skip

if TYPE_CHECKING:
    from sdgraph.graph import Graph
    from sdgraph.request import Request
    from sdgraph.run import Session


def _session(
    device: str | None,
    dtype: str | None,
    vram: str | None,
    ram: str | None,
    metadata: bool = True,
) -> Session:
    """A session of its own for one verb; raises WrongArgument for what cannot be."""
    from sdgraph.models import ModelCache
    from sdgraph.request import budget, check_device
    from sdgraph.residency import Budgets
    from sdgraph.run import Session

    check_device(device, dtype)
    budgets = Budgets(budget("--vram", vram), budget("--ram", ram))
    models = ModelCache(budgets=budgets)
    return Session(device=device, dtype=dtype, store=None, models=models, metadata=metadata)


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
    as_json: Annotated[bool, typer.Option("--json", help="print events as JSON lines")] = False,
    quiet: Annotated[bool, typer.Option("--quiet", help="print nothing but errors")] = False,
    no_metadata: Annotated[
        bool, typer.Option("--no-metadata", help="no saved file says how it was made")
    ] = False,
    watch: Annotated[
        bool, typer.Option("--watch", help="run again what changed when a file that is read does")
    ] = False,
    debug: Debug = False,
) -> None:
    """Run a workflow, or make a saved picture again."""
    from sdgraph.request import folder_named, opened, registry_with, requested
    from sdgraph.run_records import recording
    from sdgraph.terminal import watching

    session = _session(device, dtype, vram, ram, metadata=not no_metadata)
    registry = registry_with(packs or ())

    def asked() -> Request:
        workflow = opened(file, registry, out=folder_named(out))
        return requested(workflow, inputs or (), changes or ())

    def once() -> None:
        request = asked()
        graph = request.graph(only or ())
        _remark_changes(file, graph)
        with (
            watching(graph, quiet=quiet, as_json=as_json) as shown,
            recording(graph, request.workflow.name, shown.listener) as listener,
        ):
            values = session.run(graph, listener)
        shown.finish(values)

    if watch:
        _watch(session, asked, once, file, debug=debug)
    else:
        once()


def _remark_changes(file: str, graph: Graph) -> None:
    """Says what has changed since a saved picture was made, where it is to be made again."""
    from sdgraph.comparing import changes
    from sdgraph.request import is_picture, record_in
    from sdgraph.terminal import remark

    if is_picture(file):
        for change in changes(record_in(file), graph):
            remark(f"{change}: what is made will differ")


def _watch(
    session: Session,
    asked: Callable[[], Request],
    once: Callable[[], None],
    file: str,
    *,
    debug: bool,
) -> None:
    """Runs once, and again what changed whenever a file does; results are remembered for it."""
    from sdgraph.file_changes import files_read
    from sdgraph.store import Store
    from sdgraph.workflow import find

    from .watching import keep_running

    if session.store is None:
        session.store = Store()

    def files() -> set[Path]:
        request = asked()
        return files_read(request.workflow, request.inputs) | {first}

    first = find(file).absolute()
    keep_running(once, files, first, debug=debug)


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
    debug: Debug = False,
) -> None:
    """Show the steps of a run, what they load, and the memory they take.

    In order, without running them.
    """
    from sdgraph.report import plan_rows, plan_totals
    from sdgraph.request import opened, registry_with, requested
    from sdgraph.terminal import say, say_table

    session = _session(device, dtype, vram, ram)
    workflow = opened(file, registry_with(packs or ()))
    made = session.plan(requested(workflow, inputs or (), changes or ()).graph(only or ()))
    say(f"on {made.device}, {made.dtype}")
    say_table(["", "node", "type", "loads", "beside that", "releases"], [*plan_rows(made)])
    say(plan_totals(made))
