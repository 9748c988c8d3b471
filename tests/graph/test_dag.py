"""A graph holds what its targets need, each node once, under names of their own."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import networkx as nx
import pytest
from hypothesis import given

from sdgraph.errors import Mark, MediaError
from sdgraph.graph import Graph, Node, SourceFile, default_targets, missing_file, source_files
from tests.support import toys
from tests.support.strategies import graphs


@given(graphs())
def test_nodes_stand_once_each_after_all_they_read(nodes: list[Node[Any]]) -> None:
    graph = Graph.of(*nodes)
    place = {node: index for index, node in enumerate(graph.nodes)}
    assert len(place) == len(graph.nodes) == len(set(nodes))
    assert all(place[child] < place[node] for node in nodes for _, child in node.wires)


@given(graphs())
def test_the_dag_is_acyclic_and_has_every_wire(nodes: list[Node[Any]]) -> None:
    dag = Graph.of(*nodes).to_networkx()
    assert nx.is_directed_acyclic_graph(dag) and set(dag) == set(nodes)
    wires = {(child, node, port) for node in nodes for port, child in node.wires}
    edges = dag.edges(data=True)
    assert {(child, node, port) for child, node, edge in edges for port in edge["ports"]} == wires


def test_nodes_of_the_networkx_graph_say_name_type_and_parameters() -> None:
    one = toys.Number(value=1)
    add = toys.Add(a=one, b=one, offset=3)
    total = toys.Sum(terms=[add, 5])
    graph = Graph.of(total, names={total: "total"}).to_networkx()
    assert list(graph.nodes(data=True)) == [
        (one, {"name": "number", "type": "Number", "parameters": {"value": 1}}),
        (add, {"name": "add", "type": "Add", "parameters": {"offset": 3}}),
        (total, {"name": "total", "type": "Sum", "parameters": {}}),
    ]
    assert graph.edges[one, add] == {"ports": ("a", "b")}
    graph.remove_node(add)
    assert len(Graph.of(total).to_networkx()) == 3, "each call gives a graph of its own"


@given(graphs())
def test_names_are_unique_and_given_names_stay(nodes: list[Node[Any]]) -> None:
    graph = Graph.of(*nodes, names={nodes[0]: "number_2"})
    assert len(set(graph.names.values())) == len(graph.nodes)
    assert graph.names[nodes[0]] == "number_2"
    part = graph.subgraph(nodes[-1])
    assert all(part.names[node] == graph.names[node] for node in part.nodes)


def test_no_node_is_named_as_the_inputs_are() -> None:
    class Inputs(Node[int]):
        def run(self) -> int:
            return 0

    assert list(Graph.of(Inputs()).names.values()) == ["inputs_2"]


def test_the_default_targets_are_the_effects_or_the_nodes_that_no_other_reads(
    tmp_path: Path,
) -> None:
    text = toys.Text(text="x")
    join, loose = toys.Join(words=[text]), toys.Number()
    save = toys.Write(text=text, path=tmp_path / "x")
    assert default_targets([text, join, loose]) == [join, loose]
    assert default_targets([text, join, loose, save]) == [save]


def test_problems_have_the_nodes_name_and_the_fields_mark(tmp_path: Path) -> None:
    bad, mark, own_mark = toys.Checked(good=False), Mark("f", 1, 1), Mark("f", 2, 5)
    for marks, at in (({"": mark, "good": own_mark}, own_mark), ({"": mark}, mark), ({}, None)):
        (problem,) = Graph.of(bad, names={bad: "n"}, marks={bad: marks}).check()
        assert (problem.subject, problem.at) == ("n.good", at)


def test_any_error_that_a_check_raises_is_a_problem_of_its_node() -> None:
    class Broken(Node[int]):
        def check(self) -> Any:
            raise MediaError("the picture is torn")

        def run(self) -> int:
            return 0

    problems = Graph.of(Broken(), toys.Checked(damaged=True)).check()
    assert [p.subject for p in problems] == ["broken", "checked.checkpoint"]
    assert "the picture is torn" in problems[0].found


def test_a_list_of_files_is_checked_file_by_file(tmp_path: Path) -> None:
    class Several(Node[int]):
        paths: list[SourceFile]

        def run(self) -> int:
            return 0

    (tmp_path / "a").write_text("")
    node = Several(paths=[tmp_path / "a", tmp_path / "b"])
    assert [path.name for _, path in source_files(node)] == ["a", "b"]
    (problem,) = Graph.of(node).check()
    assert problem.subject == "several.paths" and "b: no such file" in problem.found


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("none", "no such file"),
        (".", "a folder"),
        ("x" * 300, "a name that is too long for a file"),
        ("file/below", "file is a file, no folder"),
    ],
)
def test_a_file_that_cannot_be_read_is_reported(tmp_path: Path, name: str, reason: str) -> None:
    (tmp_path / "file").write_text("")
    problem = missing_file("path", tmp_path / name)
    assert problem is not None and problem.found.endswith(reason)


def test_a_missing_file_suggests_its_neighbour(tmp_path: Path) -> None:
    (tmp_path / "photo.png").write_text("")
    problem = missing_file("path", tmp_path / "foto.png")
    assert problem is not None and problem.fix == "did you mean 'photo.png'?"
    assert missing_file("path", tmp_path / "photo.png") is None
