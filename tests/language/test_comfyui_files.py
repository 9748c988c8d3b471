"""Workflow files of ComfyUI are named for what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from sdgraph.errors import InvalidWorkflowError
from sdgraph.language import load_workflow

NODE = {"class_type": "KSampler", "inputs": {"seed": 2**63, "cfg": 8.0, "model": ["4", 0]}}
API = {"3": NODE, "4": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox 🦊, a/b: c"}}}
PAGE = {"last_node_id": 9, "nodes": [{"id": 7, "type": "KSampler", "pos": [1, 2]}], "links": []}


@pytest.mark.parametrize("indent", [None, 2, "\t"])
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (API, "in its API format"),
        ({"prompt": API, "client_id": "x"}, "in its API format"),
        (PAGE, "as its page saves it"),
    ],
)
def test_a_file_of_comfyui_is_said_to_be_one(
    data: Any, kind: str, indent: int | str | None, ascii_only: bool, tmp_path: Path
) -> None:
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(data, indent=indent, ensure_ascii=ascii_only), "utf-8")
    with pytest.raises(InvalidWorkflowError) as caught:
        load_workflow(path)
    (problem,) = caught.value.problems
    assert problem.found == f"a workflow of ComfyUI, {kind}"


@pytest.mark.parametrize("text", ["{}", "[1]", '{"a": "\\ud83e\\udd8a"}', '{"nodes": []}', "{", ""])
def test_other_files_are_not(text: str, tmp_path: Path) -> None:
    path = tmp_path / "flow.json"
    path.write_text(text)
    with pytest.raises(InvalidWorkflowError) as caught:
        load_workflow(path)
    assert "ComfyUI" not in str(caught.value)
