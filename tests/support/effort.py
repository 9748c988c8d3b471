"""How much a test tries: everything, or a twentieth of it in `pytest -m quick`."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import settings

quick = False
"""Whether this is a run of the quick tests; set by `conftest.py` before tests are collected."""

QUICK_SHARE = 20


def scaled(count: int, *, least: int = 1) -> int:
    """A count of things to try, or a twentieth of it in a run of the quick tests."""
    return max(least, count // QUICK_SHARE) if quick else count


def each_nth(values: Iterable[Any], n: int, *, arguments: int = 1) -> list[Any]:
    """Parameters of a test of which each n-th is tried always; the others where slow tests are.

    Args:
        values: The parameters, none made by `pytest.param`.
        n: How far those that are always tried are from each other; the first is one of them.
        arguments: Of how many arguments of the test a parameter is a tuple; 1 if it is none.
    """
    listed: list[Any] = list(values)
    for index, value in enumerate(listed):
        if index % n:
            each = value if arguments > 1 else (value,)
            listed[index] = pytest.param(*each, marks=pytest.mark.slow)
    return listed


def scale_examples(item: pytest.Item) -> None:
    """Has Hypothesis draw fewer examples for a test, in a run of the quick tests."""
    tests: list[Any] = [getattr(item, "obj", None), getattr(item, "cls", None)]
    for test in tests if quick else ():
        # Hypothesis keeps what `@settings` says here, and has no other way to change it later.
        for name in ("_hypothesis_internal_use_settings", "settings"):
            applied = getattr(test, name, None)
            if isinstance(applied, settings):
                examples = scaled(applied.max_examples, least=5)
                setattr(test, name, settings(applied, max_examples=examples))
