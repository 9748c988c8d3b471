"""Answers of the disk, remembered for the length of one operation.

A graph of a thousand nodes names a dozen checkpoints. While it is checked and planned, each of them
is resolved once and each file hashed once: within a `memoized_scope`, the functions that ask the
disk (`sdgraph.models.resolve`, `file_sha256`, `sdgraph.graph.parts_of`) keep what they find in
`answers` and return it when they are asked again. Outside a scope every question goes to the disk,
so that a change between two runs, or during one, is seen.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

answers: ContextVar[dict[Any, Any] | None] = ContextVar("answers", default=None)
"""The answers of the current scope by question, None outside a scope. Errors are not kept."""


@contextmanager
def memoized_scope(known: Mapping[Any, Any] | None = None) -> Iterator[None]:
    """Within the block the same question is answered once; an inner scope joins the outer one.

    Args:
        known: Answers to begin with, for example those that a plan was made from. Where they are
            given, the scope is a new one, whichever surrounds it.
    """
    if known is None and answers.get() is not None:
        yield
        return
    token = answers.set(dict(known or {}))
    try:
        yield
    finally:
        answers.reset(token)


@contextmanager
def unmemoized() -> Iterator[None]:
    """Within the block every question goes to the disk, whichever scope surrounds it."""
    token = answers.set(None)
    try:
        yield
    finally:
        answers.reset(token)
