"""`workflows` lists what ships: what it does, takes and needs."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from sdgraph.cli.workflow_list import checkpoint_state, find_listed, list_workflows
from sdgraph.graph import parts_of
from sdgraph.language import load_workflow, shipped_workflows
from tests.support.command_line import Command, CommandResult
from tests.support.processes import python


@pytest.fixture(autouse=True)
def empty_hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the hub in which no checkpoint is."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def workflows(sdgraph: Command, *arguments: str) -> CommandResult:
    return sdgraph("workflows", *arguments, toys=False)


def test_the_list_says_of_each_what_the_engine_reads() -> None:
    listed = list_workflows()
    assert [workflow.name for workflow in listed] == list(shipped_workflows())
    for workflow in listed:
        read = load_workflow(workflow.name)
        assert workflow.description == read.description
        types = {declared.name: declared.type for declared in workflow.inputs}
        assert types == {name: declared.type for name, declared in read.inputs.items()}
        for declared in workflow.inputs:
            engine = read.inputs[declared.name]
            assert (declared.default is None) == engine.required
            assert engine.required or declared.default == engine.default
            assert declared.description == engine.description


def hub_sources(name: str) -> set[str]:
    """The repositories on the hub of which a workflow needs components, as the engine says."""
    graph = load_workflow(name).graph()
    parts = [part for node in graph.nodes for part in parts_of(node).values()]
    return {part.checkpoint.source for part in parts}


@pytest.mark.parametrize("name", [name for name in shipped_workflows() if "reference/" in name])
def test_every_checkpoint_of_the_hub_is_listed(name: str) -> None:
    assert hub_sources(name) == set(find_listed(name).checkpoints)


def test_the_overview_has_description_inputs_and_checkpoints(sdgraph: Command) -> None:
    out = workflows(sdgraph).out
    lines = ["  inpaint", "      Replace what a mask marks by what a prompt says."]
    lines += ["      takes photo, mask, prompt, seed, checkpoint", "      here: tiny/inpaint"]
    assert "\n".join(lines) in out
    assert "\n      made at first use: random/flux\n" in out
    assert "\n      not here: stabilityai/stable-diffusion-2-depth\n" in out
    assert max(map(len, out.splitlines())) <= 80


def test_one_workflow_is_printed_with_its_defaults(sdgraph: Command) -> None:
    out = workflows(sdgraph, "inpaint").out
    assert re.search(r"^  seed +0  \(int\)$", out, re.M)
    assert re.search(
        r"^  mask +samples/red_circle_mask.png  \(Path, white where to paint\)$", out, re.M
    )
    assert "sdgraph run inpaint seed=7" in out and "sdgraph plan" not in out
    assert "sdgraph plan reference/depth" in workflows(sdgraph, "reference/depth").out
    assert "image=… subject=… prompt=…" in workflows(sdgraph, "parts/background").out


def test_as_json_a_workflow_has_all_that_is_known(sdgraph: Command) -> None:
    every: list[dict[str, Any]] = json.loads(workflows(sdgraph, "--json").out)
    one = json.loads(workflows(sdgraph, "text", "--json").out)
    assert one in every and set(one) == {"name", "description", "file", "inputs", "checkpoints"}
    assert one["checkpoints"] == [{"source": "tiny/text-to-image", "state": "here"}]
    assert one["inputs"][1] == {"name": "seed", "type": "int", "default": 0, "description": ""}


def test_a_checkpoint_in_the_cache_of_the_hub_is_here(empty_hub: Path) -> None:
    assert checkpoint_state("a/b") == "not here"
    repository = empty_hub / "models--a--b"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs/main").write_text("0" * 40)
    (repository / "snapshots" / ("0" * 40)).mkdir(parents=True)
    assert checkpoint_state("a/b") == "here"


@pytest.mark.parametrize(
    ("name", "fix"),
    [
        ("inpant", "did you mean 'inpaint'?"),
        ("wan", "write families/wan"),
        ("zzzz", "`sdgraph workflows` lists them"),
    ],
)
def test_an_unknown_name_is_an_error_with_a_fix(sdgraph: Command, name: str, fix: str) -> None:
    result = workflows(sdgraph, name)
    assert result.code == 2 and result.out == "" and fix in result.err


def test_the_list_imports_neither_torch_nor_the_engine(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom sdgraph.cli import main\n"
        "try: main(['workflows'])\nexcept SystemExit as ended: assert not ended.code\n"
        "heavy = {'torch', 'diffusers', 'numpy', 'sdgraph.language', 'sdgraph.graph'}\n"
        "print(sorted(heavy & sys.modules.keys()))"
    )
    assert python(code, cwd=tmp_path).splitlines()[-1:] == ["[]"]
