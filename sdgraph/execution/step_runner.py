"""Runs one step of a plan.

1. The step's result is looked up; a remembered one is taken, and the node does not run.
2. The node's arguments are put together: results of other nodes, progress, the provenance record.
3. A node with models gets a lease: the actions of the plan, or those of the replanner, change
   memory, and files that the next loading step needs are read ahead in the background.
4. The node runs, once per frame if its inputs are series. If memory runs out, the fallbacks of
   `oom_fallback` are tried one after another.
5. The result is checked. Files that the node has written are given their places.
6. The result is kept in memory and remembered.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from functools import cached_property, partial
from pathlib import Path
from typing import Any

from sdgraph import events
from sdgraph.errors import InvalidValueError, NodeFailedError, Problem
from sdgraph.files import refuse_outside, write_only_in
from sdgraph.graph import (
    Node,
    all_target_files,
    describe_kind,
    describe_value,
    has_computed_checkpoint,
    name_without_variant,
    target_files,
)
from sdgraph.memoize import memoized_scope
from sdgraph.memory import Replanner
from sdgraph.models import (
    ModelCache,
    Models,
    Prefetcher,
    PrefetchRequest,
    ResolvedPart,
    memoized_resolutions,
)
from sdgraph.models.loading import devices
from sdgraph.progress import Progress
from sdgraph.provenance import hash_source_files, make_record
from sdgraph.store import Store
from sdgraph.values import Checkpoint, Part, Series, run_per_frame

from .oom_fallback import attempt, fallbacks, out_of_memory_error
from .plan_data import Plan, Step
from .planning import requirements
from .results import Results
from .stage_cache import make_recall
from .target_files import TargetFiles

_STAGE_BYTES = 64 * 2**20
"""The bytes that the results of stages may take in a run that remembers nothing."""


class RunStoppedError(Exception):
    """Raised inside a node, at its next step, when the run is being stopped."""


class StepRunner:
    """Runs the steps of one plan; several threads may run steps at the same time."""

    def __init__(
        self,
        plan: Plan,
        models: ModelCache,
        results: Results,
        dtype: str,
        emitter: events.EventEmitter,
        *,
        metadata: bool = True,
    ) -> None:
        self.loads = 0
        self.bytes_loaded = 0
        self._plan = plan
        self._models = models
        self._results = results
        self._stage_store = results.store if results.store is not None else Store(_STAGE_BYTES)
        """Remembers the results of nodes' stages, if necessary only for this run."""
        self._dtype = dtype
        self._emitter = emitter
        saves = any("provenance" in type(step.node).definition.services for step in plan.steps)
        self._metadata = metadata
        # Hashed now, because a file may change before the result made from it is saved.
        self._sources = hash_source_files(plan.graph) if metadata and saves else {}
        self._weights = {
            use.resolved.part: use.resolved.hashed_files for step in plan.steps for use in step.uses
        }
        self._stop = threading.Event()
        self._positions = {step.node: position for position, step in enumerate(plan.steps)}
        actions = [step.memory_actions for step in plan.steps]
        self._replanner = Replanner(
            requirements(plan.steps, plan.device), actions, plan.limits, plan.contents
        )
        self._prefetcher = Prefetcher()
        self._files = {
            use.component.key: tuple(path for path, _ in use.resolved.hashed_files)
            for step in plan.steps
            for use in step.uses
        }

    def close(self) -> None:
        """Stops reading files ahead."""
        self._prefetcher.close()

    def stop(self) -> None:
        """Makes every running node stop at its next step."""
        self._stop.set()

    def run(self, step: Step) -> None:
        """Runs one step whose inputs are known.

        Raises whatever the node raises, and LostRecordError if a remembered result is gone.
        """
        key = self._results.look_up(step, self._plan)
        if step.node in self._results.values:
            return
        began = self._emitter.now()
        value, file = self._run_node(step)
        seconds = self._emitter.now() - began
        self._results.keep(step, self._plan, key, value, seconds)
        # Reported after it is kept, so that it is remembered even if the process is killed then.
        if file is None and step.node.effect and isinstance(value, Path):
            file = value
        written = None if file is None else str(file)
        self._emitter.emit(events.NodeFinished, step.name, seconds, written)

    def release(self, node: Node[Any]) -> None:
        """Drops a result that no step will read."""
        if self._results.values.pop(node, None) is not None:
            self._emitter.emit(events.Released, self._plan.graph.names[node])

    def report_failed(self, failure: NodeFailedError) -> None:
        """Reports that a step failed."""
        self._emitter.emit(events.NodeFailed, failure.node, failure.message, failure.problems)

    def report_skipped(self, step: Step, failed: Step) -> None:
        """Reports that a step is not run because it needs a failed one."""
        self._emitter.emit(events.Skipped, step.name, failed.name)

    def _run_node(self, step: Step) -> tuple[Any, Path | None]:
        """The value of a step's node, and the file that it wrote."""
        node = step.node
        self._emitter.emit(events.NodeStarted, step.name, type(node).__name__)
        arguments = node.arguments(self._results.values)
        services = type(node).definition.services
        if services:
            if has_computed_checkpoint(node):
                node = self._results.with_checkpoints(node)
            if "progress" in services:
                arguments["progress"] = self._make_progress(step.name)
            if "provenance" in services:
                arguments["provenance"] = self._provenance_record(step)
        if self._stop.is_set():
            raise RunStoppedError
        with write_only_in(self._plan.graph.output_folders):
            for _, path in target_files(node):  # a link may have been made since the checks
                refuse_outside(path)
            if not type(node).definition.target_files:
                return self._compute(step, node, arguments), None
            with TargetFiles(
                node,
                overwrite=self._plan.graph.overwrite,
                reserved=self._all_target_files,
                record=partial(self._make_record, step),
            ) as files:
                value = self._compute(step, files.node, arguments)
        return files.path_of(value), files.first

    def _compute(self, step: Step, node: Node[Any], arguments: dict[str, Any]) -> Any:
        """What a node makes of its arguments; raises InvalidValueError for a wrong kind."""
        if "models" in type(node).definition.services:
            value = self._run_with_models(step, node, arguments)
        else:
            value = self._make_function(step, node)(arguments)
        return _check_output(node, value)

    @cached_property
    def _all_target_files(self) -> frozenset[Path]:
        return all_target_files(self._plan.graph)

    def _run_with_models(self, step: Step, node: Node[Any], arguments: dict[str, Any]) -> Any:
        """The node's value; if memory runs out, that of the first fallback that is enough."""
        reason, value = attempt(
            self._lease(node, step),
            self._make_function(step, node),
            arguments,
            self._prefetch_function(step),
            make_recall(step, self._stage_store),
        )
        if reason is None:
            return value
        return self._run_fallbacks(step, node, arguments, reason)

    def _run_fallbacks(
        self, step: Step, node: Node[Any], arguments: dict[str, Any], reason: str | None
    ) -> Any:
        tried: list[str] = []
        for fallback in fallbacks(node, self._plan.device):
            devices.give_back(self._plan.device)
            self._emitter.emit(events.Retried, step.name, reason, fallback.description)
            tried.append(fallback.description)
            if fallback.unload:
                self._models.unload(report=self._report)
            if fallback.altered:
                self._results.alterations.setdefault(step.node, []).append(fallback.description)
            dtype = self._dtype if fallback.device != "cpu" else devices.default_dtype("cpu")
            lease = self._models.lease(fallback.node.parts(), fallback.device, dtype, self._report)
            reason, value = attempt(lease, self._make_function(step, fallback.node), arguments)
            if reason is None:
                return value
        raise out_of_memory_error(self._plan.device, reason or "", tried)

    def _make_function(self, step: Step, node: Node[Any]) -> Callable[[Mapping[str, Any]], Any]:
        """A function of the arguments that returns the node's value; for series, frame by frame."""
        function: Callable[[Mapping[str, Any]], Any]
        if type(node).gathers:
            function = lambda arguments: node.run(**arguments)  # noqa: E731
        else:
            function = partial(run_per_frame, node.run, self._make_progress(step.name))
        definition = type(node).definition
        # Leased checkpoints stay resolved as they were for the plan, once for all frames. This is
        # not for a training, which may read checkpoints that it has just written.
        if "models" not in definition.services or issubclass(definition.output, Checkpoint):
            return function
        planned = memoized_resolutions(*(use.resolved.owner for use in step.uses))
        return memoized_scope(planned)(function)

    def _lease(self, node: Node[Any], step: Step) -> AbstractContextManager[Models]:
        """The lease of the planned components, or of those of a checkpoint made during the run."""
        parts: Mapping[str, Part | ResolvedPart]
        parts = {use.name: use.resolved for use in step.uses} or node.parts()
        return self._models.lease(
            parts,
            self._plan.device,
            self._dtype,
            self._report,
            choose_actions=partial(self._replanner.actions_before, self._positions[step.node]),
        )

    def _prefetch_function(self, step: Step) -> Callable[[], object] | None:
        """A function that starts to read the files that the plan reads ahead during the step."""
        if not step.prefetch:
            return None
        readings = [
            PrefetchRequest(
                self._files[component.key],
                partial(
                    self._emitter.emit, events.Prefetched, component.name, component.file_bytes
                ),
            )
            for component in step.prefetch
        ]
        return partial(self._prefetcher.read, readings)

    def _make_progress(self, name: str) -> Progress:
        def progress(
            step: int, total: int, *, loss: float | None = None, note: str | None = None
        ) -> None:
            if self._stop.is_set():
                raise RunStoppedError
            self._emitter.emit(events.Stepped, name, step, total, loss, note)

        return progress

    def _provenance_record(self, step: Step) -> str:
        """The record that a step saves with its file; "" if none is wanted."""
        return self._make_record(step) if self._metadata else ""

    def _make_record(self, step: Step) -> str:
        """How a step's file was made."""
        graph, names = self._plan.graph.subgraph(step.node), self._plan.graph.names
        changed = self._results.changed_files  # it is not known which content was read
        sources = {path: sha for path, sha in self._sources.items() if path not in changed}
        record = make_record(
            graph,
            name_without_variant(step.name),
            device=self._plan.device,
            dtype=self._plan.dtype,
            sources=sources if self._sources else None,  # without metadata they are hashed now
            weights=self._weights,
            altered=self._results.alterations_by_name({node: names[node] for node in graph.nodes}),
        )
        return record.to_text()

    def _report(self, happened: str, **details: Any) -> None:
        if happened == "loaded":
            self.loads += 1
            self.bytes_loaded += details["file_bytes"]
        kinds = {"loaded": events.Loaded, "evicted": events.Evicted, "moved": events.Moved}
        self._emitter.emit(partial(kinds[happened], **details))


def _check_output(node: Node[Any], value: Any) -> Any:
    """Returns the value; raises InvalidValueError if it is not of the node's output type."""
    kind = type(node).definition.output
    for item in value if isinstance(value, Series) else (value,):
        if not isinstance(item, kind) and not (kind is float and type(item) is int):
            found = f"it returned {describe_value(item)}"
            fix = f"{type(node).__name__} is a Node[{kind.__name__}]: make the two agree"
            if type(item).__module__.startswith("PIL.") and hasattr(kind, "from_pil"):
                fix = f"return {kind.__name__}.from_pil(…) of it"
            raise InvalidValueError(Problem("run", found, describe_kind(kind), fix))
    return value
