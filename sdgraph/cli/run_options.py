"""How `run` runs a graph: shown, recorded, and ending with the command that goes on from there."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

from .app import typed

if TYPE_CHECKING:
    from sdgraph.events import Listener
    from sdgraph.execution import Session
    from sdgraph.graph import Graph

    from .terminal import Watch


@dataclass(frozen=True)
class Manner:
    """How a graph is run from the command line: in what session, and what is told of it."""

    session: Session
    quiet: bool = False
    as_json: bool = False
    keep_going: bool = False
    explain: bool = False

    def run(
        self,
        graph: Graph,
        workflow: str,
        first: Listener | None = None,
        last: Callable[[Watch], Listener | None] = lambda watch: None,
    ) -> None:
        """Runs it, shows it and records it under the workflow's name.

        `first` hears each event before that is shown, what `last` makes after.
        """
        from sdgraph.events import combine_listeners
        from sdgraph.history import record_run

        from .explain import RunExplainer
        from .terminal import say_table, watching

        told = (
            RunExplainer(graph, remembers=self.session.store is not None) if self.explain else None
        )
        try:
            with (
                watching(graph, quiet=self.quiet, as_json=self.as_json) as watch,
                continued(self.session),
                record_run(
                    graph, workflow, combine_listeners(first, told, watch.listener, last(watch))
                ) as listener,
            ):
                values = self.session.run(graph, listener, keep_going=self.keep_going)
            watch.finish(values)
        finally:
            if told is not None:
                say_table((), [*told.rows()])


@contextmanager
def continued(session: Session) -> Iterator[None]:
    """Has what ends a run early end with the command that goes on from there."""
    from sdgraph.errors import NodeFailedError

    try:
        yield
    except (NodeFailedError, KeyboardInterrupt) as error:
        if session.store is not None:
            error.add_note(f"what was done is remembered; go on with: sdgraph {shlex.join(typed)}")
        raise
