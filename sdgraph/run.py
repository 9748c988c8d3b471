"""The loop that walks a plan: lease, run, remember, release, and say what happened."""

from __future__ import annotations

import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cache
from typing import Any, TypeVar, overload

from . import checkpoints, devices, events
from .errors import CheckpointError, InvalidWorkflow, NodeFailed
from .glance import one_look
from .graph import Graph
from .models import ModelCache
from .node import Node
from .plan import Plan
from .plan import plan as make_plan
from .schedule import Schedule
from .steps import Steps
from .store import Store
from .weights import Checkpoint
from .workflow import Workflow

T = TypeVar("T")


@dataclass
class Session:
    """What outlives a run: loaded components, remembered results, the device to run on.

    `device` None takes the first accelerator there is; `dtype` None follows the device; `store`
    None remembers nothing between runs; without `metadata` no file says how it was made.
    """

    device: str | None = None
    dtype: str | None = None
    models: ModelCache = field(default_factory=ModelCache)
    store: Store | None = field(default_factory=Store)
    metadata: bool = True

    def plan(self, graph: Graph) -> Plan:
        """The plan for a graph as this session would run it; torch is not imported for it.

        Raises InvalidWorkflow, and ValueRefused where a node alone is above a budget.
        """
        with one_look():
            _refuse_problems(graph)
            return self._planned(graph, *self._place(graph))

    def run(self, graph: Graph, on_event: events.Listener | None = None) -> dict[str, Any]:
        """Runs a graph; returns the values of its targets by name.

        Raises InvalidWorkflow before anything is loaded when files or configs show a problem,
        NodeFailed when a node raises. Finished files stay.
        """
        with one_look():
            _refuse_problems(graph)
            device, dtype = self._place(graph, sure=True)
            made = self._planned(graph, device, dtype)
        clock = events.Clock(on_event)
        if fetches := made.fetches:
            _fetch(graph, fetches, clock)
            with one_look():
                _refuse_problems(graph)
                made = self._planned(graph, device, dtype)
        steps = Steps(made, self.models, self.store, dtype, clock, self.metadata)
        reused = sum(step.action == "reuse" for step in made.steps)
        clock.emit(events.RunStarted, len(made.steps) - reused, reused, device)
        try:
            Schedule(made, steps).execute()
        finally:
            steps.close()
            self.models.rest()
        clock.emit(events.RunFinished, clock.now(), steps.loads, steps.bytes_loaded)
        return {graph.names[node]: steps.results[node] for node in graph.targets}

    def _place(self, graph: Graph, *, sure: bool = False) -> tuple[str, str]:
        """The device and the dtype to run in; torch is asked if need be, and only if `sure`.

        A plan may be for a device that is elsewhere.
        """
        if any("models" in type(node).definition.services for node in graph.nodes):
            known = self.device is None and "torch" in sys.modules
            device = (devices.choose if sure or known else devices.likely)(self.device)
            return device, self.dtype or devices.dtype_for(device)
        return self.device or "cpu", self.dtype or "float32"

    def _planned(self, graph: Graph, device: str, dtype: str | None) -> Plan:
        return make_plan(
            graph, store=self.store, device=device, dtype=dtype,
            room=self.models.room(device), held=self.models.residence(device),
        )  # fmt: skip


def _refuse_problems(graph: Graph) -> None:
    problems = graph.check()
    if problems:
        raise InvalidWorkflow(problems)


def _fetch(graph: Graph, fetches: dict[Checkpoint, Node[Any]], clock: events.Clock) -> None:
    for checkpoint, node in fetches.items():
        clock.emit(events.Fetching, checkpoint.source)
        try:
            checkpoints.weights(checkpoint)
        except CheckpointError as error:
            mark = graph.mark(node, "checkpoint")
            clock.emit(events.NodeFailed, graph.names[node], str(error))
            raise NodeFailed(graph.names[node], str(error), mark) from error


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
    **inputs: Any,
) -> dict[str, Any]: ...


@overload
def run(
    target: Node[T],
    /,
    *,
    session: Session | None = None,
    on_event: events.Listener | None = None,
) -> T: ...


@overload
def run(
    target: Node[Any],
    /,
    *more: Node[Any],
    session: Session | None = None,
    on_event: events.Listener | None = None,
) -> tuple[Any, ...]: ...


def run(
    target: Workflow | Graph | Node[Any],
    /,
    *more: Node[Any],
    session: Session | None = None,
    on_event: Callable[[events.Event], None] | None = None,
    **inputs: Any,
) -> Any:
    """What the targets make: one node's value, several nodes' values, or a workflow's by name.

    Equal nodes run once, within a call and, while the session remembers, between calls.
    Raises InvalidWorkflow (nothing was loaded) or NodeFailed (its `__cause__` says why).
    """
    session = session or default_session()
    _refuse_extra(target, more, inputs)
    if isinstance(target, Workflow):
        return session.run(target.graph(**inputs), on_event)
    if isinstance(target, Graph):
        return session.run(target, on_event)
    graph = Graph.of(target, *more)
    values = session.run(graph, on_event)
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
    """The plan for nodes, a graph or a workflow, before torch is imported.

    Raises InvalidWorkflow with every problem found.
    """
    _refuse_extra(target, more, inputs)
    if isinstance(target, Workflow):
        target = target.graph(**inputs)
    graph = target if isinstance(target, Graph) else Graph.of(target, *more)
    return Session(store=None).plan(graph)
