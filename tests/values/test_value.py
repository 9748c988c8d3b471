"""Contents are equal exactly when two things are of one kind and hold the same."""

from __future__ import annotations

import copy
from pathlib import Path, PurePosixPath
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sdgraph.errors import InvalidValueError
from sdgraph.values import DepthMap, EdgeMap, Image, content_of, size_of
from tests.support.small_images import photo

TEXT = st.text(st.characters(codec=None), max_size=5)
LITERALS = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.sampled_from((0, 1, 0.0, -0.0, 1.0, "0", "1", "", b"", b"1", True, False)),
        st.floats(allow_nan=False),
        TEXT,
        st.binary(max_size=5),
        TEXT.map(PurePosixPath),
    ),
    lambda item: st.one_of(
        st.lists(item, max_size=3),
        st.lists(item, max_size=3).map(tuple),
        st.dictionaries(TEXT, item, max_size=3),
    ),
    max_leaves=6,
)


def told_apart(literal: Any) -> Any:
    """A text that differs whenever two literals do, made without the code under test."""
    if isinstance(literal, dict):
        return "dict", sorted((told_apart(k), told_apart(v)) for k, v in literal.items())
    if isinstance(literal, list | tuple):
        return type(literal).__name__, *(told_apart(item) for item in literal)
    return type(literal).__name__, repr(literal)


@given(LITERALS, LITERALS)
def test_content_is_equal_exactly_when_the_literals_are(one: Any, other: Any) -> None:
    same = repr(told_apart(one)) == repr(told_apart(other))
    assert (content_of(one) == content_of(other)) == same


@given(LITERALS)
def test_contents_may_be_joined_by_commas_or_white_space(literal: Any) -> None:
    content = content_of(literal)
    assert content == content_of(copy.deepcopy(literal))
    assert "," not in content and content.split() == [content]


def test_content_differs_for_values_that_only_look_alike() -> None:
    alike = [1, 1.0, True, "1", b"1", 0.0, -0.0, 0, False, None, "None", (1,), [1], Path("1")]
    assert len({content_of(value) for value in alike}) == len(alike)
    assert content_of(10**5000) != content_of(10**5000 + 1)


def test_content_of_a_mapping_ignores_order_and_kind_of_mapping() -> None:
    first, second = {"a": 1, "b": (2,)}, MappingProxyType({"b": (2,), "a": 1})
    assert content_of(first) == content_of(second)


def test_content_of_a_value_is_its_own() -> None:
    image = Image(photo())
    assert content_of(image) == image.content
    assert content_of([image]) != content_of([EdgeMap(photo())])


@pytest.mark.parametrize(
    "wrong", [object(), {object()}, Image, np.zeros(3), 1j, float("nan"), [object()]]
)
def test_content_of_anything_else_is_refused(wrong: object) -> None:
    with pytest.raises(InvalidValueError, match=r"content_of\n  found: .*\n  wanted: "):
        content_of(wrong)


def test_size_counts_the_bytes_of_arrays_wherever_they_are() -> None:
    image, depth = Image(photo()), DepthMap(photo()[..., 0])
    assert size_of(image) == 72 and size_of(depth) == 24 * (4 + 3)
    assert 72 < size_of({"a": (image, 1)}) < 72 + 500
    assert 1000 <= size_of("x" * 1000) <= 1100
