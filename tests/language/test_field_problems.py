"""Problems of a node class are reported in the terms of the workflow file."""

from __future__ import annotations

from typing import Any

from sdgraph.errors import InvalidNodeError, Problem
from sdgraph.graph import Node
from sdgraph.language import NodePlaceholder, NodeSpec
from sdgraph.language.field_problems import problem_as_written
from tests.support import toys

NODES = {"word": toys.Text(text="a"), "three": toys.Number(value=3), "open": NodePlaceholder(None)}


def reported_problem(cls: type[Node[Any]], written: dict[str, Any], **fields: Any) -> Any:
    """The class's only problem with these fields, as the workflow file is told of it."""
    try:
        cls(**fields)
    except InvalidNodeError as error:
        (problem,) = error.problems
        spec = NodeSpec("it", cls.__name__, written)
        return problem_as_written(problem, spec, cls, fields, NODES)
    raise AssertionError("no problem")


def test_a_wire_of_the_wrong_kind_names_the_reference_and_what_would_fit() -> None:
    problem, place = reported_problem(toys.Halve, {"a": "$word"}, a=NODES["word"])
    assert place == ("a",)
    assert problem == Problem("a", "$word, which makes text", "a whole number", "$three would fit")


def test_a_plain_value_is_reported_as_it_is() -> None:
    problem, place = reported_problem(toys.Halve, {"a": "x"}, a="x")
    assert place == ("a",) and (problem.subject, problem.found) == ("a", "the text 'x'")


def test_an_input_of_the_wrong_kind_is_named_with_its_value() -> None:
    problem, _ = reported_problem(toys.Number, {"value": "$inputs.seed"}, value="x")
    assert problem.found == "$inputs.seed, the text 'x'"


def test_a_node_in_a_parameter_should_be_a_plain_value() -> None:
    problem, _ = reported_problem(toys.Number, {"value": "$three"}, value=NODES["three"])
    assert problem.fix == "a parameter takes a plain value, not a node"


def test_a_parameter_whose_value_is_not_known_has_no_problem_of_its_own() -> None:
    assert reported_problem(toys.Number, {"value": "$open"}, value=NODES["open"]) is None
