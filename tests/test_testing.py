"""The test helpers for node packs find every rule that a node breaks."""

from __future__ import annotations

import itertools
from typing import Any, Self

import pytest
from pydantic import Field, model_validator

from sdgraph import Checkpoint, Graph
from sdgraph.graph import In, Node
from sdgraph.nodes import Canny, MaskGrow, Resize
from sdgraph.testing import (
    CountingLoader,
    ToyAdd,
    ToyNumber,
    ToySquare,
    check_node,
    fake_session,
    grey_square,
    node_problems,
)
from sdgraph.values import Image, Mask
from tests.support import fake_checkpoints, toys
from tests.support.photos import photo, spot
from tests.support.processes import forked

MASK = spot(8, 8)


@pytest.mark.parametrize(
    ("node", "changes"),
    [
        (ToyNumber(value=3), {}),
        (ToyAdd(a=ToyNumber(value=1), b=2), {}),
        (ToySquare(), {}),
        (Resize(image=photo(8, 8), width=4, height=5), {}),
        (Canny(image=photo(16, 16)), {}),
        (MaskGrow(mask=MASK, by=2), {}),
    ],
    ids=lambda value: type(value).__name__,
)
def test_nodes_that_keep_their_promises_pass(node: Node[Any], changes: dict[str, Any]) -> None:
    check_node(node, changes=changes)


_calls = itertools.count()


class Bad(Node[int]):
    low: int = 1
    image: In[Image] = Field(default=grey_square(2), description="a picture")

    def run(self, image: Image) -> int:
        return next(_calls)


class Undecided(Node[Image]):
    """Returns another kind than it declares."""

    kind: dict[str, int] = Field(default={"a": 1}, description="numbers by name")

    def run(self) -> Any:
        return 7


def test_every_broken_promise_is_named() -> None:
    problems = "\n".join(node_problems(Bad()))
    assert "Bad has no docstring" in problems and "Bad.low has no description" in problems
    assert "Bad makes another value when it runs again" in problems
    undecided = "\n".join(node_problems(Undecided(), runs=False))
    assert undecided == "Undecided.kind: no other value was found; give one in `changes`"
    refused = list(node_problems(Undecided(), changes={"kind": 7}, runs=False))
    assert len(refused) == 1
    assert refused[0].startswith(
        "Undecided.kind: the value in `changes` is refused: Undecided.kind"
    )
    with pytest.raises(AssertionError, match=r"Bad\.low has no description"):
        check_node(Bad())


class Framed(Node[Image]):
    """A picture with a border, or none."""

    image: In[Image] = Field(description="a picture")
    mask: In[Mask] | None = Field(default=None, description="where not to draw")
    border: int | None = Field(default=None, description="pixels")
    colour: str | None = Field(default=None, description="of the border", max_length=6)

    @model_validator(mode="after")
    def _colour_of_a_border(self) -> Self:
        if self.colour and self.border is None:
            raise ValueError("a colour of no border")
        return self

    def run(self, image: Image, mask: Mask | None) -> Image:
        return image


def test_a_field_that_has_none_is_given_something() -> None:
    check_node(Framed(image=grey_square(2)), fixed={"colour"})
    check_node(Framed(image=grey_square(2), mask=MASK, border=1, colour="red"), fixed={"border"})
    problems = list(node_problems(Framed(image=grey_square(2))))
    assert problems == ["Framed.colour: no other value was found; give one in `changes`"]


class Unkeyed(Node[int]):
    """A number of which nothing is known."""

    image: In[Image] | None = Field(default=None, description="a picture")

    def run(self, image: Image | None) -> int:
        return 1


def test_a_field_that_changes_no_key_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Unkeyed, "identity", property(lambda node: "one", lambda *_: None))
    (problem,) = node_problems(Unkeyed())
    assert problem == "Unkeyed.image: the key is the same for Image(8×8 RGB)"


@pytest.mark.torch
def test_what_a_node_would_load_is_noted_and_not_loaded(tmp_path: Any) -> None:
    weights = {"unet": b"12", "vae": b"3"}
    files = {name: fake_checkpoints.safetensors(data) for name, data in weights.items()}
    folder = fake_checkpoints.checkpoint(tmp_path / "a", **files)
    loader = CountingLoader()
    node = toys.Dream(prompt="a", checkpoint=Checkpoint(str(folder)))
    result = fake_session(loader).run(Graph.of(node, names={node: "dream"}))["dream"]
    assert result == f"a by unet and vae of {folder}"
    assert loader.loaded == [f"{folder}/unet", f"{folder}/vae"]


def test_it_is_imported_without_torch() -> None:
    done = forked("-c", "import sys, sdgraph.testing; print('torch' in sys.modules)")
    assert done.stdout == "False\n"
