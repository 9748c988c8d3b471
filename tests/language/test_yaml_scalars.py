"""Unquoted words mean what YAML 1.2's core schema says."""

from __future__ import annotations

import math
from typing import Any

import pytest
import yaml
import yamlcore
from hypothesis import given
from hypothesis import strategies as st

from sdgraph.language.yaml_scalars import parse_scalar


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("010", 10),
        ("-007", -7),
        ("0o17", 15),
        ("0x1F", 31),
        ("12:30", "12:30"),
        ("1_000", "1_000"),
        ("0b1", "0b1"),
        ("-0x1", "-0x1"),
        ("1e3", 1000.0),
        ("1.", 1.0),
        ("+.5E-1", 0.05),
        (".inf", math.inf),
        ("-.INF", -math.inf),
        (".", "."),
        ("1.e", "1.e"),
        *((word, word) for word in ("yes", "No", "on", "OFF", "y", "n", "tRUE", "nULL", "nan")),
        ("TRUE", True),
        ("False", False),
        *((word, None) for word in ("", "~", "null", "NULL")),
        ("2024-01-01", "2024-01-01"),
        ("=", "="),
        ("١", "١"),
    ],
)
def test_a_word_is_read_as_people_expect(text: str, value: Any) -> None:
    assert parse_scalar(text) == value and type(parse_scalar(text)) is type(value)


WORDS = st.text("0123456789abcdefinoxNAE.+-_:~ ", max_size=8).map(str.strip)


@given(WORDS | st.floats(allow_nan=False).map(str) | st.integers().map(str))
def test_it_is_what_another_reader_of_the_core_schema_says(text: str) -> None:
    resolver = yamlcore.CoreLoader("")
    tag = resolver.resolve(yaml.ScalarNode, text, (True, False))
    expected = resolver.construct_object(yaml.ScalarNode(tag, text))
    value = parse_scalar(text)
    assert type(value) is type(expected)
    assert value == expected or (value != value and expected != expected)


def test_a_number_of_a_hundred_thousand_digits_is_refused() -> None:
    with pytest.raises(ValueError, match="4300"):
        parse_scalar("1" * 100_000)
