"""Runs nodes, and stages of their work, with leased models.

1. The results of the node's stages are looked up. One that should have been made before and was
   not, because the step that was to make it failed or found its own result, is made now.
2. The node gets a lease: the actions of the plan, or those of the replanner, change memory, and
   files that the next loading step needs are read ahead in the background.
3. The node runs, once per frame if its inputs are series. If memory runs out, the fallbacks of
   `oom_fallback` are tried one after another.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

from sdgraph import events
from sdgraph.graph import Node
from sdgraph.memoize import memoized_scope
from sdgraph.memory import Component, Replanner
from sdgraph.models import (
    ModelCache,
    Models,
    Prefetcher,
    PrefetchRequest,
    ResolvedPart,
    Weights,
    memoized_resolutions,
)
from sdgraph.models.loading import devices
from sdgraph.progress import Progress
from sdgraph.store import batch_in_key
from sdgraph.values import Checkpoint, Part

from .event_emitter import EventEmitter
from .frame_runs import frame_function
from .oom_fallback import Fallback, attempt, fallbacks, out_of_memory_error
from .plan_data import ComponentUse, Plan, PlannedStage, Step
from .planning import requirements
from .results import Results
from .stage_results import Recall, StageResults


class ModelRunner:
    """Runs the steps of one plan that compute with models, one after another."""

    def __init__(
        self,
        plan: Plan,
        models: ModelCache,
        results: Results,
        dtype: str,
        emitter: EventEmitter,
        make_progress: Callable[[str], Progress],
    ) -> None:
        self.loads = 0
        self.bytes_loaded = 0
        self.stages = StageResults(plan, results)
        self._plan = plan
        self._models = models
        self._results = results
        self._dtype = dtype
        self._emitter = emitter
        self._make_progress = make_progress
        self._prefetcher = Prefetcher(models.has_room_ahead)
        self._parts = {use.component.key: use.resolved for step in plan.steps for use in step.uses}

    def close(self) -> None:
        """Stops reading files ahead."""
        self._prefetcher.close()

    @cached_property
    def _positions(self) -> dict[Node[Any] | bytes, int]:
        """The position of each step in the plan."""
        return {step.result: position for position, step in enumerate(self._plan.steps)}

    @cached_property
    def _replanner(self) -> Replanner:
        plan = self._plan
        actions = [step.memory_actions for step in plan.steps]
        required = requirements(plan.steps, plan.device)
        return Replanner(required, actions, plan.limits, plan.contents)

    def run(self, step: Step, node: Node[Any], arguments: Mapping[str, Any]) -> Any:
        """The value of a step's node; if memory runs out, that of a fallback.

        Args:
            step: The step.
            node: Its node, in which checkpoints replace the nodes that made them.
            arguments: The values of its ports, and its services without the models.
        """
        try:
            recall = self._make_recall(step, node, arguments)
            reason, value = attempt(
                self._lease(step, _resolved(step.uses) or node.parts()),
                self.make_function(step, node),
                arguments,
                self._prefetch_function(step),
                recall,
            )
            if reason is not None:
                run_fallback = partial(self._run_fallback, step, arguments)
                value = self._run_fallbacks(step, node, reason, run_fallback)
        finally:
            self.stages.release(step)
        return value

    def run_batch(
        self, step: Step, batch: Sequence[Step], arguments: Sequence[Mapping[str, Any]]
    ) -> list[tuple[Step, Any]]:
        """The values of steps that are computed at once, each with its step.

        Those that memory is too short for even by two are left out. Raises what the nodes raise.

        Args:
            step: The step of the batch, whose components are leased.
            batch: The steps that are computed, or some of them.
            arguments: The values of the ports of each.
        """
        if len(batch) < 2:
            return []
        reason, values = self._attempt_batch(step, batch, arguments)
        if reason is None:
            return list(zip(batch, values, strict=True))
        devices.give_back(self._plan.device)
        half = -(-len(batch) // 2)
        change = f"{half} at once" if half > 1 else "one after another"
        self.note_other_batch(batch, change)
        self._emitter.emit(events.Retried, step.name, reason, change)
        first = self.run_batch(step, batch[:half], arguments[:half])
        return first + self.run_batch(step, batch[half:], arguments[half:])

    def note_other_batch(self, batch: Sequence[Step], change: str) -> None:
        """Notes that nodes are computed in another batch than their keys say, if these say one."""
        for step in batch:
            if batch_in_key(step.node, self._plan.device, self._dtype, self._plan.batch):
                self._note_altered(step.node, [change])

    def _attempt_batch(
        self, step: Step, batch: Sequence[Step], arguments: Sequence[Mapping[str, Any]]
    ) -> tuple[str | None, Any]:
        """Runs a batch; returns the message if memory ran out, and the values."""
        nodes = [each.node for each in batch]
        made_within = {stage.key for each in batch for stage in each.stages_to_make}
        recalls = [
            self._make_recall(each, each.node, values, made_within)
            for each, values in zip(batch, arguments, strict=True)
        ]
        progresses = [self._make_progress(each.name) for each in batch]

        def progress(number: int, total: int, **more: Any) -> None:
            for report in progresses:
                report(number, total, **more)

        def run_nodes(leased: Mapping[str, Any]) -> Sequence[Any]:
            models: Models = leased["models"]
            own = [replace(models, recall=recall) if recall else models for recall in recalls]
            return nodes[0].run_batch(nodes, own, arguments, progress)

        lease = self._lease(step, _resolved(step.uses))
        run_planned = _as_planned(step.uses, run_nodes)
        return attempt(lease, run_planned, {}, self._prefetch_function(step))

    def run_stage(self, step: Step, stage: PlannedStage, arguments: Mapping[str, Any]) -> None:
        """Makes the result of a stage by a step of its own, unless it is known by now.

        Args:
            step: The step.
            stage: Its stage.
            arguments: The values of the node's ports; None for those that the stage does not read.
        """
        if self.stages.find(stage) is None:
            lease = self._lease(step, _resolved(stage.uses))
            prefetch = self._prefetch_function(step)
            self._make_stage(step, step.node, stage, lease, arguments, prefetch)

    def make_function(self, step: Step, node: Node[Any]) -> Callable[[Mapping[str, Any]], Any]:
        """A function of the arguments that returns the node's value; for series, frame by frame."""
        progress = self._make_progress(step.name)
        function = frame_function(step, node, self._plan, self._results, progress)
        definition = type(node).definition
        # Leased checkpoints stay resolved as they were for the plan, once for all frames. This is
        # not for a training, which may read checkpoints that it has just written.
        if "models" not in definition.services or issubclass(definition.output, Checkpoint):
            return function
        return _as_planned(step.uses, function)

    def _make_recall(
        self,
        step: Step,
        node: Node[Any],
        arguments: Mapping[str, Any],
        made_within: Container[bytes] = (),
    ) -> Recall | None:
        """The function that a step's node calls for its stages; None if it has none.

        Stages with the keys in `made_within` are made by other nodes of its batch before it.

        Raises LostRecordError if the plan reuses a result that is gone, before anything is loaded
        for the step.
        """
        if not step.stages:
            return None
        stages = {stage.name: stage for stage in step.stages}
        missing = [stage for stage in step.stages if self.stages.find(stage) is None]
        for stage in missing:
            if stage.made_before and stage.key not in made_within:
                self._make_missing(step, node, stage, arguments)
        for stage in step.stages:
            self._note_altered(step.node, self.stages.alterations.get(stage.key, ()))

        def recall(name: str, make: Callable[[], bytes]) -> bytes:
            stage = stages[name]
            data = self.stages.find(stage)
            if data is None:
                began = time.monotonic()
                data = make()
                self.stages.keep(stage, data, time.monotonic() - began)
            return data

        return recall

    def _make_missing(
        self, step: Step, node: Node[Any], stage: PlannedStage, arguments: Mapping[str, Any]
    ) -> None:
        """Makes the result of a stage that no step before has made."""
        if stage.key in self.stages.failures:
            raise self.stages.failures[stage.key]
        lease = self._models.lease(
            _resolved(stage.uses), self._plan.device, self._dtype, self._report
        )
        self._make_stage(step, node, stage, lease, arguments)

    def _make_stage(
        self,
        step: Step,
        node: Node[Any],
        stage: PlannedStage,
        lease: AbstractContextManager[Models],
        arguments: Mapping[str, Any],
        on_lease: Callable[[], object] | None = None,
    ) -> None:
        name = self._plan.graph.names[step.node]
        self._emitter.emit(events.StageStarted, name, stage.name)
        began = time.monotonic()
        reason, data = attempt(lease, _stage_function(stage, node), arguments, on_lease)
        altered: list[str] = []
        if reason is not None:
            run_fallback = partial(self._run_stage_fallback, stage, arguments, altered)
            data = self._run_fallbacks(step, node, reason, run_fallback)
        seconds = time.monotonic() - began
        self.stages.keep(stage, data, seconds, altered)
        self._emitter.emit(events.StageFinished, name, stage.name, seconds)

    def _run_fallbacks(
        self,
        step: Step,
        node: Node[Any],
        reason: str,
        run_fallback: Callable[[Fallback], tuple[str | None, Any]],
    ) -> Any:
        """What the first fallback that is enough makes, for a node or a stage of its work."""
        tried: list[str] = []
        for fallback in fallbacks(node, self._plan.device):
            devices.give_back(self._plan.device)
            name = self._plan.graph.names[step.node]
            self._emitter.emit(events.Retried, name, reason, fallback.description)
            tried.append(fallback.description)
            if fallback.unload:
                self._prefetcher.drop()
                self._models.unload(report=self._report)
            failed, value = run_fallback(fallback)
            if failed is None:
                return value
            reason = failed
        raise out_of_memory_error(self._plan.device, reason, tried)

    def _run_fallback(
        self, step: Step, arguments: Mapping[str, Any], fallback: Fallback
    ) -> tuple[str | None, Any]:
        if fallback.altered:
            self._note_altered(step.node, [fallback.description])
        parts, recall = fallback.node.parts(), None
        if fallback.device == self._plan.device:
            # On another device, embeddings would have another dtype.
            used = {use.name for use in step.uses}
            left_out = step.node.parts().keys() - used if used else ()
            parts = {name: part for name, part in parts.items() if name not in left_out}
            recall = self._recall_known(step)
        dtype = self._dtype if fallback.device != "cpu" else devices.default_dtype("cpu")
        lease = self._models.lease(parts, fallback.device, dtype, self._report)
        return attempt(lease, self.make_function(step, fallback.node), arguments, recall=recall)

    def _recall_known(self, step: Step) -> Recall:
        """A function for a node's stages that keeps no new results, which may be altered."""
        stages = {stage.name: stage for stage in step.stages}

        def recall(name: str, make: Callable[[], bytes]) -> bytes:
            data = self.stages.find(stages[name]) if name in stages else None
            return make() if data is None else data

        return recall

    def _run_stage_fallback(
        self,
        stage: PlannedStage,
        arguments: Mapping[str, Any],
        altered: list[str],
        fallback: Fallback,
    ) -> tuple[str | None, Any]:
        used = {use.name for use in stage.uses}
        parts = {name: part for name, part in fallback.node.parts().items() if name in used}
        # Whatever the device, the node takes the result in the dtype of the run.
        lease = self._models.lease(parts, fallback.device, self._dtype, self._report)
        reason, data = attempt(lease, _stage_function(stage, fallback.node), arguments)
        if reason is None and fallback.altered:
            altered.append(fallback.description)
        return reason, data

    def _note_altered(self, node: Node[Any], descriptions: Iterable[str]) -> None:
        """Notes that a node's result was made with other settings than it asks for."""
        for description in descriptions:
            known = self._results.alterations.setdefault(node, [])
            if description not in known:  # once, also if it runs again after its batch
                known.append(description)

    def _lease(
        self, step: Step, parts: Mapping[str, Part | ResolvedPart]
    ) -> AbstractContextManager[Models]:
        """The lease of a step's components, with the planned actions or those of the replanner."""
        position = self._positions[step.result]
        return self._models.lease(
            parts,
            self._plan.device,
            self._dtype,
            self._report,
            choose_actions=partial(self._replanner.actions_before, position),
        )

    def _prefetch_function(self, step: Step) -> Callable[[], object] | None:
        """A function that starts to read the weights that the plan reads ahead during the step."""
        if not step.prefetch:
            return None
        return partial(self._prefetcher.read, list(map(self._prefetch_request, step.prefetch)))

    def _prefetch_request(self, component: Component) -> PrefetchRequest:
        part, (_, dtype, device) = self._parts[component.key], component.key
        return PrefetchRequest(
            tuple(path for path, _ in part.hashed_files),
            partial(self._emitter.emit, events.Prefetched, component.name, component.file_bytes),
            Weights(part, dtype, device, component.bytes),
        )

    def _report(self, happened: str, **details: Any) -> None:
        if happened == "loaded":
            self.loads += 1
            self.bytes_loaded += details["file_bytes"]
        kinds = {"loaded": events.Loaded, "evicted": events.Evicted, "moved": events.Moved}
        self._emitter.emit(partial(kinds[happened], **details))


def _resolved(uses: Sequence[ComponentUse]) -> dict[str, ResolvedPart]:
    """Components as the plan has resolved them, by the names that their node gives them."""
    return {use.name: use.resolved for use in uses}


def _as_planned(
    uses: Sequence[ComponentUse], function: Callable[[Mapping[str, Any]], Any]
) -> Callable[[Mapping[str, Any]], Any]:
    """The function, in which the checkpoints of these components stay resolved as in the plan."""
    planned = memoized_resolutions(*(use.resolved.owner for use in uses))
    return memoized_scope(planned)(function)


def _stage_function(stage: PlannedStage, node: Node[Any]) -> Callable[[Mapping[str, Any]], bytes]:
    """A function of the node's arguments that returns the result of a stage."""

    def run_stage(arguments: Mapping[str, Any]) -> bytes:
        ports = {name: arguments[name] for name in type(node).definition.ports}
        return node.run_stage(stage.name, arguments["models"], ports)

    return _as_planned(stage.uses, run_stage)
