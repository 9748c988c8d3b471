"""Finds the inputs of a workflow that no node reads."""

from __future__ import annotations

import re

from .references import parse_reference, walk_scalars
from .template import WorkflowTemplate

_IN_BRACES = re.compile(r"\{(\w+)")
"""An input in the pattern of a file name, such as `{seed:04d}`, or with more: `{prompt_slug}`."""


def unread_inputs(template: WorkflowTemplate) -> tuple[str, ...]:
    """The names of the inputs that no field of a node refers to.

    Args:
        template: The workflow.
    """
    read: set[str] = set()
    for spec in template.specs.values():
        for _, value in walk_scalars(spec.fields):
            if not isinstance(value, str):
                continue
            reference = parse_reference(value)
            if reference is not None and reference.to_input:
                read.add(reference.name)
            for name in _IN_BRACES.findall(value) if "{" in value else ():
                read |= {name, name.removesuffix("_slug")}
    return tuple(name for name in template.inputs if name not in read)
