"""One step of a plan: reuse what is remembered, or lease, run, remember; then release."""

from __future__ import annotations

import threading
from collections.abc import Callable, Container, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from . import devices, events, provenance
from .content import content_of
from .errors import NodeFailed, SdgraphError, ValueRefused
from .graph import late_checkpoint, plain_name
from .itinerary import Itinerary
from .keys import surroundings
from .ladder import attempt, exhausted, rungs
from .models import ModelCache, Models, Planned
from .node import Node
from .plan import Plan, Step, demands
from .ports import a
from .reading import Reader, Reading
from .recall import recalling
from .series import Series, once_for_each
from .shelf import Lost
from .store import Found, Remembered, Store, result_key
from .weights import Checkpoint
from .wording import describe

_STAGE_BYTES = 64 * 2**20
"""What the results of stages may take in a run that remembers nothing."""


class Stopped(Exception):
    """Raised inside a node, at its next step, when the run is being stopped."""


class Steps:
    """Does the steps of one run and holds its results; steps may be done in several threads."""

    def __init__(
        self,
        plan: Plan,
        models: ModelCache,
        store: Store | None,
        dtype: str,
        clock: events.Clock,
        made: Container[Node[Any]] = (),
        *,
        metadata: bool = True,
    ) -> None:
        self.results: dict[Node[Any], Any] = {}
        self.loads = 0
        self.bytes_loaded = 0
        self._contents: dict[Node[Any], str] = {}
        self._plan = plan
        self._models = models
        self._store = store
        self._stages = store if store is not None else Store(_STAGE_BYTES)
        """Where the results of nodes' stages are kept, if only for this run."""
        self._dtype = dtype
        self._clock = clock
        self._made = made
        """The nodes that were done before a run was planned anew, and told of."""
        saves = any("provenance" in type(step.node).definition.services for step in plan.steps)
        self._metadata = metadata
        # Now, for a file may change while the nodes that were made of it are still to be saved.
        self._sources = provenance.hashes(plan.graph) if metadata and saves else {}
        self._weights = {use.part: use.files for step in plan.steps for use in step.uses}
        self._stop = threading.Event()
        self._altered: dict[Node[Any], list[str]] = {}
        """Nodes that were made in another way than asked for, so that memory held out, and how."""
        self._changed = False
        """Whether a file that was read is another than when this was planned."""
        self._places = {step.node: place for place, step in enumerate(plan.steps)}
        moves = [step.moves for step in plan.steps]
        self._itinerary = Itinerary(demands(plan.steps), moves, plan.device, plan.room, plan.held)

        self._reader = Reader()
        self._files = {
            use.resident.key: tuple(path for path, _ in use.files)
            for step in plan.steps
            for use in step.uses
        }

    def close(self) -> None:
        """Ends what goes on beside the steps."""
        self._reader.close()

    def stop(self) -> None:
        """Makes every running node stop at its next step."""
        self._stop.set()

    def do(self, step: Step) -> None:
        """Does one step whose inputs are all there; raises what the node raises, and Lost."""
        node = step.node
        kept = not node.effect and node not in self._plan.graph.uncached
        store = self._store if kept else None
        key = self._key(step) if store is not None else None
        found = step.found
        if found is None and key is not None and store is not None:
            found = store.get(key)
            if found is not None:
                self._add_alias(step, key)
        if found is not None and self._reuses(step, found):
            return
        began = self._clock.now()
        value = self._run(step)
        seconds = self._clock.now() - began
        self.results[node] = value
        if (
            store is not None
            and key is not None
            and node not in self._altered
            and self._read_what_was_planned(step, key)
        ):
            made = store.put(key, value, node=type(node).__name__, seconds=seconds)
            self._contents[node] = made.content
            self._add_alias(step, key)
        self._tell_troubles()
        # Told when it is kept: what was told of is there after any end of the process.
        file = str(value) if node.effect and isinstance(value, Path) else None
        self._clock.emit(events.NodeFinished, step.name, seconds, file)

    def made(self) -> dict[Node[Any], Found]:
        """The results that are held now."""
        return {
            node: Remembered(value, self._content(node)) for node, value in self.results.items()
        }

    def _reuses(self, step: Step, found: Found) -> bool:
        """Takes what is remembered, if it can be read; raises Lost where no run was planned."""
        try:
            value = found.value if self._store is None else self._store.read(found)
        except Lost:
            self._tell_troubles()
            if step.action == "reuse":
                raise
            return False
        self.results[step.node] = value
        self._contents[step.node] = found.content
        if step.node not in self._made:
            self._clock.emit(events.Reused, step.name, found.seconds)
        return True

    def _tell_troubles(self) -> None:
        for trouble in self._store.troubles() if self._store is not None else ():
            self._clock.emit(events.Warned, trouble)

    def release(self, node: Node[Any]) -> None:
        """Drops a result that nobody will read."""
        if self.results.pop(node, None) is not None:
            self._clock.emit(events.Released, self._plan.graph.names[node])

    def failed(self, failure: NodeFailed) -> None:
        """Says that a step failed."""
        self._clock.emit(events.NodeFailed, failure.node, failure.message)

    def skipped(self, step: Step, failed: Step) -> None:
        """Says that a step is not done, as one failed that it needs."""
        self._clock.emit(events.Skipped, step.name, failed.name)

    def _key(self, step: Step) -> bytes | None:
        known = step.key is not None or step.found is not None
        return step.key if known else self._key_now(step)

    def _key_now(self, step: Step) -> bytes:
        node = step.node
        inputs = [self._content(child) for _, child in node.wires]
        if late_checkpoint(node):
            node = self._with_checkpoints(node)
        around = surroundings(node, self._plan.device, self._plan.dtype)
        return result_key(step.node, inputs, around)

    def _read_what_was_planned(self, step: Step, key: bytes) -> bool:
        """Whether the files that a step has read are those its key was made of."""
        known = type(step.node).definition
        if not known.sources and not known.weights:
            return True
        try:
            same = self._key_now(step) == key
        except (OSError, SdgraphError):
            same = False
        if not same:
            self._changed = True
            told = f"{step.name}: a file it reads changed while this ran; its result is not kept"
            self._clock.emit(events.Warned, told)
        return same

    def _add_alias(self, step: Step, key: bytes) -> None:
        """Lets the result be found by its lineage, unless that may have been departed from."""
        read = step.node.wires and not self._altered and not self._changed
        if read and step.alias is not None and self._store is not None:
            self._store.add_alias(step.alias, key)

    def _content(self, node: Node[Any]) -> str:
        if node not in self._contents:
            self._contents[node] = content_of(self.results[node])
        return self._contents[node]

    def _run(self, step: Step) -> Any:
        node = step.node
        self._clock.emit(events.NodeStarted, step.name, type(node).__name__)
        arguments = node.arguments(self.results)
        services = type(node).definition.services
        if services:
            if late_checkpoint(node):
                node = self._with_checkpoints(node)
            if "progress" in services:
                arguments["progress"] = self._progress(step.name)
            if "provenance" in services:
                arguments["provenance"] = self._provenance(step)
        if self._stop.is_set():
            raise Stopped
        if "models" in services:
            value = self._with_models(step, node, arguments)
        else:
            value = self._work(step, node)(arguments)
        return _of_kind(node, value)

    def _with_models(self, step: Step, node: Node[Any], arguments: dict[str, Any]) -> Any:
        """What the node makes with its models; out of memory, by the next rung of the ladder."""
        recall = recalling(step, self._stages)
        said, value = attempt(
            self._lease(node, step), self._work(step, node), arguments, self._reads(step), recall
        )
        tried: list[str] = []
        for rung in rungs(node, self._plan.device) if said is not None else ():
            devices.give_back(self._plan.device)
            self._clock.emit(events.Retried, step.name, said, rung.told)
            tried.append(rung.told)
            if rung.unload:
                self._models.unload(report=self._report)
            if rung.altered:
                self._altered.setdefault(step.node, []).append(rung.told)
            dtype = self._dtype if rung.device != "cpu" else devices.dtype_for("cpu")
            lease = self._models.lease(rung.node.parts(), rung.device, dtype, self._report)
            said, value = attempt(lease, self._work(step, rung.node), arguments)
            if said is None:
                break
        if said is not None:
            raise exhausted(self._plan.device, said, tried)
        return value

    def _work(self, step: Step, node: Node[Any]) -> Callable[[Mapping[str, Any]], Any]:
        """What makes the node's value of its arguments, once for each frame where there are any."""
        if type(node).gathers:
            return lambda arguments: node.run(**arguments)
        return partial(once_for_each, node.run, self._progress(step.name))

    def _lease(self, node: Node[Any], step: Step) -> AbstractContextManager[Models]:
        """The lease of what the plan names, or of what a late checkpoint turns out to need."""
        known = {use.name: Planned(use.resident, use.files) for use in step.uses}
        parts = {use.name: use.part for use in step.uses} or node.parts()
        moves = partial(self._itinerary.before, self._places[step.node])
        return self._models.lease(
            parts, self._plan.device, self._dtype, self._report, known=known, moves=moves
        )

    def _reads(self, step: Step) -> Callable[[], object] | None:
        """What has the files of the components that are loaded next read in the background."""
        if not step.ahead:
            return None
        readings = [
            Reading(
                self._files[each.key],
                partial(self._clock.emit, events.ReadAhead, each.name, each.file_bytes),
            )
            for each in step.ahead
        ]
        return partial(self._reader.read, readings)

    def _with_checkpoints(self, node: Node[Any]) -> Node[Any]:
        """The node with the checkpoints that other nodes made put in as literals."""
        made = {
            port: self.results[child]
            for port, child in node.wires
            if child.output is Checkpoint and "[" not in port
        }
        return node.but(**made) if made else node

    def _progress(self, name: str) -> events.Progress:
        def progress(
            step: int, total: int, *, loss: float | None = None, note: str | None = None
        ) -> None:
            if self._stop.is_set():
                raise Stopped
            self._clock.emit(events.Stepped, name, step, total, loss, note)

        return progress

    def _provenance(self, step: Step) -> str:
        """The record of what a step saves; "" where none is wanted."""
        if not self._metadata:
            return ""
        graph, names = self._plan.graph.only(step.node), self._plan.graph.names
        made = provenance.record(
            graph, plain_name(step.name), device=self._plan.device, dtype=self._plan.dtype,
            sources=self._sources, weights=self._weights,
            altered={names[n]: self._altered[n] for n in graph.nodes if n in self._altered},
        )  # fmt: skip
        return made.to_text()

    def _report(self, happened: str, **details: Any) -> None:
        if happened == "loaded":
            self.loads += 1
            self.bytes_loaded += details["file_bytes"]
        kinds = {"loaded": events.Loaded, "evicted": events.Evicted, "moved": events.Moved}
        self._clock.emit(partial(kinds[happened], **details))


def _of_kind(node: Node[Any], value: Any) -> Any:
    """The value, which must be of the kind that the node's class promises."""
    wanted = type(node).definition.output
    for each in value if isinstance(value, Series) else (value,):
        if not isinstance(each, wanted) and not (wanted is float and type(each) is int):
            break
    else:
        return value
    raise ValueRefused(
        f"run returned {describe(each)}, wanted {a(wanted)}: {type(node).__name__} is a "
        f"Node[{wanted.__name__}]"
    )
