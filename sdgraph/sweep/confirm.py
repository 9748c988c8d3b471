"""Asks whether to continue a large sweep, as soon as its duration can be estimated."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from sdgraph import events
from sdgraph.formatting import format_count, format_seconds
from sdgraph.graph import name_without_variant, needs_models

from .sweep import Sweep

MANY_VARIANTS = 100
"""A sweep of more variants than this needs a confirmation."""

LONG_SECONDS = 600.0
"""A sweep that takes more seconds than this needs a confirmation."""

WAIT_SECONDS = 30.0
"""After so many seconds the estimate is made even if the first variant is not finished."""


class SweepConfirmation:
    """A listener that asks for a confirmation after the first variant; "no" ends the run.

    It asks only if there are more than MANY_VARIANTS, or if the estimate is above LONG_SECONDS. The
    estimate is made from the nodes that have run, so the first variant runs before the question.
    """

    def __init__(self, sweep: Sweep, ask: Callable[[str], bool]) -> None:
        self._sweep = sweep
        self._ask = ask
        self._has_decided = False
        self._nodes = {name: node for node, name in sweep.graph.names.items()}
        self._first = set(sweep.targets[0].values())
        self._left = Counter(
            name_without_variant(sweep.graph.names[node]) for node in sweep.graph.nodes
        )
        self._seconds: dict[str, list[float]] = {}
        self._loading = 0.0
        self._began: float | None = None

    def __call__(self, event: events.Event) -> None:
        """Receives an event of the run; raises KeyboardInterrupt if the answer is no."""
        if self._has_decided:
            return
        if isinstance(event, events.NodeStarted | events.StageStarted) and self._began is None:
            self._began = event.at
        elif isinstance(event, events.Loaded):
            self._loading += event.seconds
        elif isinstance(event, events.StageFinished):
            self._loading = 0.0  # not in the seconds of a node
        elif isinstance(event, events.NodeFinished):
            self._count_finished(event)
        due = not self._first or (self._began is not None and event.at - self._began > WAIT_SECONDS)
        # Ctrl-C would not end a question in another thread; a later event comes in the main one.
        if due and self._seconds and threading.current_thread() is threading.main_thread():
            self._decide(event.at - (self._began or 0.0))

    def _count_finished(self, event: events.NodeFinished) -> None:
        node, name = self._nodes[event.node], name_without_variant(event.node)
        seconds = event.seconds
        if needs_models(node):  # later nodes will not load the same again
            seconds, self._loading = max(0.0, seconds - self._loading), 0.0
        self._seconds.setdefault(name, []).append(seconds)
        self._left[name] -= 1
        self._first.discard(node)

    def _decide(self, passed: float) -> None:
        self._has_decided = True
        seconds = sum(
            self._left[name] * sum(times) / len(times) for name, times in self._seconds.items()
        )
        count = len(self._sweep.variants)
        if count <= MANY_VARIANTS and seconds <= LONG_SECONDS:
            return
        unknown = any(left and name not in self._seconds for name, left in self._left.items())
        about = "at least" if unknown else "about"
        question = (
            f"{format_count(count, 'variant')}, {format_count(sum(self._left.values()), 'node')} "
            f"still to run; {format_seconds(passed)} so far, {about} "
            f"{format_seconds(seconds)} more. Continue?"
        )
        if not self._ask(question):
            raise KeyboardInterrupt
