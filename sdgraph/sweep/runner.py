"""`run_many`: a sweep from Python."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import Any

from sdgraph import events
from sdgraph.execution import Session, default_session
from sdgraph.graph import name_without_variant
from sdgraph.language import Workflow

from .output_files import build_sweep
from .report_table import VariantRecord, VariantRecorder
from .sweep import Sweep, make_variants


def run_many(
    workflow: Workflow,
    /,
    *,
    zip: bool = False,  # noqa: A002  what it is called on the command line, and in Python
    overwrite: bool = False,
    session: Session | None = None,
    on_event: events.Listener | None = None,
    **inputs: Any,
) -> list[VariantRecord]:
    """Runs a workflow with many values of its inputs, as one graph: equal nodes run once.

    Args:
        workflow: The workflow.
        zip: Combine the first values of all inputs, then the second, and so on; otherwise every
            combination is made, the last input's values changing first.
        overwrite: Whether files that are there already are replaced, whatever the field `existing`
            of their nodes says.
        session: Where it runs; None for the session that `run` uses.
        on_event: Called with each event of the run.
        **inputs: Values of the workflow's inputs. A list, tuple, range or iterator gives several;
            any other value is the same in all variants.

    Returns:
        A record of each variant in order, with the values and files that it made.

    Raises:
        InvalidWorkflowError: If the workflow or an input is wrong, or a file exists and is not to
            be replaced.
        NodeFailedError: If a node fails; files of finished variants stay.

    Example:
        >>> from sdgraph import load_workflow, run_many
        >>> workflow = load_workflow("inpaint")
        >>> records = run_many(workflow, seed=range(3), prompt="a red star")  # doctest: +SKIP
        >>> [record.files for record in records]  # doctest: +SKIP
        [('out/inpaint_seed-0000.png',), ('out/inpaint_seed-0001.png',), ...]
    """
    several = (list, tuple, range, Iterator)
    axes = {name: tuple(value) for name, value in inputs.items() if isinstance(value, several)}
    fixed = {name: value for name, value in inputs.items() if name not in axes}
    sweep = build_sweep(workflow, make_variants(fixed, axes, side_by_side=zip))
    recorder = VariantRecorder(sweep)
    listener = events.combine_listeners(recorder, on_event)
    session = session or default_session()
    values = session.run(sweep.graph, listener, overwrite=overwrite)
    return [
        replace(recorder.record(index), values=_values_of(sweep, index, values))
        for index in range(len(sweep.targets))
    ]


def _values_of(sweep: Sweep, index: int, values: Mapping[str, Any]) -> dict[str, Any]:
    """The values of one variant by the names of its targets; lists for those with a `count`."""
    found: dict[str, Any] = {}
    for name, node in sweep.targets[index].items():
        value, plain = values[sweep.graph.names[node]], name_without_variant(name)
        if plain == name:
            found[name] = value
        else:
            found.setdefault(plain, []).append(value)
    return found
