"""Sessions, which run graphs and keep models and results between runs."""

from __future__ import annotations

import sys
import threading
from collections.abc import Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field, replace
from functools import cache
from typing import Any

from sdgraph import events
from sdgraph.errors import (
    CheckpointError,
    InvalidValueError,
    InvalidWorkflowError,
    NodeFailedError,
    Problem,
)
from sdgraph.graph import (
    Graph,
    Node,
    collect_values,
    device_problems,
    expand_checked,
    find_refused_files,
    has_counts,
    needs_models,
)
from sdgraph.memoize import memoized_scope, unmemoized
from sdgraph.models import (
    CheckpointCache,
    ModelCache,
    fetch_checkpoint,
    memoized_resolutions,
    session_scope,
)
from sdgraph.models.loading import devices, process_records
from sdgraph.store import LostRecordError, Store, StoredResult
from sdgraph.values import Checkpoint
from sdgraph.values.threads import thread_count

from .event_emitter import EventEmitter
from .plan_data import Plan
from .planning import make_plan


def _make_model_cache() -> ModelCache:
    """A model cache that records what it contains, so that other processes can list it."""
    return ModelCache(watch=process_records.ProcessRecord())


@dataclass
class Session:
    """Runs graphs on a device, and keeps loaded components and results between runs.

    Several threads may share a session, and run graphs at once: a node that computes with models
    has its device for itself, in all sessions of the process, so that runs take turns at nodes, and
    each result is the same as if its run were alone.

    Args:
        device: "cpu", "cuda", "cuda:1", ... or "mps"; None is the first accelerator, else the CPU.
        dtype: The dtype of models, such as "float16", unless a checkpoint names another; None is
            float32 on a CPU and float16 elsewhere.
        models: The loaded components and their budgets in bytes.
        store: The remembered results; None remembers nothing between runs.
        metadata: Whether saved files contain a record of how they were made.
        batch: The most nodes that are computed at once; 1 for one after another; None for as many
            as take the least time and fit in memory, where that makes the same bits.
        threads: How many nodes without models run at once, where they are worth a thread, 1..1024;
            None for as many as there are cores that the process may use.

    Raises:
        InvalidValueError: `threads` is out of range.

    Example:
        >>> from sdgraph import Graph, Session
        >>> from sdgraph.nodes import Mask
        >>> session = Session(device="cpu")
        >>> graph = Graph.of(Mask(box=[8, 8, 24, 24], width=32, height=32))
        >>> [step.action for step in session.plan(graph).steps]
        ['run']
        >>> values = session.run(graph)
        >>> [value.size for value in values.values()]
        [(32, 32)]
        >>> [step.action for step in session.plan(graph).steps]
        ['reuse']
    """

    device: str | None = None
    dtype: str | None = None
    models: ModelCache = field(default_factory=_make_model_cache)
    store: Store | None = field(default_factory=Store)
    metadata: bool = True
    batch: int | None = None
    threads: int | None = None
    _kept: CheckpointCache = field(
        default_factory=CheckpointCache, init=False, repr=False, compare=False
    )

    def __post_init__(self) -> None:
        thread_count(self.threads)
        if self.batch is not None and self.batch < 1:
            fix = "1 is one after another; None is as many as are fastest"
            problem = Problem("batch", str(self.batch), "a whole number of at least 1", fix)
            raise InvalidValueError(problem)

    def plan(self, graph: Graph) -> Plan:
        """The plan for a graph as this session would run it; torch is not imported for it.

        Args:
            graph: What is to be run.

        Returns:
            The steps in order, with what each loads, and the memory that they take.

        Raises:
            InvalidWorkflowError: Files or checkpoints of the graph have problems; with all of them.
            InvalidValueError: A node alone is above a budget that was set.
        """
        with session_scope(self._kept):
            graph = _expand(graph)
            _raise_problems(graph)
            _raise_refused_files(graph)
            return _refuse_other_devices(self._make_plan(graph, *self._device_and_dtype(graph)))

    def run(
        self,
        graph: Graph,
        on_event: events.Listener | None = None,
        *,
        keep_going: bool = False,
        overwrite: bool = False,
    ) -> dict[str, Any]:
        """Runs a graph.

        Args:
            graph: What is to be run.
            on_event: Called with each event as it happens, from one thread at a time.
            keep_going: Whether to continue after a failure with all nodes that need no failed node.
            overwrite: Whether files that are there already are replaced, whatever the field
                `existing` of their nodes says.

        Returns:
            The values of the graph's targets by their names; lists for those with a `count`.

        Raises:
            InvalidWorkflowError: Files or checkpoints have problems, or a file exists and is not to
                be replaced; nothing was loaded.
            InvalidValueError: A node alone is above a budget that was set; nothing was loaded.
            NodeFailedError: A node failed; finished files stay.
            NodesFailedError: Several nodes failed, with `keep_going`.
        """
        emitter = EventEmitter(on_event)
        if overwrite:
            graph = replace(graph, overwrite=True)
        graph = _expand(graph)
        _raise_refused_files(graph)
        plan = self._plan_and_fetch(graph, emitter)
        reused = sum(step.action == "reuse" for step in plan.steps)
        running = sum(step.action == "run" and step.stage is None for step in plan.steps)
        emitter.emit(events.RunStarted, running, reused, plan.device)
        for problem in _warnings(plan):
            emitter.emit(events.Warned, problem.as_line())
        for warning in self.store.take_warnings() if self.store is not None else ():
            emitter.emit(events.Warned, warning)
        with unmemoized():  # so that changes of files during the run are noticed
            values = self._execute(plan, emitter, keep_going)
        return collect_values(graph, values)

    def _plan_and_fetch(
        self,
        graph: Graph,
        emitter: EventEmitter,
        known_results: Mapping[Node[Any], StoredResult] | None = None,
    ) -> Plan:
        """The plan of a run, after every checkpoint that it loads has been fetched."""
        with session_scope(self._kept):
            _raise_problems(graph)
            plan = _refuse_other_devices(self._plan_on_available_device(graph, known_results))
            fetches = plan.fetches
        if fetches:
            with unmemoized():
                _fetch(graph, fetches, emitter)
            with memoized_scope({}), session_scope(self._kept):
                _raise_problems(graph)
                plan = self._make_plan(graph, plan.device, plan.dtype, known_results)
        return plan

    def _execute(self, plan: Plan, emitter: EventEmitter, keep_going: bool) -> dict[Node[Any], Any]:
        """Runs a plan; whatever happens, the results are on disk when it ends."""
        with self._batched_store():
            return self._execute_and_replan(plan, emitter, keep_going)

    def _execute_and_replan(
        self, plan: Plan, emitter: EventEmitter, keep_going: bool
    ) -> dict[Node[Any], Any]:
        """Runs a plan; if a remembered result is lost, plans the rest again."""
        # Imported here because plans need none of them, nor the readers and writers of media.
        from .executor import Executor
        from .results import Results
        from .step_runner import StepRunner

        threads = thread_count(self.threads)
        results = Results(self.store, emitter)
        loads = bytes_loaded = 0
        while True:
            dtype = plan.dtype or "float32"
            runner = StepRunner(plan, self.models, results, dtype, emitter, metadata=self.metadata)
            try:
                with self.models.during_run():
                    Executor(plan, runner, emitter, keep_going=keep_going, threads=threads).run()
                break
            except LostRecordError:
                plan = self._plan_and_fetch(plan.graph, emitter, results.take_known())
            finally:
                runner.close()
                loads, bytes_loaded = (
                    loads + runner.models.loads,
                    bytes_loaded + runner.models.bytes_loaded,
                )
        emitter.emit(events.RunFinished, emitter.now(), loads, bytes_loaded)
        return results.values

    def _plan_on_available_device(
        self, graph: Graph, known_results: Mapping[Node[Any], StoredResult] | None
    ) -> Plan:
        """The plan on an available device; torch is imported only if a node needs it."""
        plan = self._make_plan(graph, *self._device_and_dtype(graph), known_results)
        if plan.runs_models:
            available = self._device_and_dtype(graph, check=True)
            if available != (plan.device, plan.dtype):
                return self._make_plan(graph, *available, known_results)
        return plan

    def _device_and_dtype(self, graph: Graph, *, check: bool = False) -> tuple[str, str]:
        """The device to run on, and the dtype.

        Without `check` torch is not imported, and the device need not be on this machine.
        """
        if any(map(needs_models, graph.nodes)):
            torch_knows = self.device is None and "torch" in sys.modules
            choose = devices.choose_device if check or torch_knows else devices.guess_device
            device = choose(self.device)
            return device, self.dtype or devices.default_dtype(device)
        return self.device or "cpu", self.dtype or "float32"

    def _make_plan(
        self,
        graph: Graph,
        device: str,
        dtype: str | None,
        known_results: Mapping[Node[Any], StoredResult] | None = None,
    ) -> Plan:
        with self._batched_store():
            return make_plan(
                graph,
                store=self.store,
                device=device,
                dtype=dtype,
                limits=self.models.limits(device),
                contents=self.models.contents(device),
                known_results=known_results,
                batch=self.batch,
            )

    def _batched_store(self) -> AbstractContextManager[None]:
        """Within it the store looks at the disk, and writes small results, not for each alone."""
        return nullcontext() if self.store is None else self.store.batched()


def _warnings(plan: Plan) -> list[Problem]:
    """The warnings about a run's checkpoints, as they were for the plan, and about its nodes."""
    planned = (use.resolved.owner for step in plan.steps for use in step.uses)
    with memoized_scope(memoized_resolutions(*planned)):
        return [*plan.checkpoint_warnings, *plan.graph.warnings()]


def _refuse_other_devices(plan: Plan) -> Plan:
    """A plan whose components its device can load; raises InvalidWorkflowError for others."""
    loading = [step.node for step in plan.steps if step.uses]
    if problems := list(device_problems(plan.graph, loading, plan.device)):
        raise InvalidWorkflowError(problems)
    return plan


def _expand(graph: Graph) -> Graph:
    """The graph in which each node makes one value; raises InvalidWorkflowError."""
    if not has_counts(graph.nodes):
        return graph
    expanded, problems = expand_checked(graph)
    if problems:
        raise InvalidWorkflowError(problems)
    return expanded


def _raise_problems(graph: Graph) -> None:
    problems = graph.check()
    if problems:
        raise InvalidWorkflowError(problems)


def _raise_refused_files(graph: Graph) -> None:
    problems = list(find_refused_files(graph))
    if problems:
        raise InvalidWorkflowError(problems)


def _fetch(graph: Graph, fetches: dict[Checkpoint, Node[Any]], emitter: EventEmitter) -> None:
    for checkpoint, node in fetches.items():
        emitter.emit(events.Fetching, checkpoint.source)
        try:
            fetch_checkpoint(checkpoint)
        except CheckpointError as error:
            mark = graph.mark(node, "checkpoint")
            failure = NodeFailedError(graph.names[node], error.problems, mark)
            emitter.emit(events.NodeFailed, failure.node, failure.message, failure.problems)
            raise failure from error


_default_lock = threading.Lock()


def default_session() -> Session:
    """The session that `run` uses if it gets none; made at the first call."""
    with _default_lock:  # without it two threads would make one each
        return _make_default_session()


@cache
def _make_default_session() -> Session:
    return Session()
