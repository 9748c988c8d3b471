"""Remembers the results of the stages of a node's work separately."""

from __future__ import annotations

import time
from collections.abc import Callable

from sdgraph.store import Store

from .plan_data import Step

Recall = Callable[[str, Callable[[], bytes]], bytes]
"""Returns the result of a stage by its name; the second argument makes it if none is known."""


def make_recall(step: Step, store: Store) -> Recall:
    """The function that a step's node calls for its stages.

    Raises LostRecordError if the plan reuses a result that is gone, before anything is loaded for
    the step.
    """
    if not step.stages:
        return lambda _, make: make()
    keys = {stage.name: stage.key for stage in step.stages}
    results = {
        stage.name: store.read(stage.remembered)
        for stage in step.stages
        if stage.remembered is not None
    }

    def recall(name: str, make: Callable[[], bytes]) -> bytes:
        if name not in results:
            # Another node may have made it since the plan was made.
            remembered = store.get(keys[name])
            if remembered is not None:
                results[name] = store.read(remembered)
            else:
                began = time.monotonic()
                results[name] = make()
                seconds = time.monotonic() - began
                store.put(keys[name], results[name], node=name, seconds=seconds)
        return bytes(results[name])

    return recall
