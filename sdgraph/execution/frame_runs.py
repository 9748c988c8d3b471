"""Runs a node once, or once for each frame of what it reads."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from sdgraph.graph import Node
from sdgraph.progress import Progress
from sdgraph.values import Series, run_per_frame

from .plan_data import Plan, Step
from .results import Results


def has_series(arguments: Mapping[str, Any]) -> bool:
    """Whether some of a node's arguments are a value for each frame, so that it runs for each.

    Args:
        arguments: The arguments; a Series may also be an item of a tuple.
    """
    for value in arguments.values():
        if isinstance(value, Series):
            return True
        if type(value) is tuple and any(isinstance(item, Series) for item in value):
            return True
    return False


def frame_function(
    step: Step, node: Node[Any], plan: Plan, results: Results, progress: Progress
) -> Callable[[Mapping[str, Any]], Any]:
    """A function of a node's arguments that returns its value; for series, frame by frame.

    The frames of a stream are made later, unless a model is needed for them, or they would not be
    the same each time: then all of them are made by the function (see `frame_chunks`).

    Args:
        step: The step of the node.
        node: The node, in which checkpoints replace the nodes that made them.
        plan: The plan of the run.
        results: The results of the run.
        progress: Called after each frame.
    """
    if type(node).gathers:
        return lambda arguments: node.run(**arguments)
    return partial(_run, step, node, plan, results, progress)


def _run(
    step: Step,
    node: Node[Any],
    plan: Plan,
    results: Results,
    progress: Progress,
    arguments: Mapping[str, Any],
) -> Any:
    if not node.wires:
        return node.run(**arguments)
    runs_models = "models" in type(node).definition.services
    wrap_chunks = partial(results.wrap_chunks, step, plan, always=runs_models)
    value = run_per_frame(node.run, progress, arguments, wrap_chunks)
    is_made_later = isinstance(value, Series) and value.stream is not None
    if is_made_later and (runs_models or not results.is_same_each_time(step, plan)):
        return results.spooled(value)
    return value
