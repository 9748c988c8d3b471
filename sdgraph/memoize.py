"""Results of reading the disk, remembered for the length of one operation.

A graph of a thousand nodes names a dozen checkpoints. While it is checked and planned, each of them
is resolved once and each file is hashed once: within a `memoized_scope`, the functions that read
the disk (`sdgraph.models.resolve`, `file_sha256`, `sdgraph.graph.parts_of`) keep their results in
`scope_results` and return them when they are called again. Outside a scope every call reads the
disk, so that a change between two runs, or during one, is noticed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

scope_results: ContextVar[dict[Any, Any] | None] = ContextVar("scope_results", default=None)
"""The results of the current scope by function and arguments; None outside a scope."""


@contextmanager
def memoized_scope(results: Mapping[Any, Any] | None = None) -> Iterator[None]:
    """A block within which each result is computed once; an inner scope joins the outer one.

    Args:
        results: Results to begin with, for example those that a plan was made from. If they are
            passed, the scope does not join an outer one.
    """
    if results is None and scope_results.get() is not None:
        yield
        return
    token = scope_results.set(dict(results or {}))
    try:
        yield
    finally:
        scope_results.reset(token)


@contextmanager
def unmemoized() -> Iterator[None]:
    """A block within which every call reads the disk, also inside a scope."""
    token = scope_results.set(None)
    try:
        yield
    finally:
        scope_results.reset(token)
