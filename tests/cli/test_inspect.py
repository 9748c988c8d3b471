"""`plan`, `show`, `nodes` and `schema` print what they know without running it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from sdgraph import __version__
from tests.support.command_line import Command


def test_plan_lists_steps_loads_and_totals(sdgraph: Command) -> None:
    result = sdgraph("plan", "flow.yaml", "--only", "model")
    assert result.code == 0
    assert re.search(r"^1 +model +ToyModel +unet", result.out, re.MULTILINE)
    assert re.search(r"1 step, 2 components loaded", result.out)


def test_plan_says_what_each_step_releases(sdgraph: Command) -> None:
    assert re.search(r"slow +ToySlow +edges *$", sdgraph("plan", "flow.yaml").out, re.MULTILINE)


def test_plan_prints_the_peak_and_the_memory_there_is(sdgraph: Command) -> None:
    free = sdgraph("plan", "chain", "--device", "cpu", toys=False)
    line = r"^peak on {}: ([\d.]+) MB{}$"
    assert re.search(line.format("host memory", r" of \d.* \(free\)"), free.out, re.M)
    tight = sdgraph("plan", "chain", "--device", "cuda", "--vram", "13MB", toys=False)
    assert "on cuda, float16\n" in tight.out
    peak = re.search(line.format("cuda", r" of 13 MB \(a budget\)"), tight.out, re.M)
    assert peak is not None and float(peak[1]) <= 13
    assert "drops tiny/" in tight.out
    elsewhere = sdgraph("plan", "chain", "--device", "xpu:3", toys=False)
    assert re.search(line.format("xpu:3", ""), elsewhere.out, re.M)


@pytest.mark.parametrize("verb", ["plan", "run"])
def test_a_budget_too_small_for_a_node_is_refused(verb: str, sdgraph: Command) -> None:
    result = sdgraph(verb, "chain", "--ram", "1MB", toys=False)
    assert result.code == 2 and "Traceback" not in result.err
    assert re.search(r"found: +a budget of 1000000 bytes on the host", result.err)
    named = re.search(r"wanted: at least (\d{8}) bytes", result.err)
    assert named is not None
    smallest = int(named[1])
    assert sdgraph("plan", "chain", "--ram", str(smallest), toys=False).code == 0
    assert sdgraph("plan", "chain", "--ram", str(smallest - 1), toys=False).code == 2


@pytest.mark.parametrize(("option", "text"), [("--ram", "much"), ("--vram", "-3GB")])
def test_a_budget_that_says_no_bytes_is_refused(option: str, text: str, sdgraph: Command) -> None:
    result = sdgraph("plan", "flow.yaml", f"{option}={text}")
    assert result.code == 2 and f"{option}\n  found:  {text}" in result.err


def test_plan_says_what_must_be_fetched(sdgraph: Command, tmp_path: Path) -> None:
    result = sdgraph(
        "plan", "flow.yaml", "--only", "model", "--set", "model.checkpoint=nobody/nothing"
    )
    assert "to be downloaded from the hub: nobody/nothing" in result.out
    assert re.search(r"^1 +model +ToyModel +unknown parts of nobody/nothing", result.out, re.M)
    assert "0 components loaded (0 B), and unknown ones of nobody/nothing" in result.out
    assert "unet" not in result.out and "peak on" not in result.out
    warning = "warning: nobody/nothing: not here, not checked"
    assert warning in result.out
    text = "nodes: {model: {type: ToyModel, checkpoint: nobody/nothing}}\n"
    (tmp_path / "hub.yaml").write_text(text)
    checked = sdgraph("validate", "hub.yaml")
    assert checked.code == 0 and f"  {warning}" in checked.out


def test_show_lists_every_node_after_those_it_reads(sdgraph: Command) -> None:
    result = sdgraph("show", "flow.yaml")
    assert result.out.startswith("flow: A grey square, turned.\n")
    assert re.search(r"grey +int +40 +how bright", result.out)
    assert re.search(r"edges +ToyEdges → EdgeMap +image ← square, low=10", result.out)
    names = re.findall(r"^  (\w+) +Toy", result.out, re.MULTILINE)
    assert names.index("square") < names.index("edges") < names.index("result")


def test_show_draws_a_broken_workflow_too(sdgraph: Command, tmp_path: Path) -> None:
    (tmp_path / "odd.yaml").write_text(
        "nodes: {a: {type: ToyStack, images: [$b]}, b: {type: Nope, x: $a, y: $none}}"
    )
    result = sdgraph("show", "odd.yaml")
    assert result.code == 0
    assert "Nope (unknown)" in result.out
    assert sdgraph("show", "odd.yaml", "--mermaid").code == 0


def test_mermaid_stands_alone_and_names_the_ports(sdgraph: Command) -> None:
    result = sdgraph("show", "flow.yaml", "--mermaid")
    first, *rest = result.out.splitlines()
    assert first == "flowchart LR"
    assert '  n0["square<br/>ToySquare"]' in rest
    boxes = {m[2]: m[1] for m in re.finditer(r'(n\d+)\[+"(\w+)<br/>', result.out)}
    assert f'  {boxes["square"]} -->|"image"| {boxes["edges"]}' in rest


def test_show_reads_the_record_of_a_picture(sdgraph: Command) -> None:
    sdgraph("run", "flow.yaml")
    result = sdgraph("show", "out/turned.png", toys=False)
    assert "made by the node result on cpu, float32" in result.out
    assert f"sdgraph {__version__}" in result.out
    assert "square: {type: ToySquare" in result.out
    yaml = sdgraph("show", "out/turned.png", "--yaml", toys=False).out
    assert yaml.startswith("name: result\ninputs:\n  grey: {type: int, default: 40")


def test_nodes_lists_types_by_category(sdgraph: Command) -> None:
    result = sdgraph("nodes")
    assert re.search(r"^other$", result.out, re.MULTILINE)
    assert re.search(r"^  ToySquare +Image +A square of one grey\.", result.out, re.MULTILINE)


def test_nodes_documents_one_type(sdgraph: Command) -> None:
    result = sdgraph("nodes", "ToyEdges")
    assert result.out.startswith("ToyEdges → EdgeMap   (other)\n")
    assert re.search(r"image +required +an Image; what to look at", result.out)
    assert re.search(r"mask +optional +a Mask", result.out)
    assert re.search(r"low +default 100 +a whole number from 0 to 255", result.out)
    assert "toy_edges: {type: ToyEdges, image: $image}" in result.out


def test_nodes_gives_documentation_as_json(sdgraph: Command) -> None:
    doc = json.loads(sdgraph("nodes", "ToySave", "--json").out)
    assert doc["effect"] is True
    assert [field["name"] for field in doc["fields"]] == ["image", "path"]
    assert {load["name"] for load in json.loads(sdgraph("nodes", "--json").out)} >= {"ToySave"}


def test_an_unknown_type_is_answered_with_the_nearest(sdgraph: Command) -> None:
    result = sdgraph("nodes", "ToySqare")
    assert result.code == 2
    assert "did you mean 'ToySquare'?" in result.err


def test_schema_is_json(sdgraph: Command) -> None:
    assert "type.ToySquare" in json.loads(sdgraph("schema").out)["definitions"]
