"""The options of `run`, and the running of a graph: shown, recorded, and explained afterwards."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import typer

from .app import command_line
from .options import Out

if TYPE_CHECKING:
    from sdgraph.events import Event, Listener
    from sdgraph.execution import Session
    from sdgraph.graph import Graph

    from .terminal import RunDisplay

KeepGoing = Annotated[
    bool,
    typer.Option("--keep-going", help="after a failure, run all nodes that do not need it"),
]
Explain = Annotated[bool, typer.Option("--explain", help="say for each node why it ran or did not")]
JsonEvents = Annotated[bool, typer.Option("--json", help="print events as JSON lines")]
Quiet = Annotated[bool, typer.Option("--quiet", help="print nothing but errors")]
Watch = Annotated[
    bool, typer.Option("--watch", help="run again whenever a file that the workflow reads changes")
]
Overwrite = Annotated[
    bool, typer.Option("--overwrite", help="replace files that exist; otherwise see `existing`")
]
NoMetadata = Annotated[
    bool, typer.Option("--no-metadata", help="do not write into files how they were made")
]
Threads = Annotated[
    int | None,
    typer.Option(
        min=1, help="how many nodes without models run at once; as many as there are cores"
    ),
]


@dataclass(frozen=True)
class RunOptions:
    """Where files go, what is printed during a run, and what happens after a failure or a run."""

    out: Out = None
    keep_going: KeepGoing = False
    explain: Explain = False
    as_json: JsonEvents = False
    quiet: Quiet = False
    watch: Watch = False
    no_metadata: NoMetadata = False
    overwrite: Overwrite = False
    threads: Threads = None

    @property
    def replaces_files(self) -> bool:
        """Whether files that exist already are replaced, whatever their nodes say."""
        return self.overwrite or self.watch


def run_graph(
    session: Session,
    graph: Graph,
    workflow: str,
    options: RunOptions,
    first: Listener | None = None,
    last: Callable[[RunDisplay], Listener | None] = lambda display: None,
    before: Sequence[Event] = (),
) -> None:
    """Runs a graph, shows the run, and records it under the workflow's name.

    Args:
        session: Where the graph runs.
        graph: What to run.
        workflow: The name for the record of the run.
        options: What to show and what to do after a failure.
        first: Receives each event before it is shown.
        last: Makes a listener that receives each event after it is shown.
        before: What happened before the run; the listeners receive it first.
    """
    from sdgraph.events import combine_listeners
    from sdgraph.history import record_run

    from .code_changes import record_code
    from .explain import RunExplainer
    from .terminal import display_run, print_table

    changed = record_code(graph) if session.store is not None else ()
    explainer = RunExplainer(graph, session.store, changed) if options.explain else None
    try:
        with display_run(graph, quiet=options.quiet, as_json=options.as_json) as display:
            listeners = combine_listeners(first, explainer, display.listener, last(display))
            with _add_resume_note(session), record_run(graph, workflow, listeners) as listener:
                if listener is not None:
                    for event in before:
                        listener(event)
                values = session.run(
                    graph,
                    listener,
                    keep_going=options.keep_going,
                    overwrite=options.replaces_files,
                )
        display.print_summary(values)
    finally:
        if explainer is not None:
            print_table((), [*explainer.rows()])


@contextmanager
def _add_resume_note(session: Session) -> Iterator[None]:
    """Adds the command that resumes the run to an error that ends it early."""
    from sdgraph.errors import NodeFailedError

    try:
        yield
    except (NodeFailedError, KeyboardInterrupt) as error:
        if session.store is not None:
            arguments = shlex.join(command_line)
            error.add_note(f"finished nodes are remembered; to resume: sdgraph {arguments}")
        raise
