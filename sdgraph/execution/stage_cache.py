"""What a node is given of its stages: what is remembered, or what it makes and is kept."""

from __future__ import annotations

import time
from collections.abc import Callable

from sdgraph.store import Store

from .plan_data import Step

Recall = Callable[[str, Callable[[], bytes]], bytes]
"""The result of a stage by its name; the second argument makes it."""


def recalling(step: Step, store: Store) -> Recall:
    """What a step's node calls for its stages; raises Lost, before anything is loaded for it."""
    if not step.stages:
        return lambda _, make: make()
    keys = {each.name: each.key for each in step.stages}
    known = {
        each.name: store.read(each.remembered)
        for each in step.stages
        if each.remembered is not None
    }

    def recall(name: str, make: Callable[[], bytes]) -> bytes:
        if name not in known:
            # Another node may have made it since this was planned.
            found = store.get(keys[name])
            began = time.monotonic()
            known[name] = make() if found is None else store.read(found)
            if found is None:
                store.put(keys[name], known[name], node=name, seconds=time.monotonic() - began)
        return bytes(known[name])

    return recall
