"""References in the plain data of a workflow file, and the values at its places."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph.language import Reference, parse_reference
from sdgraph.language.references import (
    escape_dollar,
    is_misspelled_reference,
    unescape_dollar,
    value_at,
)
from tests.support.strategies import texts


@pytest.mark.parametrize(
    ("text", "reference"),
    [
        ("$photo", Reference("photo", False)),
        ("$inputs.seed", Reference("seed", True)),
        ("$_x1", Reference("_x1", False)),
        ("$größe", Reference("größe", False)),
        ("$ñ", Reference("ñ", False)),
        ("$inputs", Reference("inputs", False)),
        *[
            (text, None)
            for text in (
                "",
                "$",
                "$$",
                "$$x",
                "$5",
                "costs $5",
                "$x y",
                " $x",
                "$x\n",
                "$x.y",
                "$x²",
                "$a-b",
                "$inputs.",
                "$inputs.a.b",
                "$outputs.x",
                "x$y",
                "${x}",
            )
        ],
    ],
)
def test_a_text_is_a_reference_only_as_a_whole(text: str, reference: Reference | None) -> None:
    assert parse_reference(text) == reference
    assert reference is None or str(reference) == text


@pytest.mark.parametrize("value", [3, None, True, ["$x"], {"$x": 1}])
def test_what_is_no_text_is_no_reference(value: object) -> None:
    assert parse_reference(value) is None


@given(texts | st.text("$ax.", max_size=6))
def test_an_escaped_text_is_no_reference_and_is_read_back(text: str) -> None:
    written = escape_dollar(text)
    assert parse_reference(written) is None and not is_misspelled_reference(written)
    assert unescape_dollar(written) == text


@pytest.mark.parametrize("text", ["$input.seed", "$inputs.a.b", "$x.y", "$a.b.c"])
def test_a_name_with_dots_is_a_misspelled_reference(text: str) -> None:
    assert is_misspelled_reference(text) and not is_misspelled_reference(f"${text}")


@pytest.mark.parametrize(
    "text", ["$x", "$inputs.a", "costs $5.50", "$5.50", "$a.", "$a. b", "$$a.b", 3]
)
def test_other_values_are_no_misspelled_references(text: object) -> None:
    assert not is_misspelled_reference(text)


def test_a_place_that_is_not_there_is_nothing() -> None:
    assert value_at({"a": [1]}, ["a", 5]) is None and value_at({"a": 1}, ["a", 0]) is None
