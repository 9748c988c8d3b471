"""Runs one step of a plan.

1. The step's result is looked up; a remembered one is taken, and the node does not run.
2. The node's arguments are put together: results of other nodes, progress, the provenance record.
3. The node runs, once per frame if its inputs are series; one with models as `model_runner` says.
4. The result is checked. Files that the node has written are given their places.
5. The result is kept in memory and remembered.

A step that makes a stage of a node's work has no result but that of the stage, which the steps of
nodes take from `StageResults`.
"""

from __future__ import annotations

import threading
import traceback
from collections.abc import Callable
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
    needs_models,
    target_files,
)
from sdgraph.models import (
    ModelCache,
)
from sdgraph.progress import Progress
from sdgraph.provenance import hash_source_files, make_record
from sdgraph.store import LostRecordError, batch_in_key
from sdgraph.values import Series

from .event_emitter import EventEmitter
from .frame_chunks import ChunkFailedError, stream_of
from .frame_runs import has_series
from .model_runner import ModelRunner
from .plan_data import Plan, PlannedStage, Step
from .results import Results
from .target_files import TargetFiles


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
        emitter: EventEmitter,
        *,
        metadata: bool = True,
    ) -> None:
        self._plan = plan
        self._results = results
        self._emitter = emitter
        saves = any("provenance" in type(step.node).definition.services for step in plan.steps)
        self._metadata = metadata
        # Hashed now, because a file may change before the result made from it is saved.
        self._sources = hash_source_files(plan.graph) if metadata and saves else {}
        self._weights = {
            use.resolved.part: use.resolved.hashed_files for step in plan.steps for use in step.uses
        }
        self._stop = threading.Event()
        self.wait_for_turn: Callable[[], None] | None = None
        """Called when a node has written its files, before they are put in their places."""
        self.models = ModelRunner(plan, models, results, dtype, emitter, self._make_progress)

    def close(self) -> None:
        """Stops reading files ahead."""
        self.models.close()

    def stop(self) -> None:
        """Makes every running node stop at its next step."""
        self._stop.set()

    def run(self, step: Step) -> None:
        """Runs one step whose inputs are known.

        Raises whatever the node raises, and LostRecordError if a remembered result is gone.
        """
        if step.stage is not None:
            self._run_stage(step, step.stage)
            return
        if step.batch:
            self._run_batch(step)
        # A batch before it may have made its result.
        key = None
        if step.node not in self._results.values:
            key = self._results.look_up(step, self._plan)
        if step.node in self._results.values:
            self.models.stages.release(step)
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

    def _run_batch(self, step: Step) -> None:
        """Computes the nodes of a batch at once, and keeps the result of each.

        Those that it cannot compute are left to their own steps.
        """
        values = self._results.values
        known = [
            each for each in step.batch if all(child in values for _, child in each.node.wires)
        ]
        keys = {each.node: self._results.look_up(each, self._plan) for each in known}
        batch = [each for each in known if each.node not in values]
        if len(batch) < 2 or self._stop.is_set():
            return
        for each in batch:
            kind = type(each.node).__name__
            self._emitter.emit(events.NodeStarted, each.name, kind, each.not_kept, len(batch))
        began = self._emitter.now()
        arguments = [each.node.arguments(values) for each in batch]
        try:
            made = self.models.run_batch(step, batch, arguments)
        except (RunStoppedError, LostRecordError):
            raise
        except Exception as error:  # the node that it comes from raises it again in its own step
            traceback.clear_frames(error.__traceback__)
            self.models.note_other_batch(batch, "one after another")
            return
        seconds = (self._emitter.now() - began) / len(batch)
        for each, value in made:
            _check_output(each.node, value)
            self._results.keep(each, self._plan, keys[each.node], value, seconds)
            self._emitter.emit(events.NodeFinished, each.name, seconds, None)

    def _run_stage(self, step: Step, stage: PlannedStage) -> None:
        """Runs a step that makes a stage of its node's work, if it is not known by now."""
        if self._stop.is_set():
            raise RunStoppedError
        values = self._results.values
        known = {child: values.get(child) for _, child in step.node.wires}
        self.models.run_stage(step, stage, step.node.arguments(known))

    def keep_failure(self, stage: PlannedStage, error: BaseException) -> None:
        """Keeps the exception of a step for a stage, which the nodes that need it raise."""
        self.models.stages.failures[stage.key] = error

    def drop(self, node: Node[Any]) -> bool:
        """Drops a result that no step will read; returns whether there was one."""
        return self._results.values.pop(node, None) is not None

    def report_released(self, node: Node[Any]) -> None:
        """Reports that a result was dropped."""
        if self._emitter.has_listener:
            self._emitter.emit(events.Released, self._plan.graph.names[node])

    def report_failed(self, failure: NodeFailedError) -> None:
        """Reports that a step failed."""
        self._emitter.emit(events.NodeFailed, failure.node, failure.message, failure.problems)

    def report_skipped(self, step: Step, failed: Step) -> None:
        """Reports that a step is not run because it needs a failed one."""
        self._emitter.emit(events.Skipped, step.name, failed.name)

    def _run_node(self, step: Step) -> tuple[Any, Path | None]:
        """The value of a step's node, and the file that it wrote."""
        node, definition = step.node, type(step.node).definition
        if self._emitter.has_listener:
            self._emitter.emit(events.NodeStarted, step.name, type(node).__name__, step.not_kept)
        arguments = node.arguments(self._results.values)
        services = definition.services
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
            if definition.targets:
                for _, path in target_files(node):  # a link may have been made since the checks
                    refuse_outside(path)
            if not definition.target_files:
                return self._compute(step, node, arguments), None
            with TargetFiles(
                node,
                overwrite=self._plan.graph.overwrite,
                reserved=self._all_target_files,
                record=partial(self._make_record, step),
            ) as files:
                value = self._compute(step, files.node, arguments)
                if self.wait_for_turn is not None:
                    self.wait_for_turn()
        return files.path_of(value), files.first

    def _compute(self, step: Step, node: Node[Any], arguments: dict[str, Any]) -> Any:
        """What a node makes of its arguments; raises InvalidValueError for a wrong kind."""
        if needs_models(node):
            value = self.models.run(step, node, arguments)
        elif has_series(arguments):
            value = self.models.make_function(step, node)(arguments)
        else:
            value = node.run(**arguments)
        value = _check_output(node, value)
        stream = stream_of(value)
        if stream is not None:
            stream.on_error = partial(self._chunk_error, step.node)
            if node.wires and step.node in self._plan.graph.targets:
                return self._results.spooled(value)  # it must not change when files change
        return value

    def _chunk_error(self, node: Node[Any], error: Exception) -> Exception:
        """The exception that the step gets which reads a node's frames, if these cannot be made."""
        passed_on = isinstance(error, ChunkFailedError | RunStoppedError | LostRecordError)
        return error if passed_on or self._stop.is_set() else ChunkFailedError(node, error)

    @cached_property
    def _all_target_files(self) -> frozenset[Path]:
        return all_target_files(self._plan.graph)

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

    def _batch_of(self, node: Node[Any]) -> int:
        """The size of batches by which a node's bits differ from those alone; 0 for none."""
        return batch_in_key(node, self._plan.device, self._plan.dtype, self._plan.batch)

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
            batches={names[node]: batch for node in graph.nodes if (batch := self._batch_of(node))},
        )
        return record.to_text()


def _check_output(node: Node[Any], value: Any) -> Any:
    """Returns the value; raises InvalidValueError if it is not of the node's output type."""
    if not isinstance(value, Series):
        _check_item(node, value)
    elif value.stream is not None:
        value.stream.check = partial(_check_item, node)
    else:
        for item in value:
            _check_item(node, item)
    return value


def _check_item(node: Node[Any], item: Any) -> None:
    kind = type(node).definition.output
    if not isinstance(item, kind) and not (kind is float and type(item) is int):
        found = f"it returned {describe_value(item)}"
        fix = f"{type(node).__name__} is a Node[{kind.__name__}]: make the two agree"
        if type(item).__module__.startswith("PIL.") and hasattr(kind, "from_pil"):
            fix = f"return {kind.__name__}.from_pil(…) of it"
        raise InvalidValueError(Problem("run", found, describe_kind(kind), fix))
