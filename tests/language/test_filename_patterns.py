"""File name patterns are filled from inputs; they reach no other folder and no attribute."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph.errors import Problem
from sdgraph.language import escape_braces, slugify, to_yaml, workflow_from_yaml
from sdgraph.language.filename_patterns import fill_pattern, holds_pattern
from sdgraph.values import Checkpoint, Image
from tests.support import toys
from tests.support.strategies import texts

INPUTS: dict[str, Any] = {
    "seed": 7,
    "scale": 0.5,
    "prompt": "A red/star, on navy!",
    "photo": Path("/a/My cat.png"),
    "model": Checkpoint("owner/name"),
    "on": True,
    "picture": Image(np.zeros((2, 2, 3), np.uint8)),
}


@pytest.mark.parametrize(
    ("pattern", "name"),
    [
        ("{seed:04d}_{prompt_slug}.png", "0007_a-red-star-on-navy.png"),
        ("{number:03d}.png", "012.png"),
        ("{photo}-{photo_slug}.png", "My cat-my-cat.png"),
        ("{prompt}.png", "A red-star, on navy!.png"),
        ("{prompt:.5}.png", "A red.png"),
        ("{scale:.2f}{on}.png", "0.50true.png"),
        ("{model}.png", "owner-name.png"),
        ("{{seed}}{seed}.png", "{seed}7.png"),
        ("{seed:/>3}.png", "-7.png"),
    ],
)
def test_a_pattern_is_filled(pattern: str, name: str) -> None:
    assert fill_pattern(pattern, INPUTS, 12) == name


@pytest.mark.parametrize(
    "pattern",
    [
        "{seed.__class__}",
        "{prompt[0]}",
        "{seed!r}",
        "{}",
        "{0}",
        "{seed:{seed}}",
        "{seed",
        "}",
        "{seed:999d}",
        "{seed:.999f}",
        "{sed}",
        "{prompt:04d}",
        "{picture}",
        "{picture_slug}",
        "{seed:%Y}",
        "{on.real}",
        "{ seed }",
    ],
)
def test_a_hostile_or_wrong_pattern_is_refused(pattern: str) -> None:
    filled = fill_pattern(f"out/{pattern}.png", INPUTS, 1)
    assert isinstance(filled, Problem)
    assert filled.found and filled.wanted


@given(texts, st.sampled_from(["{it}", "{it_slug}", "{it:.3}", "{it:/<9}", "{it}{it}"]))
def test_no_text_leads_to_another_folder(text: str, pattern: str) -> None:
    filled = fill_pattern(f"out/{pattern}/x.png", {"it": text}, 1)
    assert isinstance(filled, str)
    assert len(Path(filled).parts) == 3 and ".." not in Path(filled).parts
    assert "\\" not in filled and "\0" not in filled


@given(texts)
def test_a_slug_is_short_and_plain(text: str) -> None:
    slug = slugify(text)
    assert 0 < len(slug) <= 40
    assert all(letter.isalnum() or letter in "-." for letter in slug)


@given(texts)
def test_braces_that_are_kept_stand_for_themselves(text: str) -> None:
    assert not holds_pattern(escape_braces(text))
    assert fill_pattern(escape_braces(text), {}, 1) == text


def test_a_path_with_braces_is_written_to_yaml_so_that_it_is_read_back() -> None:
    node = toys.Write(text="a", path="/out/{seed}.txt")
    again = workflow_from_yaml(to_yaml(node), registry=toys.REGISTRY, folder="/out").graph()
    assert again.targets == (node,)


def test_an_input_that_is_still_open_is_no_mistake_in_a_pattern() -> None:
    text = (
        "inputs: {name: {type: str}}\n"
        'nodes: {save: {type: Write, text: a, path: "/out/{name_slug}.txt"}}'
    )
    workflow = workflow_from_yaml(text, registry=toys.REGISTRY, folder="/out")
    assert workflow.problems() == []
    (node,) = workflow.graph(name="A B").targets
    assert node == toys.Write(text="a", path="/out/a-b.txt")


def test_a_wrong_pattern_stands_in_its_line_of_the_file() -> None:
    text = 'inputs: {seed: 1}\nnodes:\n  save: {type: Write, text: a, path: "{sed}.txt"}\n'
    (problem,) = workflow_from_yaml(text, registry=toys.REGISTRY, file="f.yaml").problems()
    assert str(problem.at) == "f.yaml:3:38" and problem.subject == "save.path"
    assert problem.fix == "did you mean 'seed'?"


def test_the_pattern_of_a_workflow_inside_another_names_its_own_inputs(tmp_path: Path) -> None:
    (tmp_path / "inner.yaml").write_text(
        'inputs: {word: a}\nnodes: {save: {type: Write, text: $inputs.word, path: "{word}.txt"}}'
    )
    outer = "inputs: {word: b}\nnodes: {in: {type: Workflow, path: inner.yaml, word: c}}"
    graph = workflow_from_yaml(outer, registry=toys.REGISTRY, folder=tmp_path).graph()
    assert graph.targets == (toys.Write(text="c", path=tmp_path / "c.txt"),)
