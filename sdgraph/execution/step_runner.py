"""One step of a plan: reuse what is remembered, or lease, run, remember; then release."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

from sdgraph import events
from sdgraph.errors import InvalidValueError, NodeFailedError, Problem
from sdgraph.graph import Node, a, describe, late_checkpoint, plain_name
from sdgraph.memoize import memoized_scope
from sdgraph.memory import Replanner
from sdgraph.models import (
    ModelCache,
    Models,
    Prefetcher,
    PrefetchRequest,
    ResolvedPart,
    devices,
    resolved_answers,
)
from sdgraph.provenance import hash_source_files, make_record
from sdgraph.store import Store
from sdgraph.values import Checkpoint, Part, Series, run_per_frame

from .oom_fallback import attempt, exhausted, rungs
from .plan_data import Plan, Step
from .planning import requirements
from .results import Results
from .stage_cache import recalling

_STAGE_BYTES = 64 * 2**20
"""What the results of stages may take in a run that remembers nothing."""


class RunStoppedError(Exception):
    """Raised inside a node, at its next step, when the run is being stopped."""


class Steps:
    """Does the steps of one plan; steps may be done in several threads."""

    def __init__(
        self,
        plan: Plan,
        models: ModelCache,
        results: Results,
        dtype: str,
        clock: events.EventEmitter,
        *,
        metadata: bool = True,
    ) -> None:
        self.loads = 0
        self.bytes_loaded = 0
        self._plan = plan
        self._models = models
        self._results = results
        self._stages = results.store if results.store is not None else Store(_STAGE_BYTES)
        """Where the results of nodes' stages are kept, if only for this run."""
        self._dtype = dtype
        self._clock = clock
        saves = any("provenance" in type(step.node).definition.services for step in plan.steps)
        self._metadata = metadata
        # Now, for a file may change while the nodes that were made of it are still to be saved.
        self._sources = hash_source_files(plan.graph) if metadata and saves else {}
        self._weights = {
            use.resolved.part: use.resolved.hashed_files for step in plan.steps for use in step.uses
        }
        self._stop = threading.Event()
        self._places = {step.node: place for place, step in enumerate(plan.steps)}
        actions = [step.memory_actions for step in plan.steps]
        self._replanner = Replanner(
            requirements(plan.steps, plan.device), actions, plan.limits, plan.contents
        )

        self._reader = Prefetcher()
        self._files = {
            use.component.key: tuple(path for path, _ in use.resolved.hashed_files)
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
        key = self._results.find(step, self._plan)
        if step.node in self._results.values:
            return
        began = self._clock.now()
        value = self._run(step)
        seconds = self._clock.now() - began
        self._results.keep(step, self._plan, key, value, seconds)
        # Told when it is kept: what was told of is there after any end of the process.
        file = str(value) if step.node.effect and isinstance(value, Path) else None
        self._clock.emit(events.NodeFinished, step.name, seconds, file)

    def release(self, node: Node[Any]) -> None:
        """Drops a result that nobody will read."""
        if self._results.values.pop(node, None) is not None:
            self._clock.emit(events.Released, self._plan.graph.names[node])

    def failed(self, failure: NodeFailedError) -> None:
        """Says that a step failed."""
        self._clock.emit(events.NodeFailed, failure.node, failure.message)

    def skipped(self, step: Step, failed: Step) -> None:
        """Says that a step is not done, as one failed that it needs."""
        self._clock.emit(events.Skipped, step.name, failed.name)

    def _run(self, step: Step) -> Any:
        node = step.node
        self._clock.emit(events.NodeStarted, step.name, type(node).__name__)
        arguments = node.arguments(self._results.values)
        services = type(node).definition.services
        if services:
            if late_checkpoint(node):
                node = self._results.with_checkpoints(node)
            if "progress" in services:
                arguments["progress"] = self._progress(step.name)
            if "provenance" in services:
                arguments["provenance"] = self._provenance(step)
        if self._stop.is_set():
            raise RunStoppedError
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
                self._results.altered.setdefault(step.node, []).append(rung.told)
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
        work: Callable[[Mapping[str, Any]], Any]
        if type(node).gathers:
            work = lambda arguments: node.run(**arguments)  # noqa: E731
        else:
            work = partial(run_per_frame, node.run, self._progress(step.name))
        known = type(node).definition
        # What it asks of the checkpoints that it has leased is answered as it was for the plan, and
        # once for all frames; but a training may ask for what it has written.
        if "models" not in known.services or issubclass(known.output, Checkpoint):
            return work
        planned = resolved_answers(*(use.resolved.owner for use in step.uses))
        return memoized_scope(planned)(work)

    def _lease(self, node: Node[Any], step: Step) -> AbstractContextManager[Models]:
        """The lease of what the plan names, or of what a late checkpoint turns out to need."""
        parts: Mapping[str, Part | ResolvedPart]
        parts = {use.name: use.resolved for use in step.uses} or node.parts()
        choose_actions = partial(self._replanner.actions_before, self._places[step.node])
        return self._models.lease(
            parts,
            self._plan.device,
            self._dtype,
            self._report,
            choose_actions=choose_actions,
        )

    def _reads(self, step: Step) -> Callable[[], object] | None:
        """What has the files of the components that are loaded next read in the background."""
        if not step.prefetch:
            return None
        readings = [
            PrefetchRequest(
                self._files[each.key],
                partial(self._clock.emit, events.Prefetched, each.name, each.file_bytes),
            )
            for each in step.prefetch
        ]
        return partial(self._reader.read, readings)

    def _progress(self, name: str) -> events.Progress:
        def progress(
            step: int, total: int, *, loss: float | None = None, note: str | None = None
        ) -> None:
            if self._stop.is_set():
                raise RunStoppedError
            self._clock.emit(events.Stepped, name, step, total, loss, note)

        return progress

    def _provenance(self, step: Step) -> str:
        """The record of what a step saves; "" where none is wanted."""
        if not self._metadata:
            return ""
        graph, names = self._plan.graph.only(step.node), self._plan.graph.names
        changed = self._results.changed  # nobody knows which of their contents was read
        made = make_record(
            graph,
            plain_name(step.name),
            device=self._plan.device,
            dtype=self._plan.dtype,
            sources={path: sha for path, sha in self._sources.items() if path not in changed},
            weights=self._weights,
            altered=self._results.altered_in({node: names[node] for node in graph.nodes}),
        )
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
    fix = f"{type(node).__name__} is a Node[{wanted.__name__}]: make the two agree"
    raise InvalidValueError(Problem("run", f"it returned {describe(each)}", a(wanted), fix))
