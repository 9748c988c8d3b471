"""`--explain`: says after a run why each node ran or did not, from the events of the run."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

from sdgraph import events
from sdgraph.formatting import format_seconds
from sdgraph.graph import Graph, Node

from .code_changes import describe_code

if TYPE_CHECKING:
    import networkx as nx

    from sdgraph.store import Store


class RunExplainer:
    """A listener that records what happened to each node of a run and explains it afterwards.

    Args:
        graph: The graph that runs.
        store: Where results are remembered in this run, or None.
        changed: The classes whose code is not that of their last run.
    """

    def __init__(
        self, graph: Graph, store: Store | None, changed: Collection[type[Any]] = ()
    ) -> None:
        self._graph = graph
        self._changed = changed
        self._store = store
        self._outcomes: dict[str, events.Event] = {}

    def __call__(self, event: events.Event) -> None:
        """Records that a node started, was reused or was skipped."""
        if isinstance(event, events.NodeStarted | events.Reused | events.Skipped):
            self._outcomes[event.node] = event

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """A row for each node: its name, whether it ran, and why."""
        for node in self._graph.nodes:
            yield (self._graph.names[node], *self._outcome(node))

    def _outcome(self, node: Node[Any]) -> tuple[str, str]:
        match self._outcomes.get(self._graph.names[node]):
            case events.NodeStarted(not_kept=reason) if reason:
                return "ran", f"its result is not kept: {reason}"
            case events.NodeStarted():
                return "ran", self._reason_to_run(node)
            case events.Reused(seconds=seconds):
                took = f"; it took {format_seconds(seconds)}" if seconds else ""
                return "reused", f"the same was computed before{took}"
            case events.Skipped(failed=failed):
                return "left out", f"it needs {failed}, which failed"
        return "not needed", "no node that ran reads it"

    @cached_property
    def _networkx(self) -> nx.DiGraph[Node[Any]]:
        return self._graph.to_networkx()

    def _reason_to_run(self, node: Node[Any]) -> str:
        if node.effect:
            return "it has an effect: it always runs"
        if node in self._graph.uncached:
            return "it says cache: false"
        if not self._graph.is_remembered(node):
            return "its code uses what is not known before the run: it is not remembered"
        if self._store is None:
            return "nothing is remembered: --no-cache"
        if reason := self._store.reason_not_stored(type(node).__name__):
            return f"its results are not kept on disk: {reason}"
        sources = [self._graph.names[source] for source in self._networkx.predecessors(node)]
        ran = [name for name in sources if isinstance(self._outcomes.get(name), events.NodeStarted)]
        if ran:
            return f"what it reads is new: {', '.join(ran)}"
        code = describe_code(type(node))
        if type(node) in self._changed:
            return f"the code of {code}, or of a file that it imports, has changed"
        parts = f"files, the code of {code}" if code else "files, models"
        return f"its fields, {parts} or versions are new, or were last used too long ago"
