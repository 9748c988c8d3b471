"""Parameters that are enums, paths, dataclasses or sets, from workflow files and from Python."""

from __future__ import annotations

import datetime
import decimal
import enum
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from pydantic import Field

from sdgraph import InvalidNodeError, Node, Session, run, to_yaml
from sdgraph.errors import NodeDefinitionError
from sdgraph.graph import Registry
from sdgraph.language import node_schema, workflow_from_yaml


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


@dataclass(frozen=True)
class Place:
    x: int
    colour: Colour = Colour.RED
    names: frozenset[str] = frozenset()


class Painter(Node[str]):
    """Shows its parameters."""

    colour: Colour = Colour.RED
    level: Level | None = None
    file: Path = Path("a.png")
    place: Place = Place(1)
    words: set[str] = Field(default={"a"})
    colours: Sequence[Colour] = ()
    files: dict[str, Path] = Field(default={})
    places: list[Place] = Field(default=[])
    sizes: tuple[int, Level] = (1, Level.LOW)

    def run(self) -> str:
        return repr(self)


REGISTRY = Registry({"Painter": Painter})

WRITTEN: dict[str, tuple[Any, Any]] = {
    "colour": ("blue", Colour.BLUE),
    "level": (2, Level.HIGH),
    "file": ("b/c.png", Path("b/c.png")),
    "place": (
        "{x: 3, colour: BLUE, names: [b, c]}",
        Place(3, Colour.BLUE, frozenset(("b", "c"))),
    ),
    "words": ("[c, b, c]", frozenset(("b", "c"))),
    "colours": ("[red, BLUE]", (Colour.RED, Colour.BLUE)),
    "files": ("{a: x.png}", {"a": Path("x.png")}),
    "places": ("[{x: 1}, {x: 2}]", (Place(1), Place(2))),
    "sizes": ("[5, HIGH]", (5, Level.HIGH)),
}


@pytest.mark.parametrize("field", WRITTEN)
def test_plain_data_of_a_file_becomes_the_parameter_and_is_written_again(field: str) -> None:
    written, value = WRITTEN[field]
    text = f"nodes: {{a: {{type: Painter, {field}: {written}}}}}"
    (node,) = workflow_from_yaml(text, registry=REGISTRY).graph().targets
    assert getattr(node, field) == value
    fields: dict[str, Any] = {field: value}
    assert node == Painter(**fields) != Painter()
    (again,) = workflow_from_yaml(to_yaml(node), registry=REGISTRY).graph().targets
    assert again == node
    assert run(node, session=Session(device="cpu", store=None)) == repr(node)


def test_equal_values_are_equal_nodes_and_others_are_not() -> None:
    nodes = [
        Painter(words={"b", "a"}),
        Painter(place=Place(1, names=frozenset("ab"))),
        Painter(place=Place(2)),
        Painter(level=Level.LOW),
        Painter(level=Level.HIGH),
        Painter(),
    ]
    assert len(set(nodes)) == len(nodes)
    frozen: Any = frozenset(("a", "b"))
    assert Painter(words={"b", "a"}) == Painter(words=frozen)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"colour": "green"}, ["Painter.colour", "the text 'green'", "one of red, blue"]),
        ({"level": "MIDDLE"}, ["Painter.level", "one of 1, 2"]),
        ({"level": 3}, ["Painter.level", "one of 1, 2"]),
        ({"file": 3}, ["Painter.file", "a path"]),
        ({"place": {"y": 1}}, ["Painter.place", "a map of x (int), colour (Colour)"]),
        ({"place": {"x": "1"}}, ["Painter.place", "a map of x (int)"]),
        ({"place": 3}, ["Painter.place", "a map of x (int)"]),
        ({"words": "a"}, ["Painter.words", "a list, each item text"]),
        ({"colours": ["red", "green"]}, ["Painter.colours.1", "one of red, blue"]),
    ],
)
def test_a_wrong_value_says_what_is_wanted(fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(InvalidNodeError) as caught:
        Painter(**fields)
    assert all(word in str(caught.value) for word in words), str(caught.value)


@dataclass
class Changing:
    x: int = 0


@pytest.mark.parametrize(
    ("kind", "words"),
    [
        (datetime.date, "a parameter of type date"),
        (decimal.Decimal, "a parameter of type Decimal"),
        (bytes, "a parameter of type bytes"),
        (list[complex], "a parameter of type complex"),
        (dict[str, datetime.timedelta], "a parameter of type timedelta"),
        (Changing, "Changing, a dataclass that can be changed"),
        (Changing | None, "write @dataclass"),
    ],
)
def test_a_type_that_no_file_can_write_is_refused_when_the_class_is_made(
    kind: Any, words: str
) -> None:
    fields = {"__annotations__": {"given": kind}, "__module__": __name__, "run": lambda self: ""}
    with pytest.raises(NodeDefinitionError, match=words) as caught:
        type("Wrong", (Node[str],), fields)
    assert caught.value.problems[0].subject == "Wrong.given"


def test_the_schema_names_the_choices() -> None:
    schema = str(node_schema(Painter))
    assert "['red', 'blue']" in schema and "[1, 2]" in schema
