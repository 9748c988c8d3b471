"""Decides which results are kept on disk: those that take longer to make than to keep and fetch.

1. To make a result again takes its own seconds, and those of the results that it is made from, as
   far as these are not kept either.
2. To keep and to fetch it takes the seconds to hash, write and read its bytes.
3. It is kept if the first is at least `MARGIN` times the second. So along a chain of nodes, keeping
   takes at most a `MARGIN`th of the time that the nodes take, and what is not kept is made again
   within `MARGIN` times the time that fetching it would take.

Small results are always kept: deciding would take as long as keeping. So is whatever must not be
made twice, whose `remake_seconds` are infinite: targets, and what models made.
"""

from __future__ import annotations

from typing import Any

from sdgraph.values import size_of

MARGIN = 10.0
"""How much longer than keeping and fetching a result it must take to make it again."""

SMALL_BYTES = 64 * 2**10
"""A result of so many bytes is kept, and its content is hashed, without further thought."""

HASH_SECONDS_PER_BYTE = 0.7e-9
"""About what SHA-256 takes on a processor of today."""


def is_worth_keeping(remake_seconds: float, size: int, seconds_per_byte: float) -> bool:
    """Whether a result is to be kept on disk.

    Args:
        remake_seconds: How long it takes to make it again from what is kept.
        size: Its bytes.
        seconds_per_byte: How long it takes to write a byte and to read it again.

    Example:
        >>> a_gigabyte_a_second = 1e-9
        >>> is_worth_keeping(0.02, 28_000_000, a_gigabyte_a_second)
        False
        >>> is_worth_keeping(2.0, 28_000_000, a_gigabyte_a_second)
        True
    """
    if size <= SMALL_BYTES:
        return True
    return remake_seconds >= MARGIN * size * (HASH_SECONDS_PER_BYTE + seconds_per_byte)


def has_cheap_content(value: Any) -> bool:
    """Whether the content hash of a value is known already, or computed in a moment."""
    return "content" in getattr(value, "__dict__", ()) or size_of(value) <= SMALL_BYTES
