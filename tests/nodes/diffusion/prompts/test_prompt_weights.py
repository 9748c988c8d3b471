"""Weights in prompts: parsed as people write them, and any other text stays as it is."""

from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sdgraph.nodes import Text2Image
from sdgraph.nodes.diffusion.prompts.prompt_weights import excessive_weight, parse_weights
from tests.support.failing_runs import refused_before_load

TEXT = st.text(st.characters(exclude_characters="()\\", codec="utf-8"))
ANY = st.text(st.sampled_from("ab ()\\:1.-") | st.characters(codec="utf-8"))


@pytest.mark.parametrize(
    ("prompt", "expected"),
    [
        ("a red star", [("a red star", 1)]),
        ("a (red:1.3) star", [("a ", 1), ("red", 1.3), (" star", 1)]),
        ("a (red) star", [("a ", 1), ("red", 1.1), (" star", 1)]),
        ("((red))", [("red", 1.1 * 1.1)]),
        ("(a (b:2) c:0.5)", [("a ", 0.5), ("b", 1), (" c", 0.5)]),
        ("((a:2):3)", [("a", 6)]),
        ("(a: -.5 )", [("a", -0.5)]),
        ("(red:0)", [("red", 0)]),
        (r"a smile \(happy\)", [("a smile (happy)", 1)]),
        (r"(\(a\):2)", [("(a)", 2)]),
        ("f(x", [("f(x", 1)]),
        (":) and :(", [(":) and :(", 1)]),
        ("(at 12:30)", [("at 12", 30)]),  # a number after the last colon is a weight
        ("(a:b)", [("a:b", 1.1)]),
        ("()", [("", 1)]),
        ("", [("", 1)]),
    ],
)
def test_prompts_as_people_write_them(prompt: str, expected: list[tuple[str, float]]) -> None:
    parsed = parse_weights(prompt)
    assert [text for text, _ in parsed] == [text for text, _ in expected]
    assert all(
        math.isclose(one, other) for (_, one), (_, other) in zip(parsed, expected, strict=True)
    )


@given(TEXT)
def test_a_text_without_parentheses_is_itself(text: str) -> None:
    assert parse_weights(text) == ((text, 1.0),)


@given(ANY)
@example("(" * 3000 + ")" * 3000)
@example("(a:" + "9" * 400 + ")")
def test_nothing_is_refused_and_no_text_is_empty_or_split(text: str) -> None:
    parsed = parse_weights(text)
    assert len(parsed) == 1 or all(words for words, _ in parsed)
    assert all(one[1] != other[1] for one, other in itertools.pairwise(parsed))


@given(TEXT)
def test_escapes_give_back_any_text(text: str) -> None:
    escaped = f"({text})".replace("(", r"\(").replace(")", r"\)")
    assert parse_weights(escaped) == ((f"({text})", 1.0),)


@given(
    st.floats(-10, 10).map(lambda weight: round(weight, 3)),
    st.floats(0.1, 3).map(lambda x: round(x, 2)),
)
def test_nested_weights_multiply(inner: float, outer: float) -> None:
    ((text, weight),) = parse_weights(f"((a:{inner:f}):{outer:f})")
    assert text == "a" and math.isclose(weight, inner * outer, abs_tol=1e-9)


def test_a_weight_that_is_too_large_is_refused() -> None:
    assert excessive_weight("(a:10)") is None and excessive_weight("(a:10.5)") == 10.5
    assert excessive_weight("(a:" + "9" * 400 + ")") == math.inf
    message = refused_before_load(Text2Image(prompt="a (red:99) star", steps=1))
    assert "a weight of 99" in message and "prompt" in message
