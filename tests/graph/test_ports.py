"""Ports take literals and nodes of their kinds, by name; file fields take paths."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Optional

import pytest
from pydantic import TypeAdapter, ValidationError

from sdgraph.graph import DeferredValue, Port, describe_kind
from sdgraph.graph.ports import FileField, In, SourceFile, TargetFile, is_nested_too_deep, marks_in
from sdgraph.values import Checkpoint, ControlMap, DepthMap, EdgeMap, Image, Mask

KINDS: list[type] = [Image, Mask, ControlMap, EdgeMap, DepthMap, str, int, float, bool, Checkpoint]

port: Any = In
"""What `In[...]` is at run time."""


def lazy(kind: type | None) -> DeferredValue:
    class Made(DeferredValue):
        output = kind

    return Made()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("output", KINDS)
def test_a_port_takes_its_kind_its_subclasses_and_ints_for_floats(kind: type, output: type) -> None:
    narrower: dict[type, type] = {ControlMap: Image, EdgeMap: ControlMap, DepthMap: ControlMap}
    fits = output is kind or (kind, output) == (float, int)
    wider: type | None = output
    while (wider := narrower.get(wider)) if wider else None:
        fits = fits or wider is kind
    assert Port((kind,)).takes(output) == fits


def test_an_unknown_output_fits_anywhere() -> None:
    assert Port((Image,)).takes(None)
    wire = lazy(None)
    assert Port((Image,)).validate(wire) is wire


def test_a_port_of_several_kinds_takes_each_and_names_all() -> None:
    port = Port((Image, Mask))
    assert port.takes(EdgeMap) and port.takes(Mask) and not port.takes(str)
    assert port.kind == "an Image or a Mask"


@pytest.mark.parametrize(
    ("kind", "right", "wrong"),
    [
        (int, [0, -1, 2**80], [True, 1.0, "1", None, [1]]),
        (float, [0.5, 1, -0.0], [True, "1", float("nan"), float("inf"), None]),
        (bool, [True, False], [0, 1, "true", None]),
        (str, ["", "x"], [1, True, None, b"x"]),
        (Checkpoint, ["a/b", Path("x"), {"source": "a/b"}, Checkpoint("a")], [1, {}, "", {"x": 1}]),
    ],
)
def test_literals_are_taken_without_lossy_conversion(
    kind: Any, right: list[Any], wrong: list[Any]
) -> None:
    adapter: TypeAdapter[Any] = TypeAdapter(port[kind])
    for value in right:
        assert adapter.validate_python(value) == (
            Checkpoint.parse(value) if kind is Checkpoint else value
        )
    for value in wrong:
        with pytest.raises(ValidationError):
            adapter.validate_python(value)


def test_an_int_given_to_a_float_port_is_a_float() -> None:
    assert type(Port((float,)).validate(1)) is float
    assert type(Port((int, float)).validate(1)) is int


def test_the_marks_of_an_annotation_are_found_at_any_depth() -> None:
    port, file = Port((int,)), FileField("source")
    annotation = list[Annotated[Any, port]] | None
    assert list(marks_in(annotation)) == [port]
    assert list(marks_in(dict[str, Annotated[str, file]], (port,))) == [port, file]
    assert list(marks_in(SourceFile)) == [FileField("source")]
    assert list(marks_in(list[TargetFile])) == [FileField("target")]


WIRE: Any = port[int]


@pytest.mark.parametrize(
    ("annotation", "deep"),
    [
        (WIRE, False),
        (Optional[WIRE], False),  # noqa: UP045  WIRE is no class
        (list[WIRE], False),
        (Optional[list[WIRE]], False),  # noqa: UP045  WIRE is no class
        (tuple[WIRE, ...], False),
        (list[list[WIRE]], True),
        (dict[str, WIRE], True),
        (list[dict[str, WIRE]] | None, True),
        (dict[str, int], False),
        (list[list[int]], False),
    ],
)
def test_a_port_may_stand_in_one_list_and_no_deeper(annotation: Any, deep: bool) -> None:
    assert is_nested_too_deep(annotation) == deep


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (Image, "an Image"),
        (Mask, "a Mask"),
        (str, "text"),
        (int, "a whole number"),
        (None, "a value"),
    ],
)
def test_kinds_have_their_article(kind: type | None, words: str) -> None:
    assert describe_kind(kind) == words
