"""The results of one run: held in memory, found among what is remembered, and remembered."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sdgraph import events
from sdgraph.errors import SdgraphError
from sdgraph.graph import Node, late_checkpoint, source_files
from sdgraph.store import (
    LostRecordError,
    MemoryResult,
    Store,
    StoredResult,
    execution_context,
    result_key,
)
from sdgraph.values import Checkpoint, content_of

from .plan_data import Plan, Step


class Results:
    """What the steps of a run have made, through every plan of it; safe to use between threads."""

    def __init__(self, store: Store | None, clock: events.EventEmitter) -> None:
        self.values: dict[Node[Any], Any] = {}
        self.altered: dict[Node[Any], list[str]] = {}
        """Nodes that were made in another way than asked for, so that memory held out, and how."""
        self.changed: set[Path] = set()
        """Files that were read and are no longer, or not yet, what they were when planned."""
        self.store = store
        self._clock = clock
        self._contents: dict[Node[Any], str] = {}
        self._changed = False
        """Whether there are any, or weights that did."""
        self._told: set[Node[Any]] = set()
        """The nodes that were done and told of before the run was planned anew."""

    def planned_anew(self) -> dict[Node[Any], StoredResult]:
        """The results that are held now, for a plan of the rest."""
        held = {
            node: MemoryResult(value, self._content(node)) for node, value in self.values.items()
        }
        self._told = set(held)
        self.values.clear()
        return dict(held)

    def find(self, step: Step, plan: Plan) -> bytes | None:
        """The key that a step's result is to be kept under, None where it is not to be kept.

        Afterwards `values` has the result if it was remembered; raises LostRecordError where it
        should have been and is no longer, and no run was planned.
        """
        kept = not step.node.effect and step.node not in plan.graph.uncached
        store = self.store if kept else None
        known = step.key is not None or step.remembered is not None or store is None
        key = step.key if known else self._key(step.node, plan, step.context)
        found = step.remembered
        if found is None and key is not None and store is not None:
            found = store.get(key)
            if found is not None:
                self._add_alias(step, key)
        if found is not None:
            self._take(step, found)
        return key if store is not None else None

    def keep(self, step: Step, plan: Plan, key: bytes | None, value: Any, seconds: float) -> None:
        """Holds what a step has made, and remembers it where it is what the key says."""
        node = step.node
        self.values[node] = value
        if (
            key is not None
            and self.store is not None
            and node not in self.altered
            and self._read_what_was_planned(step, plan, key)
        ):
            made = self.store.put(key, value, node=type(node).__name__, seconds=seconds)
            self._contents[node] = made.content
            self._add_alias(step, key)
        self._report_warnings()

    def with_checkpoints(self, node: Node[Any]) -> Node[Any]:
        """The node with the checkpoints that other nodes made put in as literals."""
        made = {
            port: self.values[child]
            for port, child in node.wires
            if child.output is Checkpoint and "[" not in port
        }
        return node.replace(**made) if made else node

    def altered_in(self, names: Mapping[Node[Any], str]) -> dict[str, list[str]]:
        """What was made in another way than asked for among some nodes, by their names."""
        return {names[node]: self.altered[node] for node in names if node in self.altered}

    def _take(self, step: Step, found: StoredResult) -> None:
        """Takes what is remembered, if it can be read."""
        try:
            value = found.value if self.store is None else self.store.read(found)
        except LostRecordError:
            self._report_warnings()
            if step.action == "reuse":
                raise
            return
        self.values[step.node] = value
        self._contents[step.node] = found.content
        if step.node not in self._told:
            self._clock.emit(events.Reused, step.name, found.seconds)

    def _key(self, node: Node[Any], plan: Plan, context: str | None = None) -> bytes:
        """The key of a result now that its inputs are there; its execution context may be known."""
        inputs = [self._content(child) for _, child in node.wires]
        if context is None:
            whole = self.with_checkpoints(node) if late_checkpoint(node) else node
            context = execution_context(whole, plan.device, plan.dtype)
        return result_key(node, inputs, context)

    def _read_what_was_planned(self, step: Step, plan: Plan, key: bytes) -> bool:
        """Whether the files that a step has read are those its key was made of."""
        known = type(step.node).definition
        # What a lease holds was compared with the plan when it was loaded.
        own_weights = known.weights and "models" not in known.services
        if not known.sources and not own_weights:
            return True
        try:
            same = self._key(step.node, plan) == key
        except (OSError, SdgraphError):
            same = False
        if not same:
            self._changed = True
            self.changed.update(path for _, path in source_files(step.node))
            told = f"{step.name}: a file it reads changed while this ran; its result is not kept"
            self._clock.emit(events.Warned, told)
        return same

    def _add_alias(self, step: Step, key: bytes) -> None:
        """Lets the result be found by its lineage, unless that may have been departed from."""
        departed = self.altered or self._changed
        if step.alias is not None and self.store is not None and not departed:
            self.store.add_alias(step.alias, key)

    def _content(self, node: Node[Any]) -> str:
        if node not in self._contents:
            self._contents[node] = content_of(self.values[node])
        return self._contents[node]

    def _report_warnings(self) -> None:
        for warning in self.store.take_warnings() if self.store is not None else ():
            self._clock.emit(events.Warned, warning)
