"""The commands `run` and `plan`."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from .app import command
from .options import Debug, Json, Out, Pickles, SessionOptions, WorkflowOptions
from .run_options import RunOptions
from .sweep import SweepOptions, Zip

if TYPE_CHECKING:
    from sdgraph.execution import Session
    from sdgraph.graph import Graph

    from .request import Request


@command
def run(
    workflow: WorkflowOptions,
    hardware: SessionOptions,
    options: RunOptions,
    sweep: SweepOptions,
    allow_pickle: Pickles = False,
    debug: Debug = False,
) -> None:
    """Run a workflow, or make a saved picture again.

    An input with several values (seed=1..50, prompt=@prompts.txt, style='[a, b]') makes a sweep.
    """
    _refuse_to_watch_input(workflow.file, watch=options.watch)
    session = hardware.open(
        several_runs=options.watch, metadata=not options.no_metadata, threads=options.threads
    )
    read = workflow.reader(out=options.out)
    run_once = partial(_run_once, session, read, workflow, options, sweep)
    if options.watch:
        from .watch import run_on_changes

        run_on_changes(run_once, read, workflow, debug=debug)
    else:
        run_once()


def _refuse_to_watch_input(file: str, *, watch: bool) -> None:
    """Raises ArgumentError for a workflow on standard input that is to be watched."""
    if watch and file == "-":
        from sdgraph.errors import Problem

        from .argument_error import ArgumentError

        fix = "save the workflow, or leave --watch out"
        raise ArgumentError(Problem("--watch", "standard input", "a file that can change", fix))


def _run_once(
    session: Session,
    read: Callable[[], Request],
    workflow: WorkflowOptions,
    options: RunOptions,
    sweep: SweepOptions,
) -> None:
    """Reads the request and runs it: a sweep, or one graph."""
    from sdgraph.memoize import memoized_scope

    from .run_options import run_graph
    from .sweep import run_sweep

    request = read()
    if request.axes:
        run_sweep(session, request, workflow.only or (), options, sweep)
        return
    sweep.refuse_without_sweep()
    with memoized_scope():  # planning reuses what the checks have read
        graph = request.graph(workflow.only or ())
        _note_changes(workflow.file, graph)
        run_graph(session, graph, request.workflow.name, options)


def _note_changes(file: str, graph: Graph) -> None:
    """For a saved file that is made again, prints what has changed since it was saved."""
    from sdgraph.provenance import changes_since, record_folder
    from sdgraph.values import is_media_file

    from .saved_file import read_record_of
    from .terminal import print_note

    if is_media_file(file):
        record = read_record_of(file)
        for change in changes_since(record, graph, record_folder(Path(file), record)):
            print_note(f"{change}: the result will differ")


@command
def plan(
    workflow: WorkflowOptions,
    hardware: SessionOptions,
    side_by_side: Zip = False,
    out: Out = None,
    as_json: Json = False,
    allow_pickle: Pickles = False,
    debug: Debug = False,
) -> None:
    """Show what a run would do, load, release and write, and the memory it takes.

    Nothing runs, and no model is loaded.
    """
    import json

    from sdgraph.memoize import memoized_scope

    from .report import plan_as_data, plan_rows, plan_totals
    from .terminal import print_table, print_text

    session = hardware.open()
    request = workflow.reader(out=out)()
    _refuse_to_plan(request, side_by_side=side_by_side)
    with memoized_scope():  # planning reuses what the checks have read
        graph = request.graph(workflow.only or (), side_by_side=side_by_side)
        steps = session.plan(graph)
    if as_json:
        print_text(json.dumps(plan_as_data(steps), indent=2, ensure_ascii=False))
        return
    print_text(f"on {steps.device}, {steps.dtype}")
    print_table(["", "node", "type", "loads", "moves and memory", "releases"], [*plan_rows(steps)])
    print_text(plan_totals(steps))


MAX_PLANNED = 20_000
"""How many variants are planned by `plan`; the plan has a row for each of their nodes."""


def _refuse_to_plan(request: Request, *, side_by_side: bool) -> None:
    """Raises ArgumentError for a sweep of more variants than are planned."""
    if not request.axes:
        return
    from sdgraph.errors import Problem
    from sdgraph.sweep import count_variants

    from .request import ArgumentError

    count = count_variants(request.axes, side_by_side=side_by_side)
    if count > MAX_PLANNED:
        wanted, fix = f"at most {MAX_PLANNED:,} in a plan", "plan a part of them"
        raise ArgumentError(Problem("sweep", f"{count:,} variants", wanted, fix))
