"""Why each node of a run ran or did not, told after the run from its events."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sdgraph import events
from sdgraph.formatting import seconds_words
from sdgraph.graph import Graph, Node


class Explained:
    """A listener that notes what became of each node; `remembers` is whether anything could be."""

    def __init__(self, graph: Graph, *, remembers: bool) -> None:
        self._graph = graph
        self._remembers = remembers
        self._became: dict[str, events.Event] = {}

    def __call__(self, event: events.Event) -> None:
        if isinstance(event, events.NodeStarted | events.Reused | events.Skipped):
            self._became[event.node] = event

    def rows(self) -> Iterator[tuple[str, str, str]]:
        """A row for each node: its name, whether it ran, and why."""
        for node in self._graph.nodes:
            yield (self._graph.names[node], *self._why(node))

    def _why(self, node: Node[Any]) -> tuple[str, str]:
        match self._became.get(self._graph.names[node]):
            case events.NodeStarted():
                return "ran", self._why_it_ran(node)
            case events.Reused(seconds=seconds):
                took = f"; it took {seconds_words(seconds)}" if seconds else ""
                return "reused", f"the same was computed before{took}"
            case events.Skipped(failed=failed):
                return "left out", f"it needs {failed}, which failed"
        return "not needed", "nobody that ran reads it"

    def _why_it_ran(self, node: Node[Any]) -> str:
        if node.effect:
            return "it has an effect: it always runs"
        if node in self._graph.uncached:
            return "it says cache: false"
        if not self._remembers:
            return "nothing is remembered: --no-cache"
        names = [self._graph.names[child] for _, child in node.wires]
        ran = [
            name
            for name in dict.fromkeys(names)
            if isinstance(self._became.get(name), events.NodeStarted)
        ]
        if ran:
            return f"what it reads is new: {', '.join(ran)}"
        return "its fields, files, models or versions are new, or were last used too long ago"
