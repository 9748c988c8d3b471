"""A workflow is read from YAML and written to it without a change of meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
import yamlcore
from hypothesis import given
from hypothesis import strategies as st

from sdgraph.errors import InvalidWorkflowError
from sdgraph.execution import Session, run
from sdgraph.graph import Graph, Node
from sdgraph.language import Workflow, load_workflow, to_yaml, workflow_from_yaml
from sdgraph.language.writer import graph_to_yaml
from sdgraph.values import Checkpoint, Image
from tests.support import toys
from tests.support.effort import scaled
from tests.support.strategies import graphs, texts


def read(text: str, **where: Any) -> Workflow:
    return workflow_from_yaml(text, registry=toys.REGISTRY, **where)


def nodes_by_name(graph: Graph) -> dict[str, Node[Any]]:
    return {name: node for node, name in graph.names.items()}


@given(graphs())
def test_a_graph_written_and_read_is_equal(nodes: list[Node[Any]]) -> None:
    graph = Graph.of(*nodes)
    text = graph_to_yaml(graph, name="any")
    again = read(text).graph(only=list(graph.names.values()))
    assert set(again.nodes) == set(graph.nodes) and nodes_by_name(again) == nodes_by_name(graph)
    assert yaml.safe_load(text)["name"] == "any"


@given(texts)
def test_any_text_survives_being_written(text: str) -> None:
    node = toys.Join(words=[text, toys.Text(text=text, tags=[text])], glue=text)
    assert read(to_yaml(node, name="x")).graph().targets == (node,)


@given(texts, texts, st.floats(allow_nan=False, allow_infinity=False), st.integers())
def test_a_written_workflow_keeps_inputs_and_references(
    text: str, about: str, real: float, integer: int
) -> None:
    data = {
        "name": "w",
        "description": about,
        "inputs": {
            "text": text,
            "whole": integer,
            "real": {"type": "float", "default": 3, "description": about},
            "open": {"type": "Path"},
            "exact": real,
        },
        "nodes": {
            "join": {"type": "Join", "words": ["$inputs.text", "$word", "$$word"]},
            "word": {"type": "Text", "text": "$inputs.text"},
            "read": {"type": "Read", "path": "$inputs.open"},
        },
        "output": "$join",
    }
    one = read(yaml.dump(data, Dumper=yamlcore.CoreDumper, sort_keys=False))
    two = read(one.to_yaml())
    assert two.inputs == one.inputs and two.template.specs == one.template.specs
    assert (two.name, two.description, two.template.output) == ("w", about, "join")
    assert two.to_yaml() == one.to_yaml()


def test_a_float_input_stays_a_float_when_its_default_is_whole() -> None:
    text = "inputs: {x: {type: float, default: 3}}\nnodes: {n: {type: Scale, number: $inputs.x}}"
    assert read(read(text).to_yaml()).inputs["x"].type == "float"


@given(graphs(), st.randoms())
def test_order_and_names_change_no_identity(nodes: list[Node[Any]], random: Any) -> None:
    data = yaml.safe_load(graph_to_yaml(Graph.of(*nodes)))
    entries = list(data["nodes"].items())
    renamed = {name: f"n{place}_{name[::-1]}" for place, (name, _) in enumerate(entries)}

    def rename_references(value: Any) -> Any:
        if isinstance(value, list):
            return [rename_references(item) for item in value]
        is_renamed = isinstance(value, str) and value[:1] == "$" and value[1:] in renamed
        return f"${renamed[value[1:]]}" if is_renamed else value

    random.shuffle(entries)
    shuffled = {}
    for name, fields in entries:
        items = list(fields.items())
        random.shuffle(items)
        shuffled[renamed[name]] = {
            key: value if key == "type" else rename_references(value) for key, value in items
        }
    data["nodes"] = shuffled
    text = yaml.dump(data, Dumper=yamlcore.CoreDumper, sort_keys=False)
    assert set(read(text).graph(only=list(renamed.values())).nodes) == set(Graph.of(*nodes).nodes)


def test_a_graph_in_python_and_one_in_yaml_are_equal() -> None:
    text = (
        "inputs: {seed: 3}\n"
        "nodes:\n"
        "  two: {type: Add, a: $one, b: $inputs.seed}\n"
        "  one: {type: Number, value: 1}\n"
    )
    assert read(text).graph().targets == (toys.Add(a=toys.Number(value=1), b=3),)
    assert read(text).graph(seed=4).targets == (toys.Add(a=toys.Number(value=1), b=4),)


def test_checkpoints_paths_and_numbers_are_written_as_yaml_reads_them(tmp_path: Path) -> None:
    (tmp_path / "a.txt").write_text("x")
    nodes: list[Node[Any]] = [
        toys.Dream(checkpoint=Checkpoint("tiny/text-to-image", dtype="float16")),
        toys.Dream(checkpoint=Checkpoint("tiny/text-to-image")),
        toys.Read(path=tmp_path / "a.txt"),
        *[toys.Scale(number=n, by=1e300) for n in (1e20, 1e-9, -0.0, 123456789.125)],
    ]
    text = to_yaml(*nodes, folder=tmp_path)
    assert str(tmp_path) not in text
    again = read(text, folder=tmp_path).graph(only=list(Graph.of(*nodes).names.values()))
    assert set(again.nodes) == set(nodes)


def test_a_literal_picture_cannot_be_written() -> None:
    picture = Image(np.zeros((2, 2, 3), np.uint8))
    with pytest.raises(InvalidWorkflowError, match=r"edges\.image\n  found:  an Image"):
        to_yaml(toys.Edges(image=picture))


def test_names_of_sub_workflows_are_flattened_and_stay_apart() -> None:
    one, two, three = (toys.Number(value=n) for n in range(3))
    graph = Graph.of(one, two, three, names={one: "a/b", two: "a__b", three: "a/b_"})
    again = read(graph_to_yaml(graph)).graph()
    assert set(again.nodes) == {one, two, three} and again.names[two] == "a__b"


def test_a_field_can_be_replaced(tmp_path: Path) -> None:
    workflow = read("nodes: {n: {type: Number, value: 1}}")
    assert workflow.with_fields({"n.value": 5}).graph().targets == (toys.Number(value=5),)
    assert workflow.graph().targets == (toys.Number(value=1),)
    with pytest.raises(InvalidWorkflowError, match="did you mean 'n'"):
        workflow.with_fields({"N.value": 1, "n": 2})


def test_only_the_named_nodes_are_targets() -> None:
    workflow = read("nodes: {a: {type: Number}, b: {type: Halve, a: $a}, c: {type: Flag}}")
    assert workflow.graph(only=["a"]).nodes == (toys.Number(),)
    with pytest.raises(InvalidWorkflowError, match="a node of this workflow: a, b, c"):
        workflow.graph(only=["d"])


def test_open_inputs_are_no_problem_until_a_graph_is_wanted() -> None:
    text = "inputs: {n: {type: int}}\nnodes: {a: {type: Number, value: $inputs.n}}"
    assert read(text).problems() == []
    with pytest.raises(InvalidWorkflowError, match=r"inputs\.n"):
        read(text).graph()
    assert read(text).graph(n=2).targets == (toys.Number(value=2),)
    assert run(read(text), session=Session(), n=2) == {"a": 2}


def test_an_open_input_still_shows_a_wrong_wire() -> None:
    text = "inputs: {n: {type: bool}}\nnodes: {a: {type: Halve, a: $inputs.n}}"
    assert [problem.subject for problem in read(text).problems()] == ["a.a"]


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        ({"sed": 1}, "sed; found:an input 'sed'; wanted: seed; fix:  did you mean 'seed'?"),
        ({"seed": "1"}, "seed; found:the text '1'; wanted: a whole number"),
        ({"seed": True}, "seed; found:true; wanted: a whole number"),
        ({"seed": toys.Real()}, "seed; found:Real, which makes a number; wanted: a whole number"),
    ],
)
def test_a_wrong_input_is_reported_once(inputs: dict[str, Any], message: str) -> None:
    workflow = read("inputs: {seed: 3}\nnodes: {a: {type: Number, value: $inputs.seed}}")
    with pytest.raises(InvalidWorkflowError) as caught:
        workflow.graph(**inputs)
    message_found = str(caught.value).removeprefix("inputs.")
    assert message_found.replace("\n ", ";").replace(":  ", ":") == message


def test_a_node_may_be_given_for_an_input_that_a_port_reads() -> None:
    workflow = read("inputs: {n: 3}\nnodes: {a: {type: Halve, a: $inputs.n}}")
    assert workflow.graph(n=toys.Number(value=8)).targets == (toys.Halve(a=toys.Number(value=8)),)


def test_an_input_for_which_no_loader_is_installed_is_reported() -> None:
    text = "inputs: {p: {type: Image, default: a.png}}\nnodes: {e: {type: Edges, image: $inputs.p}}"
    with pytest.raises(InvalidWorkflowError, match="wanted: the node type LoadImage"):
        read(text).graph()


def test_a_missing_workflow_suggests_a_shipped_one() -> None:
    for wrong, right in (("inpant", "inpaint"), ("reference/inpant", "reference/inpaint")):
        with pytest.raises(InvalidWorkflowError, match=f"did you mean '{right}'"):
            load_workflow(wrong)


def test_a_workflow_of_20_000_nodes_is_read() -> None:
    length = scaled(20_000)
    lines = ["nodes:", "  n0: {type: Number}"]
    lines += [f"  n{i}: {{type: Halve, a: $n{i - 1}}}" for i in range(length, 0, -1)]
    graph = read("\n".join(lines)).graph()
    assert len(graph.nodes) == length + 1 and graph.names[graph.targets[0]] == f"n{length}"


def test_a_shipped_workflow_writes_into_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    targets = [node.path for node in load_workflow("text").graph().targets]  # type: ignore[attr-defined]
    assert targets == [tmp_path / "out/text.png"]
    targets = [node.path for node in load_workflow("text", out="there").graph().targets]  # type: ignore[attr-defined]
    assert targets == [tmp_path / "there/out/text.png"]
