"""A workflow that is piped into a command: `sdgraph run - < flow.yaml`."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from sdgraph.errors import Problem
from sdgraph.graph import Registry
from sdgraph.language import MAX_WORKFLOW_BYTES, Workflow, workflow_from_yaml

from .argument_error import ArgumentError

_FILE = "<stdin>"


def workflow_of_input(registry: Registry, *, out: Path | None, allow_outside: bool) -> Workflow:
    """The workflow on standard input; its paths are relative to the current folder.

    Args:
        registry: The known node types.
        out: The folder for relative output files, instead of the current folder.
        allow_outside: Whether it may write files into any folder.

    Raises:
        ArgumentError: There is no text, too much of it, or none in UTF-8.
        InvalidWorkflowError: The text has problems.
    """
    from dataclasses import replace

    workflow = workflow_from_yaml(
        _text(), registry=registry, file=_FILE, allow_outside=allow_outside
    )
    if out is None:
        return workflow
    return replace(workflow, template=replace(workflow.template, out=out.resolve()))


@cache
def _text() -> str:
    """What standard input holds; it can be read once only."""
    if sys.stdin is None or sys.stdin.closed:
        raise ArgumentError(_problem("a stream that is closed"))
    data = sys.stdin.buffer.read(MAX_WORKFLOW_BYTES + 1)
    if not data.strip():
        raise ArgumentError(_problem("nothing"))
    if len(data) > MAX_WORKFLOW_BYTES:
        raise ArgumentError(_problem(f"more than {MAX_WORKFLOW_BYTES:,} bytes"))
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ArgumentError(_problem("bytes that are no text in UTF-8")) from None


def _problem(found: str) -> Problem:
    fix = "pipe a workflow: cat flow.yaml | sdgraph run -"
    return Problem("standard input", found, "a workflow in YAML", fix)
