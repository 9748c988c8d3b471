"""`run` and `plan`: the two functions that need no session."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, TypeVar, overload

from sdgraph import events
from sdgraph.graph import Graph, Node
from sdgraph.language import Workflow

from .plan_data import Plan
from .session import Session, default_session

T = TypeVar("T")


@overload
def run(
    target: Workflow | Graph,
    /,
    *,
    session: Session | None = None,
    on_event: events.Listener | None = None,
    keep_going: bool = False,
    overwrite: bool = False,
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
    overwrite: bool = False,
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
    overwrite: bool = False,
    uncached: Iterable[Node[Any]] = (),
) -> tuple[Any, ...]: ...


def run(
    target: Workflow | Graph | Node[Any],
    /,
    *more: Node[Any],
    session: Session | None = None,
    on_event: events.Listener | None = None,
    keep_going: bool = False,
    overwrite: bool = False,
    uncached: Iterable[Node[Any]] = (),
    **inputs: Any,
) -> Any:
    """Runs nodes, a graph or a workflow, and returns what they make.

    Equal nodes run once, within a call and, while the session remembers results, between calls.

    Args:
        target: A node, a graph or a workflow.
        *more: Further nodes, if the target is a node.
        session: Where it runs; None for the session that all calls without one share.
        on_event: Called with each event as it happens, from one thread at a time.
        keep_going: Whether to continue after a failure with all nodes that need no failed node.
        overwrite: Whether files that are there already are replaced, whatever the field `existing`
            of their nodes says.
        uncached: Nodes that run even if their results are remembered.
        **inputs: The inputs of a workflow by name.

    Returns:
        The value of one node; a tuple of the values of several; or, for a graph or a workflow, the
        values of its targets by name.

    Raises:
        InvalidWorkflowError: With every problem that was found; nothing was loaded.
        InvalidValueError: A node alone is above a budget that was set; nothing was loaded.
        NodeFailedError: A node raised an exception, which is the `__cause__`.
        NodesFailedError: Several nodes failed, with `keep_going`.
        TypeError: An argument is not for this kind of target.

    Example:
        >>> from sdgraph import run
        >>> from sdgraph.nodes import Mask
        >>> run(Mask(box=[8, 8, 24, 24], width=32, height=32)).size
        (32, 32)
    """
    _refuse_unusable(target, more, inputs, uncached)
    graph = _make_graph(target, more, uncached, inputs)
    run_graph = (session or default_session()).run
    values = run_graph(graph, on_event, keep_going=keep_going, overwrite=overwrite)
    if not isinstance(target, Node):
        return values
    results = tuple(values[graph.names[node]] for node in (target, *more))
    return results if more else results[0]


def _make_graph(
    target: Workflow | Graph | Node[Any],
    more: Sequence[Node[Any]],
    uncached: Iterable[Node[Any]],
    inputs: Mapping[str, Any],
) -> Graph:
    """The graph of a workflow with its inputs, or of some nodes."""
    if isinstance(target, Workflow):
        return target.graph(**inputs)
    return target if isinstance(target, Graph) else Graph.of(target, *more, uncached=uncached)


def _refuse_unusable(
    target: object,
    more: tuple[Node[Any], ...],
    inputs: dict[str, Any],
    uncached: Iterable[Node[Any]] = (),
) -> None:
    """Raises TypeError for arguments that are not for this kind of target."""
    if inputs and not isinstance(target, Workflow):
        raise TypeError(f"only a workflow takes inputs; found {', '.join(inputs)}")
    if more and not isinstance(target, Node):
        raise TypeError("found further targets after a workflow or graph; wanted it alone")
    if uncached and not isinstance(target, Node):
        raise TypeError("found `uncached` with a workflow or graph; wanted it with nodes only")


def plan(target: Workflow | Graph | Node[Any], /, *more: Node[Any], **inputs: Any) -> Plan:
    """The plan for nodes, a graph or a workflow; torch is not imported for it.

    The plan assumes that nothing is loaded or remembered; `Session.plan` takes both into account.

    Args:
        target: A node, a graph or a workflow.
        *more: Further nodes, if the target is a node.
        **inputs: The inputs of a workflow by name.

    Returns:
        The steps in order, with what each loads, and the memory that they take.

    Raises:
        InvalidWorkflowError: With every problem that was found.
        TypeError: An argument is not for this kind of target.

    Example:
        >>> from sdgraph import load_workflow, plan
        >>> inpaint_plan = plan(load_workflow("inpaint"), seed=7)
        >>> [step.name for step in inpaint_plan.steps]
        ['file', 'photo', 'mask', 'star', 'result']
        >>> inpaint_plan.bytes_loaded > 0
        True
    """
    _refuse_unusable(target, more, inputs)
    if isinstance(target, Workflow):
        target = target.graph(**inputs)
    graph = target if isinstance(target, Graph) else Graph.of(target, *more)
    return Session(store=None).plan(graph)
