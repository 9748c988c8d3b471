"""What is written in a node's fields becomes values, and what cannot be is reported."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from sdgraph.errors import Problem
from sdgraph.graph import DeferredValue, Origin
from sdgraph.language import NodePlaceholder, NodeSpec
from sdgraph.language.field_values import FieldResolver
from sdgraph.language.template import WorkflowTemplate, parse_template
from sdgraph.language.yaml_document import KeyPath, parse_document
from tests.support import toys

FILE = """
inputs: {seed: 7, name: star, photo: {type: Path, default: a.png}}
nodes: {one: {type: Number, value: 1}, two: {type: Number}}
"""
SPEC = NodeSpec("save", "Write", {})
NUMBER = toys.Number(value=1)


class Resolving:
    """A resolver for one small file, with the problems that it reports."""

    def __init__(self, folder: Path, out: Path | None = None, **inputs: Any) -> None:
        self.problems: list[tuple[Problem, KeyPath]] = []
        template = parse_template(parse_document(FILE), folder, {})
        template = WorkflowTemplate(**{**vars(template), "out": out})
        values = {name: declared.default for name, declared in template.inputs.items()}
        self.resolver = FieldResolver(
            template,
            inputs,
            folder / "here",
            {**values, **inputs},
            {name: Origin(name, declared.type) for name, declared in template.inputs.items()},
            node=self.node,
            report=lambda problem, spec, place: self.problems.append((problem, place)),
            variant_number=3,
        )

    @staticmethod
    def node(name: str) -> DeferredValue:
        return NUMBER if name == "one" else NodePlaceholder(int)

    def value(self, written: Any, role: str = "") -> Any:
        return self.resolver.value(written, SPEC, ("field",), role=role)


@pytest.mark.parametrize(
    ("written", "value"),
    [
        (3, 3),
        ("plain", "plain"),
        ("costs $5", "costs $5"),
        ("$$one", "$one"),
        ("$one", NUMBER),
        ("$inputs.seed", 7),
        (["$one", {"deep": "$inputs.name"}], [NUMBER, {"deep": "star"}]),
    ],
)
def test_references_become_what_they_name(tmp_path: Path, written: Any, value: Any) -> None:
    resolving = Resolving(tmp_path)
    assert resolving.value(written) == value and not resolving.problems


def test_a_node_that_could_not_be_built_is_a_placeholder(tmp_path: Path) -> None:
    value = Resolving(tmp_path).value("$two")
    assert isinstance(value, NodePlaceholder) and value.output is int


@pytest.mark.parametrize(
    ("written", "expected", "fix"),
    [
        ("$oen", "a node of this workflow: one, two", "did you mean $one?"),
        ("$seed", "a node of this workflow: one, two", "did you mean $inputs.seed?"),
        (
            "$inputs.nam",
            "an input of this workflow: seed, name, photo",
            "did you mean $inputs.name",
        ),
        ("$zzz", "a node of this workflow: one, two", "write $$zzz for the text '$zzz'"),
    ],
)
def test_an_unknown_reference_is_reported_with_the_nearest(
    tmp_path: Path, written: str, expected: str, fix: str
) -> None:
    resolving = Resolving(tmp_path)
    assert isinstance(resolving.value([written]), list)
    ((problem, place),) = resolving.problems
    assert place == ("field", 0)
    assert (problem.subject, problem.found, problem.wanted) == ("field.0", written, expected)
    assert problem.fix.startswith(fix)


def test_paths_are_relative_to_what_names_them(tmp_path: Path) -> None:
    assert Resolving(tmp_path).value("b.png", "source") == tmp_path / "b.png"
    assert Resolving(tmp_path).value("$inputs.photo", "source") == tmp_path / "a.png"
    resolving = Resolving(tmp_path, photo="c.png")
    assert resolving.value("$inputs.photo", "source") == tmp_path / "here" / "c.png"
    assert Resolving(tmp_path).value("", "source") == ""


def test_files_to_write_go_below_out_and_take_inputs_into_their_names(tmp_path: Path) -> None:
    resolving = Resolving(tmp_path, out=tmp_path / "out")
    assert resolving.value("{name}_{seed:03d}_{number}.png", "target") == (
        tmp_path / "out" / "star_007_3.png"
    )
    assert isinstance(resolving.value("{nam}.png", "target"), NodePlaceholder)
    ((problem, _),) = resolving.problems
    assert problem.subject == "field" and problem.fix == "did you mean 'name'?"


def test_it_keeps_which_places_were_read_from_which_inputs(tmp_path: Path) -> None:
    resolving = Resolving(tmp_path)
    resolving.value(["$inputs.seed", "$one", 7])
    assert resolving.resolver.read == {("field", 0): Origin("seed", "int")}
    resolving.resolver.begin()
    assert not resolving.resolver.read
