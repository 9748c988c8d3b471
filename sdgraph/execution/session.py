"""The loop that walks a plan: lease, run, remember, release, and say what happened."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar, overload

from sdgraph import events
from sdgraph.errors import CheckpointError, InvalidWorkflowError, NodeFailedError
from sdgraph.graph import Graph, Node
from sdgraph.language import Workflow
from sdgraph.memoize import memoized_scope, unmemoized
from sdgraph.models import ModelCache, devices, fetch_checkpoint, process_records
from sdgraph.store import LostRecordError, Store, StoredResult
from sdgraph.values import Checkpoint

from .executor import Schedule
from .plan_data import Plan
from .planning import make_plan
from .results import Results
from .step_runner import Steps

T = TypeVar("T")


def _listed_model_cache() -> ModelCache:
    """A model cache that other processes can list: it writes down what it holds."""
    return ModelCache(watch=process_records.ProcessRecord())


@dataclass
class Session:
    """What runs have in common: the device, the loaded components and the remembered results.

    Args:
        device: Where to compute, such as "cpu", "cuda:1" or "mps"; the first accelerator, or the
            CPU, if None.
        dtype: "float32", "float16" or "bfloat16"; float16 on an accelerator and float32 on the CPU
            if None.
        models: The cache of loaded components, with its memory limits. `sdgraph models` lists what
            the default one holds.
        store: The remembered results; None remembers nothing between runs.
        metadata: Whether saved files say how they were made.

    Example:
        >>> from sdgraph import Graph, Session, Store
        >>> from sdgraph.nodes import Text
        >>> from sdgraph.values import Image
        >>> import numpy as np
        >>> picture = Image(np.zeros((32, 64, 3), np.uint8))
        >>> session = Session(device="cpu", store=Store())
        >>> session.run(Graph.of(Text(image=picture, text="star")))
        {'text': Image(64×32 RGB)}
    """

    device: str | None = None
    dtype: str | None = None
    models: ModelCache = field(default_factory=_listed_model_cache)
    store: Store | None = field(default_factory=Store)
    metadata: bool = True

    def plan(self, graph: Graph) -> Plan:
        """The plan for a graph as this session would run it; does not import torch.

        Args:
            graph: What to plan.

        Raises:
            InvalidWorkflowError: Files or configs show a problem.
            InvalidValueError: A single node needs more memory than the limits allow.
        """
        with memoized_scope():
            _refuse_problems(graph)
            return self._planned(graph, *self._place(graph))

    def run(
        self, graph: Graph, on_event: events.Listener | None = None, *, keep_going: bool = False
    ) -> dict[str, Any]:
        """Runs a graph.

        Args:
            graph: What to run.
            on_event: Receives the events of the run.
            keep_going: After a failure, run all nodes that do not need the failed one.

        Returns:
            The values of the targets by the name of their node.

        Raises:
            InvalidWorkflowError: Files or configs show a problem; nothing was loaded.
            NodeFailedError: A node raised an exception; files that are finished stay.
        """
        clock = events.EventEmitter(on_event)
        made = self._prepared(graph, clock)
        reused = sum(step.action == "reuse" for step in made.steps)
        clock.emit(events.RunStarted, len(made.steps) - reused, reused, made.device)
        for warning in self.store.take_warnings() if self.store is not None else ():
            clock.emit(events.Warned, warning)
        with unmemoized():  # what changes during the run is seen
            results = self._carried_out(made, clock, keep_going)
        return {graph.names[node]: results[node] for node in graph.targets}

    def _prepared(
        self,
        graph: Graph,
        clock: events.EventEmitter,
        made: Mapping[Node[Any], StoredResult] | None = None,
    ) -> Plan:
        """The plan of a run, every checkpoint that it loads being here."""
        with memoized_scope():
            _refuse_problems(graph)
            found = self._surely_planned(graph, made)
            fetches = found.fetches
        if fetches:
            with unmemoized():
                _fetch(graph, fetches, clock)
            with memoized_scope({}):
                _refuse_problems(graph)
                found = self._planned(graph, found.device, found.dtype, made)
        return found

    def _carried_out(
        self, plan: Plan, clock: events.EventEmitter, keep_going: bool
    ) -> dict[Any, Any]:
        """Walks a plan; where what was remembered is lost, plans the rest anew."""
        results = Results(self.store, clock)
        loads = bytes_loaded = 0
        while True:
            steps = Steps(
                plan, self.models, results, plan.dtype or "float32", clock, metadata=self.metadata
            )
            try:
                with self.models.during_run():
                    Schedule(plan, steps, keep_going=keep_going).execute()
                break
            except LostRecordError:
                plan = self._prepared(plan.graph, clock, results.planned_anew())
            finally:
                steps.close()
                loads, bytes_loaded = loads + steps.loads, bytes_loaded + steps.bytes_loaded
        clock.emit(events.RunFinished, clock.now(), loads, bytes_loaded)
        return results.values

    def _surely_planned(self, graph: Graph, made: Mapping[Node[Any], StoredResult] | None) -> Plan:
        """The plan on a device that is there; torch is asked where a node needs it."""
        found = self._planned(graph, *self._place(graph), made)
        if found.runs_models:
            place = self._place(graph, sure=True)
            if place != (found.device, found.dtype):
                return self._planned(graph, *place, made)
        return found

    def _place(self, graph: Graph, *, sure: bool = False) -> tuple[str, str]:
        """The device and the dtype to run in; torch is asked if need be, and only if `sure`.

        A plan may be for a device that is elsewhere.
        """
        if any("models" in type(node).definition.services for node in graph.nodes):
            known = self.device is None and "torch" in sys.modules
            device = (devices.choose if sure or known else devices.likely)(self.device)
            return device, self.dtype or devices.dtype_for(device)
        return self.device or "cpu", self.dtype or "float32"

    def _planned(
        self,
        graph: Graph,
        device: str,
        dtype: str | None,
        made: Mapping[Node[Any], StoredResult] | None = None,
    ) -> Plan:
        return make_plan(
            graph,
            store=self.store,
            device=device,
            dtype=dtype,
            known_results=made,
            limits=self.models.limits(device),
            contents=self.models.contents(device),
        )


def _refuse_problems(graph: Graph) -> None:
    problems = graph.check()
    if problems:
        raise InvalidWorkflowError(problems)


def _fetch(graph: Graph, fetches: dict[Checkpoint, Node[Any]], clock: events.EventEmitter) -> None:
    for checkpoint, node in fetches.items():
        clock.emit(events.Fetching, checkpoint.source)
        try:
            fetch_checkpoint(checkpoint)
        except CheckpointError as error:
            mark = graph.mark(node, "checkpoint")
            failure = NodeFailedError(graph.names[node], error.problems, mark)
            clock.emit(events.NodeFailed, failure.node, failure.message)
            raise failure from error


@cache
def default_session() -> Session:
    """The session that `run` uses when none is given; made at the first call."""
    return Session()


@overload
def run(
    target: Workflow | Graph,
    /,
    *,
    session: Session | None = None,
    on_event: events.Listener | None = None,
    keep_going: bool = False,
    **inputs: Any,
) -> dict[str, Any]: ...


@overload
def run(
    target: Node[T],
    /,
    *,
    session: Session | None = None,
    on_event: events.Listener | None = None,
    keep_going: bool = False,
    uncached: Iterable[Node[Any]] = (),
) -> T: ...


@overload
def run(
    target: Node[Any],
    /,
    *more: Node[Any],
    session: Session | None = None,
    on_event: events.Listener | None = None,
    keep_going: bool = False,
    uncached: Iterable[Node[Any]] = (),
) -> tuple[Any, ...]: ...


def run(
    target: Workflow | Graph | Node[Any],
    /,
    *more: Node[Any],
    session: Session | None = None,
    on_event: Callable[[events.Event], None] | None = None,
    keep_going: bool = False,
    uncached: Iterable[Node[Any]] = (),
    **inputs: Any,
) -> Any:
    """Runs nodes, a graph or a workflow.

    Equal nodes run once, also in a later call while the session remembers their results.

    Args:
        target: A node, a graph or a workflow.
        more: Further nodes, after a node.
        session: Where to run; by default one session for all calls.
        on_event: Receives the events of the run.
        keep_going: After a failure, run all nodes that do not need the failed one.
        uncached: Nodes that run even if their results are remembered.
        inputs: The inputs of a workflow.

    Returns:
        The value of one node, a tuple of the values of several, or for a graph or workflow a dict
        of the targets' values by name.

    Raises:
        InvalidWorkflowError: Files or configs show a problem; nothing was loaded.
        NodeFailedError: A node raised an exception, which is the error's `__cause__`.

    Example:
        >>> import numpy as np
        >>> from sdgraph import run
        >>> from sdgraph.nodes import Resize
        >>> from sdgraph.values import Image
        >>> run(Resize(image=Image(np.zeros((32, 64, 3), np.uint8)), width=16, height=8))
        Image(16×8 RGB)
    """
    session = session or default_session()
    _refuse_extra(target, more, inputs)
    if uncached and not isinstance(target, Node):
        raise TypeError("found uncached nodes beside a workflow or graph; wanted it to name them")
    if isinstance(target, Workflow):
        return session.run(target.graph(**inputs), on_event, keep_going=keep_going)
    if isinstance(target, Graph):
        return session.run(target, on_event, keep_going=keep_going)
    graph = Graph.of(target, *more, uncached=uncached)
    values = session.run(graph, on_event, keep_going=keep_going)
    if not more:
        return values[graph.names[target]]
    return tuple(values[graph.names[node]] for node in (target, *more))


def _refuse_extra(target: object, more: tuple[Node[Any], ...], inputs: dict[str, Any]) -> None:
    """Raises TypeError for what a target cannot use, rather than pass over it."""
    if inputs and not isinstance(target, Workflow):
        raise TypeError(f"only a workflow takes inputs; found {', '.join(inputs)}")
    if more and not isinstance(target, Node):
        raise TypeError("found further targets after a workflow or graph; wanted it alone")


def plan(target: Workflow | Graph | Node[Any], /, *more: Node[Any], **inputs: Any) -> Plan:
    """Plans nodes, a graph or a workflow without running it; does not import torch.

    Args:
        target: A node, a graph or a workflow.
        more: Further nodes, after a node.
        inputs: The inputs of a workflow.

    Returns:
        The steps in order, with what each loads and releases and the memory it needs.

    Raises:
        InvalidWorkflowError: Files or configs show problems; it holds all of them.

    Example:
        >>> from sdgraph import load_workflow, plan
        >>> steps = plan(load_workflow("text"), seed=7).steps
        >>> [step.name for step in steps]
        ['picture', 'result']
    """
    _refuse_extra(target, more, inputs)
    if isinstance(target, Workflow):
        target = target.graph(**inputs)
    graph = target if isinstance(target, Graph) else Graph.of(target, *more)
    return Session(store=None).plan(graph)
