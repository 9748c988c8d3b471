"""One look at the disk: while a graph is checked and planned, each thing is asked about once.

A graph of a thousand nodes names a dozen checkpoints. Outside a look every question goes to the
disk, so what changes between two runs, or while one runs, is seen.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")

_seen: ContextVar[dict[Any, Any] | None] = ContextVar("seen", default=None)


@contextmanager
def one_look() -> Iterator[None]:
    """Within it, functions marked `seen_once` answer the same question from memory."""
    if _seen.get() is not None:
        yield
        return
    token = _seen.set({})
    try:
        yield
    finally:
        _seen.reset(token)


def seen_once(function: Callable[P, T]) -> Callable[P, T]:
    """A function whose answers, but for errors, hold for one look; its arguments are hashable."""

    @wraps(function)
    def asked(*args: P.args, **kwargs: P.kwargs) -> T:
        seen = _seen.get()
        if seen is None:
            return function(*args, **kwargs)
        key = (function, args, *kwargs.items()) if kwargs else (function, args)
        if key not in seen:
            seen[key] = function(*args, **kwargs)
        found: T = seen[key]
        return found

    return asked
