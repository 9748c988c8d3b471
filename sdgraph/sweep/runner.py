"""Many variants of a workflow in one run, from Python."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from sdgraph import events
from sdgraph.execution import Session, default_session
from sdgraph.language import Workflow

from .output_files import build_sweep, refuse_existing_files
from .report_table import VariantRecord, VariantRecorder
from .sweep import make_variants


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
    """A record of each variant, in order; all are made in one run, in which equal nodes are one.

    A list, tuple, range or iterator gives an input several values; all combinations are made, or
    with `zip` the first values together, then the second. Raises InvalidWorkflowError, also where
    files are there already and `overwrite` is not set, and NodeFailed; finished files stay.
    """
    several = (list, tuple, range, Iterator)
    axes = {name: tuple(value) for name, value in inputs.items() if isinstance(value, several)}
    fixed = {name: value for name, value in inputs.items() if name not in axes}
    sweep = build_sweep(workflow, make_variants(fixed, axes, side_by_side=zip))
    if not overwrite:
        refuse_existing_files(sweep)
    account = VariantRecorder(sweep)
    listener = events.combine_listeners(account, on_event)
    values = (session or default_session()).run(sweep.graph, listener)
    names = sweep.graph.names
    return [
        replace(
            account.record(place),
            values={name: values[names[node]] for name, node in targets.items()},
        )
        for place, targets in enumerate(sweep.targets)
    ]
