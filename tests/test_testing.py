"""The test helpers for node packs find every rule that a node breaks."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from pydantic import Field

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
from tests.support.processes import python

MASK = spot(8, 8)


@pytest.mark.parametrize(
    ("node", "changes"),
    [
        (ToyNumber(value=3), {}),
        (ToyAdd(a=ToyNumber(value=1), b=2), {}),
        (ToySquare(), {}),
        (Resize(image=photo(8, 8), width=4, height=5), {}),
        (Canny(image=photo(16, 16)), {}),
        (MaskGrow(mask=MASK, by=2), {"mask": Mask(255 - MASK.numpy)}),
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

    kind: tuple[int, int] = Field(default=(1, 2), description="a pair")

    def run(self) -> Any:
        return 7


def test_every_broken_promise_is_named() -> None:
    problems = "\n".join(node_problems(Bad()))
    assert "Bad has no docstring" in problems and "Bad.low has no description" in problems
    assert "Bad makes another value when it runs again" in problems
    undecided = "\n".join(node_problems(Undecided(), runs=False))
    assert undecided == "Undecided.kind: no other value was found; give one by `changes`"
    with pytest.raises(AssertionError, match=r"Bad\.low has no description"):
        check_node(Bad())


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
    printed = python("import sys, sdgraph.testing; print('torch' in sys.modules)")
    assert printed == "False\n"
