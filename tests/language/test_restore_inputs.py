"""A record's workflow keeps its inputs: the same graph without them, another with."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdgraph.graph import Graph, installed_registry
from sdgraph.language import load_workflow, workflow_from_yaml
from sdgraph.media import write_image
from sdgraph.provenance import ProvenanceRecord, make_record
from tests.support import cli_nodes

REGISTRY = installed_registry().with_file(Path(cli_nodes.__file__))

INNER = """\
inputs: {photo: {type: Image}, low: 3}
nodes:
  edges: {type: ToyEdges, image: $inputs.photo, low: $inputs.low}
output: $edges
"""
OUTER = """\
inputs:
  grey: {type: int, default: 40, description: how bright}
  title: "a $x"
  photo: {type: Path, default: p.png}
  target: {type: Path, default: out/a.png}
  unused: 3
nodes:
  square: {type: ToySquare, grey: $inputs.grey}
  inner: {type: Workflow, path: inner.yaml, photo: $inputs.photo, low: $inputs.grey}
  all: {type: ToyStack, images: [$square, $inner], title: $inputs.title}
  save: {type: ToySave, image: $all, path: $inputs.target}
"""


def graph_and_record(
    folder: Path, text: str = OUTER, **inputs: Any
) -> tuple[Graph, ProvenanceRecord]:
    write_image(cli_nodes.ToySquare(size=4).run().pil, folder / "p.png")
    (folder / "inner.yaml").write_text(INNER)
    (folder / "outer.yaml").write_text(text)
    graph = load_workflow(folder / "outer.yaml", registry=REGISTRY).graph(**inputs)
    return graph, make_record(graph, "save", device="cpu", dtype=None)


def again(written: ProvenanceRecord, folder: Path, **inputs: Any) -> Graph:
    return workflow_from_yaml(written.workflow, registry=REGISTRY, folder=folder).graph(**inputs)


def test_the_same_graph_comes_out_and_with_other_inputs_the_one_that_they_make(
    tmp_path: Path,
) -> None:
    graph, written = graph_and_record(tmp_path, grey=7)
    assert again(written, tmp_path).targets == graph.targets
    (tmp_path / "q.png").write_bytes((tmp_path / "p.png").read_bytes())
    for inputs in ({"grey": 9}, {"title": "$$b"}, {"photo": str(tmp_path / "q.png")}):
        expected = load_workflow(tmp_path / "outer.yaml", registry=REGISTRY)
        changed: dict[str, Any] = {"grey": 7, **inputs}
        assert again(written, tmp_path, **inputs).targets == expected.graph(**changed).targets


def test_the_inputs_are_recorded_as_data_with_the_hashes_of_the_files(tmp_path: Path) -> None:
    _, written = graph_and_record(tmp_path, grey=7)
    assert written.inputs == {
        "grey": 7,
        "title": "a $x",
        "photo": "p.png",
        "target": "out/a.png",
    }
    assert "description: how bright" in written.workflow
    assert list(written.sources) == ["p.png"]
    assert len(written.sources["p.png"]) == 64


def test_an_input_given_as_a_whole_number_for_a_field_of_floats_stays_one(tmp_path: Path) -> None:
    text = (
        "inputs: {pause: 3}\nnodes:\n  a: {type: ToySquare}\n"
        "  b: {type: ToySlow, image: $a, seconds: $inputs.pause, steps: $inputs.pause}\n"
        "  save: {type: ToySave, image: $b, path: a.png}\n"
    )
    graph, written = graph_and_record(tmp_path, text)
    assert written.inputs == {"pause": 3}
    assert again(written, tmp_path).targets == graph.targets


@pytest.mark.parametrize(
    "nodes",
    [
        # One node under two names, of which only one reads the input.
        "a: {type: ToySquare, grey: $inputs.grey}, b: {type: ToySquare, grey: 5}",
        # The input was replaced by a value of its own.
        "a: {type: ToySquare, grey: 5}, b: {type: ToySquare, grey: 5}",
    ],
)
def test_an_input_that_would_change_more_than_it_did_is_left_out(
    tmp_path: Path, nodes: str
) -> None:
    text = f"inputs: {{grey: 5}}\nnodes: {{{nodes}, all: {{type: ToyStack, images: [$a, $b]}}, "
    _, written = graph_and_record(
        tmp_path, text + "save: {type: ToySave, image: $all, path: a.png}}"
    )
    assert written.inputs == {}
    assert "inputs" not in written.workflow


def test_variants_in_one_graph_are_left_as_they_are(tmp_path: Path) -> None:
    """A graph that holds an input's field with two values, as a sheet of a sweep does."""
    text = "inputs: {grey: 5}\nnodes: {a: {type: ToySquare, grey: $inputs.grey}}"
    workflow = workflow_from_yaml(text, registry=REGISTRY, folder=tmp_path)
    one, two = workflow.graph(grey=1), workflow.graph(grey=2)
    sheet = cli_nodes.ToyStack(images=[*one.targets, *two.targets])
    merged = Graph.of(sheet, origins={**one.origins, **two.origins})
    written = make_record(merged, "sheet", device="cpu", dtype=None)
    assert written.inputs == {}
    single = make_record(merged.subgraph(*two.targets), "a", device="cpu", dtype=None)
    assert single.inputs == {"grey": 2}
