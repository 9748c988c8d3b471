"""Knows the workflow files of ComfyUI, which are JSON, so that they are named for what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from sdgraph.errors import Mark, Problem
from sdgraph.files import read_text

from .yaml_document import MAX_WORKFLOW_BYTES, Document


def comfyui_problem(document: Document) -> Problem | None:
    """The problem that a document is a workflow of ComfyUI; None if it is not.

    Args:
        document: Any document. ComfyUI writes two formats: for its API a map of nodes by number,
            each with `class_type`, and for its page a list of nodes, with a list of their links.
    """
    return _problem(document.data, document.mark())


def comfyui_problem_of_file(path: Path) -> Problem | None:
    """The problem that a file is a workflow of ComfyUI which is no YAML; None if it is not.

    JSON writes 🦊 as two escapes, which YAML does not know.

    Args:
        path: A file that was refused as YAML.
    """
    try:
        data = json.loads(read_text(path, MAX_WORKFLOW_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    return _problem(data, Mark(str(path), 1, 1))


def _problem(data: Any, at: Mark) -> Problem | None:
    kind = _format(data)
    if kind is None:
        return None
    return Problem(
        "workflow",
        f"a workflow of ComfyUI, {kind}",
        "a workflow of sdgraph: YAML, a map with `nodes:`",
        "write it as YAML with the node types that `sdgraph nodes` lists",
        at,
    )


def _format(data: Any) -> str | None:
    if not isinstance(data, dict):
        return None
    nodes = data.get("nodes")
    if isinstance(nodes, list) and ("links" in data or "last_node_id" in data):
        return "as its page saves it"
    prompt = data.get("prompt")
    entries = [*(prompt if isinstance(prompt, dict) else data).values()]
    if entries and all(isinstance(entry, dict) and "class_type" in entry for entry in entries):
        return "in its API format"
    return None
