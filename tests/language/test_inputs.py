"""Inputs have a type and perhaps a default, and refuse values of other types."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from sdgraph.errors import Problem
from sdgraph.language import Input, input_problems, inputs
from sdgraph.language.inputs import MISSING, kind_of_input, read_declarations
from sdgraph.language.yaml_document import parse_document
from sdgraph.values import Checkpoint, EdgeMap, Image, Mask
from tests.support import toys

PICTURE = Image(np.zeros((2, 2, 3), np.uint8))


def read(text: str) -> tuple[dict[str, Input], list[Problem]]:
    problems: list[Problem] = []
    return read_declarations(parse_document(f"inputs: {text}"), problems, {}), problems


@pytest.mark.parametrize(
    ("text", "kind", "default"),
    [
        ("a cat", "str", "a cat"),
        ("3", "int", 3),
        ("1.5", "float", 1.5),
        ("true", "bool", True),
        ("{type: int}", "int", MISSING),
        ("{default: 3}", "int", 3),
        ("{type: float, default: 3}", "float", 3),
        ("{type: Path, default: a}", "Path", "a"),
        ("{type: Image}", "Image", MISSING),
        ("{type: Image, default: a.png}", "Image", "a.png"),
        ("{type: Checkpoint, default: {source: a/b}}", "Checkpoint", {"source": "a/b"}),
        ("{type: str, default: $x}", "str", "$x"),
    ],
)
def test_an_input_is_declared_by_its_default_or_by_a_map(
    text: str, kind: str, default: Any
) -> None:
    inputs, problems = read(f"{{x: {text}}}")
    assert problems == [] and inputs == {"x": Input("x", kind, default)}
    assert inputs["x"].required == (default is MISSING)


def test_no_inputs_are_none() -> None:
    assert read("") == ({}, [])
    assert [problem.subject for problem in read("[1]")[1]] == ["inputs"]


@pytest.mark.parametrize("name", inputs.RESERVED_NAMES)
def test_names_that_run_takes_for_itself_are_refused(name: str) -> None:
    assert [problem.subject for problem in read(f"{{{name}: 3}}")[1]] == [f"inputs.{name}"]


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        ("str", ["", "x"], [1, None, True, Path("x")]),
        ("int", [0, -3], [True, 1.0, "1", None]),
        ("float", [0, 1.5], [True, "1", float("nan"), float("inf"), None]),
        ("bool", [True], [0, 1, "true"]),
        ("Path", ["a", Path("a")], [1, None, ["a"]]),
        ("Checkpoint", ["a/b", {"source": "a"}, Checkpoint("a"), Path("a")], [1, None, ["a"]]),
        (
            "Image",
            [PICTURE, "a.png", Path("a.png"), toys.Square(), toys.Edges(image=PICTURE)],
            [1, None, toys.Hole(), Mask(np.zeros((2, 2), np.uint8))],
        ),
        (
            "EdgeMap",
            [EdgeMap(PICTURE.numpy), toys.Edges(image=PICTURE), "a.png"],
            [1, PICTURE, toys.Square()],
        ),
        (
            "ControlMap",
            [EdgeMap(PICTURE.numpy), toys.Edges(image=PICTURE)],
            ["a.png", PICTURE, toys.Square()],
        ),
    ],
)
def test_a_value_fits_or_is_reported(kind: str, right: list[Any], wrong: list[Any]) -> None:
    inputs = {"x": Input("x", kind)}
    assert [input_problems(inputs, {"x": value}) for value in right] == [[] for _ in right]
    for value in wrong:
        (problem,) = input_problems(inputs, {"x": value})
        assert problem.subject == "inputs.x" and problem.found and problem.wanted


@pytest.mark.parametrize(
    ("kind", "text", "value"),
    [
        ("int", "3", 3),
        ("int", "-1", -1),
        ("float", "3", 3.0),
        ("float", "1e3", 1000.0),
        ("bool", "true", True),
        ("bool", "FALSE", False),
        ("str", "3", "3"),
        ("Path", "a b", "a b"),
        ("Checkpoint", "a/b", "a/b"),
    ],
)
def test_a_text_on_the_command_line_is_read_by_the_type(kind: str, text: str, value: Any) -> None:
    value_read = Input("x", kind).parse(text)
    assert value_read == value and type(value_read) is type(value)


@pytest.mark.parametrize(
    ("kind", "text"), [("int", "3.5"), ("int", "x"), ("int", ""), ("float", "x"), ("bool", "1")]
)
def test_a_text_of_another_type_is_refused(kind: str, text: str) -> None:
    with pytest.raises(ValueError, match=r"number|true or false"):
        Input("x", kind).parse(text)


def test_every_type_is_known_by_its_kind_or_is_one_that_texts_stand_for() -> None:
    unsure = {name for name in inputs.INPUT_TYPES if kind_of_input(Input("x", name)) is None}
    assert unsure == {"str", "Path", "Checkpoint"}
