"""References, paths and sub-workflows are resolved where they are written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdgraph.errors import InvalidWorkflowError
from sdgraph.graph import Graph, installed_registry
from sdgraph.language import load_workflow, subworkflow, workflow_from_yaml
from tests.support import toys

INNER = """
inputs:
  start: {type: int}
  step: 2
nodes:
  one: {type: Add, a: $inputs.start, b: $inputs.step}
  two: {type: Halve, a: $one}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "inner.yaml").write_text(INNER)
    (tmp_path / "a.txt").write_text("text of a")
    return tmp_path


def graph(folder: Path, text: str, file: str = "outer.yaml", **inputs: Any) -> Graph:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return load_workflow(path, registry=toys.REGISTRY).graph(**inputs)


def wrong(folder: Path, text: str, **inputs: Any) -> list[str]:
    with pytest.raises(InvalidWorkflowError) as caught:
        graph(folder, text, **inputs)
    return [f"{p.subject}: {p.found} / {p.wanted}" for p in caught.value.problems]


def test_a_sub_workflow_takes_literals_and_nodes_and_keeps_its_defaults(folder: Path) -> None:
    text = """
nodes:
  first: {type: Workflow, path: inner.yaml, start: 10}
  second: {type: Workflow, path: inner.yaml, start: $first, step: 1}
"""
    first = toys.Halve(a=toys.Add(a=10, b=2))
    inner = graph(folder, text)
    assert inner.targets == (toys.Halve(a=toys.Add(a=first, b=1)),)
    assert set(inner.names.values()) == {"first/one", "first/two", "second/one", "second/two"}


def test_the_output_may_be_chosen(folder: Path) -> None:
    (folder / "inner.yaml").write_text(INNER + "output: $one\n")
    text = "nodes: {s: {type: Workflow, path: inner.yaml, start: 1}, h: {type: Halve, a: $s}}"
    assert toys.Halve(a=toys.Add(a=1, b=2)) in graph(folder, text).targets


def test_an_output_that_is_also_saved_is_still_the_output(folder: Path) -> None:
    (folder / "inner.yaml").write_text("""
nodes:
  word: {type: Text, text: a}
  join: {type: Join, words: [$word]}
  save_word: {type: Write, text: $word, path: word.txt}
  save: {type: Write, text: $join, path: out.txt}
""")
    text = "nodes: {s: {type: Workflow, path: inner.yaml}, j: {type: Join, words: [$s]}}"
    inner = graph(folder, text, only=["j"])
    assert inner.targets == (toys.Join(words=[toys.Join(words=[toys.Text(text="a")])]),)


def test_several_ends_are_a_problem_only_where_the_output_is_used(folder: Path) -> None:
    (folder / "two.yaml").write_text("nodes: {a: {type: Number}, b: {type: Flag}}")
    assert len(graph(folder, "nodes: {s: {type: Workflow, path: two.yaml}}").nodes) == 2
    used = "nodes: {s: {type: Workflow, path: two.yaml}, h: {type: Halve, a: $s}}"
    assert wrong(folder, used) == ["s.path: 2 possible outputs (a, b) / one output"]


def test_workflows_nest_and_paths_are_relative_to_the_file_that_names_them(folder: Path) -> None:
    (folder / "deep/er").mkdir(parents=True)
    (folder / "deep/er/b.txt").write_text("b")
    (folder / "deep/er/read.yaml").write_text(
        "inputs: {p: {type: Path, default: b.txt}}\nnodes: {r: {type: Read, path: $inputs.p}}"
    )
    (folder / "deep/mid.yaml").write_text(
        "inputs: {p: {type: Path, default: er/b.txt}}\n"
        "nodes: {m: {type: Workflow, path: er/read.yaml, p: $inputs.p}, "
        "d: {type: Workflow, path: er/read.yaml}, "
        "l: {type: Workflow, path: er/read.yaml, p: ../a.txt}}\noutput: $m\n"
    )
    inner = graph(folder, "nodes: {o: {type: Workflow, path: deep/mid.yaml, p: a.txt}}")
    paths = {
        name: str(Path(node.path).resolve())
        for node, name in inner.names.items()
        if isinstance(node, toys.Read)
    }
    assert set(paths.values()) == {str(folder / "a.txt"), str(folder / "deep/er/b.txt")}
    inner = graph(folder, (folder / "deep/mid.yaml").read_text(), "deep/mid2.yaml")
    assert all(Path(node.path).is_file() for node in inner.nodes if isinstance(node, toys.Read))


@pytest.mark.parametrize("kind", ["Path", "str"])
def test_a_path_given_by_hand_is_relative_to_where_one_stands(
    folder: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    (folder / "read.yaml").write_text(
        "inputs: {p: {type: Path}}\nnodes: {r: {type: Read, path: $inputs.p}}"
    )
    (folder / "here").mkdir()
    (folder / "here/mine.txt").write_text("m")
    monkeypatch.chdir(folder / "here")
    text = f"""
inputs: {{p: {{type: {kind}, default: a.txt}}}}
nodes:
  r: {{type: Read, path: $inputs.p}}
  s: {{type: Workflow, path: read.yaml, p: $inputs.p}}
"""
    bound = graph(folder, text, p="mine.txt")
    assert bound.nodes == (toys.Read(path=folder / "here/mine.txt"),)
    assert graph(folder, text).nodes == (toys.Read(path=folder / "a.txt"),)


def test_problems_stand_in_the_file_they_are_in(folder: Path) -> None:
    (folder / "inner.yaml").write_text("nodes:\n  n: {type: Number, value: x}\n")
    with pytest.raises(InvalidWorkflowError) as caught:
        graph(folder, "nodes:\n  s: {type: Workflow, path: inner.yaml, none: 1}\n")
    places = [(Path(p.at.file).name, p.at.line, p.at.column) for p in caught.value.problems if p.at]
    assert places == [("inner.yaml", 2, 28), ("outer.yaml", 2, 41)]


def test_files_in_a_circle_are_reported(folder: Path) -> None:
    (folder / "a.yaml").write_text("nodes: {s: {type: Workflow, path: b.yaml}}")
    (folder / "b.yaml").write_text("nodes: {s: {type: Workflow, path: a.yaml}}")
    message = wrong(
        folder,
        (folder / "a.yaml").read_text(),
    )
    assert message == [
        "s/s/s.path: outer.yaml → b.yaml → a.yaml → b.yaml / no workflow inside itself"
    ]
    with pytest.raises(InvalidWorkflowError, match=r"a\.yaml → b\.yaml → a\.yaml"):
        load_workflow(folder / "a.yaml", registry=toys.REGISTRY).graph()


def test_a_bomb_of_sub_workflows_is_stopped(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subworkflow, "MAX_WORKFLOWS", 50)
    for level in range(8):
        entries = ", ".join(f"n{i}: {{type: Workflow, path: l{level + 1}.yaml}}" for i in range(10))
        (folder / f"l{level}.yaml").write_text(f"nodes: {{{entries}}}")
    (folder / "l8.yaml").write_text("nodes: {n: {type: Number}}")
    message = wrong(folder, (folder / "l0.yaml").read_text())
    assert "more than 50 sub-workflows / a smaller workflow" in message[0]


def test_workflows_nested_too_deep_are_reported(folder: Path) -> None:
    for level in range(20):
        (folder / f"l{level}.yaml").write_text(
            f"nodes: {{n: {{type: Workflow, path: l{level + 1}.yaml}}}}"
        )
    (folder / "l20.yaml").write_text("nodes: {n: {type: Number}}")
    (message,) = wrong(folder, (folder / "l0.yaml").read_text())
    assert "more than 16 workflows in one another" in message


@pytest.mark.parametrize("path", ['"a\\0b"', "[1]", "3", "~nobody-at-all/x.yaml", '""', "."])
def test_a_path_that_is_no_workflow_is_reported(folder: Path, path: str) -> None:
    (message,) = wrong(folder, f"nodes: {{s: {{type: Workflow, path: {path}}}}}")
    assert message.startswith("s.path: ")


@pytest.mark.parametrize("path", ['"a\\0b"', "a" * 300, "a.txt/b", "~nobody-at-all/x", '""'])
def test_a_source_that_no_file_system_has_is_reported(folder: Path, path: str) -> None:
    (message,) = wrong(folder, f"nodes: {{r: {{type: Read, path: {path}}}}}")
    assert message.startswith("r.path: ")


@pytest.mark.parametrize("name", ["größe", "ñandu", "_x", "名前", "yes", "null", "e1"])
def test_any_identifier_may_name_a_node_and_an_input(name: str) -> None:
    text = (
        f"inputs: {{{name}: 4}}\nnodes:\n  {name}: {{type: Number, value: $inputs.{name}}}\n"
        f"  half: {{type: Halve, a: ${name}}}\n"
    )
    inner = workflow_from_yaml(text, registry=toys.REGISTRY).graph()
    assert inner.targets == (toys.Halve(a=toys.Number(value=4)),)


def test_equal_nodes_under_two_names_are_one(folder: Path) -> None:
    text = "nodes: {a: {type: Number, value: 1}, b: {type: Number, value: 1}, c: {type: Flag}}"
    inner = graph(folder, text)
    assert len(inner.nodes) == 2 and set(inner.names.values()) == {"a", "c"}


def test_a_checkpoint_that_is_a_path_is_relative_to_its_file(folder: Path) -> None:
    text = "nodes: {d: {type: Dream, checkpoint: {source: ./model, dtype: float16}}}"
    workflow = load_workflow(_written(folder, text), registry=toys.REGISTRY)
    with pytest.raises(InvalidWorkflowError, match=str(folder / "model")):
        workflow.graph()


def _written(folder: Path, text: str) -> Path:
    (folder / "w.yaml").write_text(text)
    return folder / "w.yaml"


def test_wrong_wires_do_not_hide_fields_that_do_not_fit_together() -> None:
    text = (
        "nodes:\n"
        "  photo: {type: Text2Image, prompt: x}\n"
        "  edges: {type: Canny, image: $photo}\n"
        "  cat: {type: Inpaint, image: $photo, mask: $edges, prompt: y, steps: 2, strength: 0.3}\n"
    )

    problems = workflow_from_yaml(text, registry=installed_registry()).problems()

    assert [problem.subject for problem in problems] == ["cat.mask", "cat.strength"]
