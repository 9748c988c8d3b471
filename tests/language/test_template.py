"""What a file says before its inputs are known: references, names, specifications, order."""

from __future__ import annotations

from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph.errors import InvalidWorkflowError
from sdgraph.language import (
    NodeSpec,
    with_absolute_source,
    workflow_from_yaml,
)
from sdgraph.language.references import value_at
from sdgraph.language.template import (
    parse_template,
    place_of_subject,
    topological_order,
)
from sdgraph.language.yaml_document import parse_document
from tests.support import toys


def test_a_file_may_name_the_version_of_its_format(tmp_path: Path) -> None:
    template = parse_template(parse_document("sdgraph: 1\nnodes: {a: {type: A}}"), tmp_path, {})
    assert list(template.specs) == ["a"]


@pytest.mark.parametrize("version", ["2", "0", "'1'", "true", "1.0", "null"])
def test_another_version_of_the_format_is_refused_and_nothing_else(
    version: str, tmp_path: Path
) -> None:
    document = parse_document(f"sdgraph: {version}\nrooms: {{}}")
    with pytest.raises(InvalidWorkflowError) as caught:
        parse_template(document, tmp_path, {})
    (problem,) = caught.value.problems
    fix = "install a newer sdgraph" if version == "2" else "write sdgraph: 1"
    assert (problem.subject, problem.fix) == ("sdgraph", fix)


def test_a_specification_lists_the_nodes_it_refers_to_as_often_as_it_does() -> None:
    fields = {"a": "$x", "b": ["$y", "$x", {"c": "$z"}], "d": "$inputs.i", "e": "$$q", "f": 3}
    assert sorted(NodeSpec("n", "T", fields).references()) == ["x", "x", "y", "z"]


@given(st.dictionaries(st.sampled_from("abcdef"), st.lists(st.sampled_from("abcdefz"), max_size=3)))
def test_the_order_is_topological_unless_a_cycle_is_reported(wires: dict[str, list[str]]) -> None:
    specs = {
        name: NodeSpec(name, "T", {"terms": [f"${to}" for to in wires[name]]}) for name in wires
    }
    order, cycles = topological_order(specs)
    assert sorted(order) == sorted(wires)
    place = {name: index for index, name in enumerate(order)}
    backward = [
        (name, to)
        for name in wires
        for to in wires[name]
        if to in place and place[to] >= place[name]
    ]
    assert bool(backward) <= bool(cycles)
    for cycle in cycles:
        assert cycle[0] == cycle[-1]
        assert all(b in wires[a] for a, b in pairwise(cycle))


@pytest.mark.parametrize(
    ("subject", "place"),
    [
        ("", []),
        ("low", ["low"]),
        ("terms.2", ["terms", 2]),
        ("a.b", ["a.b"]),
        ("x.1.0", ["x", 1, 0]),
    ],
)
def test_a_problems_subject_is_a_place_in_the_fields(subject: str, place: list[object]) -> None:
    fields = {"a.b": 7, "terms": [1, 2, 3], "low": 4, "x": [[], [5]]}
    assert place_of_subject(subject, fields) == place
    value = {"low": 4, "terms.2": 3, "a.b": 7, "x.1.0": 5}.get(subject, fields)
    assert value_at(fields, place_of_subject(subject, fields)) == value


def test_only_checkpoints_that_look_like_paths_are_made_whole(
    tmp_path: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    from pathlib import Path

    folder = Path(str(tmp_path))
    assert with_absolute_source("./x", folder) == str(folder / "x")
    assert with_absolute_source({"source": "../x", "dtype": "float16"}, folder) == {
        "source": str(folder.parent / "x"),
        "dtype": "float16",
    }
    for same in ("org/name", "tiny/inpaint", "/abs/x", 3, {"source": 3}, None):
        assert with_absolute_source(same, folder) == same
    assert with_absolute_source("~/x", folder) == str(Path.home().resolve() / "x")


def test_a_checkpoint_that_is_next_to_the_file_is_that_and_never_one_in_the_current_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for path in ("flows/models/mine", "flows/near", "here/far", "here/near", "here/org/name"):
        (tmp_path / path).mkdir(parents=True)
    (tmp_path / "flows/style.safetensors").touch()
    monkeypatch.chdir(tmp_path / "here")
    flows = tmp_path / "flows"
    for name in ("models/mine", "near", "style.safetensors", "far"):
        assert with_absolute_source(name, flows) == str(flows / name)
        assert with_absolute_source([{"source": name}], flows) == [{"source": str(flows / name)}]
    hub = {"source": "models/mine", "revision": "main"}
    for same in ("org/name", "gpt2", "tiny/inpaint", "a\0b", "x" * 5000, hub):
        assert with_absolute_source(same, flows) == same
    for typed in ("near", "org/name"):  # on the command line, paths start from the current folder
        assert with_absolute_source(typed, tmp_path / "here") == typed


def test_a_workflow_without_a_name_is_named_after_its_file() -> None:
    workflow = workflow_from_yaml(
        "nodes: {n: {type: Number}}", registry=toys.REGISTRY, file="a/portrait.yaml"
    )
    assert workflow.name == "portrait" and workflow.description == ""


@pytest.mark.parametrize("output", ["n", "$m", "$inputs.n", "3", "[$n]"])
def test_an_output_must_name_a_node(output: str) -> None:
    with pytest.raises(InvalidWorkflowError, match="output"):
        workflow_from_yaml(
            f"nodes: {{n: {{type: Number}}}}\noutput: {output}", registry=toys.REGISTRY
        )
