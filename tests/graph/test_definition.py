"""A node class that breaks a rule is refused while it is made, with a message that says which."""

from __future__ import annotations

from typing import Any

import pytest
from pydantic import Field

from sdgraph.errors import NodeDefinitionError
from sdgraph.graph import In, Node, SourceFile, TargetFile
from sdgraph.values import Checkpoint, EdgeMap, Image, Mask
from tests.support import toys


def defined(body: str, base: str = "Node[Image]") -> type[Node[Any]]:
    """The class that this source makes; from source, so that wrong ones pass mypy and ruff."""
    space: dict[str, Any] = {**globals()}
    lines = "\n".join(f"    {line}" for line in body.splitlines())
    exec(f"class Toy({base}):\n{lines}", space)
    node_type: type[Node[Any]] = space["Toy"]
    return node_type


RUN = "def run(self) -> Image: ..."


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "a: In[int]\ndef run(self) -> Image: ...",
            r"arguments \(\) for the ports \(a\)",
        ),
        ("def run(self, image: Image) -> Image: ...", r"Toy\.run\n.*arguments \(image\)"),
        ("image: In[Image]\ndef run(self, picture: Image) -> Image: ...", "exactly the ports"),
        ("low: int = 3\ndef run(self, low: int) -> Image: ...", "parameters are read from self"),
        (
            "image: In[Image]\ndef run(self, **image: Image) -> Image: ...",
            r"s \(\*\*image\)",
        ),
        (f"category = 'pictures'\n{RUN}", r"Toy\.category\n.*'pictures'\n.*mask, picture, train"),
        ("image: In[Image]\ndef run(self, *image: Image) -> Image: ...", r"arguments \(\*image\)"),
        ("image: In[Image]\ndef run(self, image: Image, /) -> Image: ...", "exactly the ports"),
        ("def run(self) -> Mask: ...", r"returns Mask\n.*the class is a Node\[Image\]"),
        ("def run(self) -> None: ...", "returns NoneType"),
        ("def run(self) -> Image | Mask: ...", r"returns .*Image \| .*Mask"),
        ("a: In[Image]\ndef run(self, a: Mask) -> Image: ...", r"found:  a: Mask\n.*an Image"),
        (f"image: In[Image]\nedge: In[Image] = 3\n{RUN}", r"Toy\.run\n.*arguments \(\)"),
        (f"low: int = 'x'\n{RUN}", r"Toy\.low\n.*the default 'x'\n.* a valid integer"),
        (f"low: int = True\n{RUN}", r"Toy\.low\n.*the default True"),
        (
            f"low: int = Field(default=9, le=5)\n{RUN}",
            r"the default 9\n.*or equal to 5",
        ),
        (
            f"low: list[int] = Field(default_factory=lambda: ['x'])\n{RUN}",
            r"Toy\.low\n.*the default",
        ),
        ("a: In[int] = 'x'\ndef run(self, a: int) -> Image: ...", r"Toy\.a\n.*the default 'x'"),
        ("a: In[Image] = toys.Hole()\ndef run(self, a: Image) -> Image: ...", r"Toy\.a\n"),
        ("rows: list[list[In[int]]]\ndef run(self, rows: Any) -> Image: ...", "too deep"),
        ("named: dict[str, In[int]]\ndef run(self, named: Any) -> Image: ...", "too deep"),
        *[
            (f"{name}: int = 1\n{RUN}", rf"Toy\.{name}\n.* a name that is taken")
            for name in (
                "models",
                "progress",
                "provenance",
                "type",
                "version",
                "effect",
                "category",
                "wires",
                "identity",
                "own_identity",
                "parts",
                "check",
                "replace",
                "output",
                "definition",
            )
        ],
    ],
)
@pytest.mark.filterwarnings("ignore:Field name:UserWarning")
def test_a_class_that_breaks_a_rule_is_refused(body: str, message: str) -> None:
    with pytest.raises(NodeDefinitionError, match=message):
        defined(body)


@pytest.mark.parametrize(
    ("base", "message"),
    [
        ("Node", "wanted: what the node makes"),
        ("Node[dict[str, int]]", "is no kind of value"),
        ("Node[list]", "is no kind of value"),
        ("Node[Image | Mask]", "is no kind of value"),
        ("Node[None]", "is no kind of value"),
        ("Node[Any]", "is no kind of value"),
    ],
)
def test_a_class_must_say_what_it_makes(base: str, message: str) -> None:
    with pytest.raises(NodeDefinitionError, match=message):
        defined("def run(self) -> Any: ...", base)


@pytest.mark.parametrize(
    "body",
    [
        RUN,
        "def run(self): ...",
        "def run(self) -> EdgeMap: ...",
        "def run(self) -> Any: ...",
        "def run(self) -> 'OnlyForCheckers': ...",
        "image: In[EdgeMap]\ndef run(self, image: Image) -> Image: ...",
        "image: In[Image] | None = None\ndef run(self, image: Image | None) -> Image: ...",
        "a: In[int] = toys.Number(value=2)\ndef run(self, a: int) -> Image: ...",
        "def run(self, models: Any, progress: Any, provenance: str) -> Image: ...",
    ],
)
def test_a_class_that_keeps_the_rules_is_accepted(body: str) -> None:
    assert defined(body).definition.output is Image


def test_fields_that_may_not_stand_alone_need_no_valid_defaults() -> None:
    class OneOf(Node[int]):
        a: int | None = None
        b: int | None = None

        def run(self) -> int:
            return 0

        def model_post_init(self, context: Any, /) -> None:
            super().model_post_init(context)

    assert OneOf(a=1) != OneOf(b=1)


def test_a_definition_lists_ports_files_and_services() -> None:
    class Both(Node[Image]):
        image: In[Image] | In[Mask]
        source: SourceFile
        more: list[SourceFile] = Field(default=[])
        target: TargetFile | None = None
        checkpoint: In[Checkpoint] = "tiny/x"  # type: ignore[assignment]
        low: int = 1

        def run(self, image: Image | Mask, checkpoint: Checkpoint, progress: Any) -> Image:
            raise NotImplementedError

    definition = Both.definition
    assert definition.fields == ("image", "source", "more", "target", "checkpoint", "low")
    assert {name: port.kinds for name, port in definition.ports.items()} == {
        "image": (Image, Mask),
        "checkpoint": (Checkpoint,),
    }
    assert definition.sources == ("source", "more") and definition.targets == ("target",)
    assert definition.services == {"progress"} and definition.output is Image


def test_a_subclass_has_its_own_definition_and_inherits_run() -> None:
    class Louder(toys.Number):
        more: int = 1

    assert Louder.definition.fields == ("value", "more")
    assert Louder(value=1) != toys.Number(value=1)


def test_a_new_version_makes_another_node() -> None:
    def make_node(number: int) -> Node[Any]:
        return defined(f"version = {number}\n{RUN}")()

    assert make_node(1) == make_node(1) and make_node(1) != make_node(2)


def test_edge_maps_are_images_to_a_definition() -> None:
    assert issubclass(EdgeMap, toys.Edges.definition.ports["image"].kinds)
