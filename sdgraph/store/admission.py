"""Decides which results are kept on disk, and which are removed first when it is full.

Kept are those that take longer to make than to keep and fetch:

1. To make a result again takes its own seconds, and those of the results that it is made from, as
   far as these are not kept either.
2. To keep and to fetch it takes the seconds to hash, write and read its bytes.
3. It is kept if the first is at least `MARGIN` times the second. So along a chain of nodes, keeping
   takes at most a `MARGIN`th of the time that the nodes take, and what is not kept is made again
   within `MARGIN` times the time that fetching it would take.

Small results are always kept: deciding would take as long as keeping. So are targets, what models
made, and what a workflow pins (`always` of `Store.put`).
"""

from __future__ import annotations

from typing import Any

from sdgraph.values import size_of

MARGIN = 10.0
"""How much longer than keeping and fetching a result it must take to make it again."""

SMALL_BYTES = 64 * 2**10
"""A result of so many bytes is kept, and its content is hashed, without further thought."""

_RECENT_S = 60.0
"""Records that were used within about this time count as equally recent."""
_LEAST_S = 1e-3
"""No result counts as made in less time, so that size and recency decide among such."""

HASH_SECONDS_PER_BYTE = 0.7e-9
"""About what SHA-256 takes on a processor of today."""


_DEFLATED_ALWAYS = 1 / 8
_DEFLATED_AT_MOST = 1 / 2


def is_worth_deflating(ratio: float, seconds_per_byte: float, disk_seconds_per_byte: float) -> bool:
    """Whether an array is to be deflated before it is written to the disk.

    Masks, edges and drawings are, because they take little time and a small part of their room.
    Others are if that takes no longer than to write and to read what it saves.

    Args:
        ratio: The deflated bytes by those of the array.
        seconds_per_byte: How long it takes to deflate a byte.
        disk_seconds_per_byte: How long it takes to write a byte and to read it again.

    Example:
        >>> disk, network_drive = 2e-9, 200e-9
        >>> is_worth_deflating(0.45, 10e-9, disk), is_worth_deflating(0.45, 10e-9, network_drive)
        (False, True)
        >>> is_worth_deflating(0.05, 5e-9, disk)
        True
    """
    if ratio <= _DEFLATED_ALWAYS:
        return True
    saved = (1 - ratio) * disk_seconds_per_byte
    return ratio <= _DEFLATED_AT_MOST and seconds_per_byte <= saved


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


def retention_score(remake_seconds: float, size: int, unused_seconds: float) -> float:
    """How much a record is worth; the records of the least worth are removed first.

    It is the seconds that it saves per byte, divided by how long it was not used: what was used a
    minute ago is likely to be used again sooner than what was used a month ago.

    Args:
        remake_seconds: How long it takes to make the result again.
        size: The bytes of its record.
        unused_seconds: How long ago it was last used.

    Example:
        >>> picture, blur = retention_score(60, 10**6, 3600), retention_score(1, 10**8, 60)
        >>> picture > blur
        True
    """
    recency = max(unused_seconds, 0.0) + _RECENT_S
    return max(remake_seconds, _LEAST_S) / max(size, 1) / recency


def has_cheap_content(value: Any) -> bool:
    """Whether the content hash of a value is known already, or computed in a moment."""
    if type(value) is int or type(value) is float:
        return True
    is_known = "content" in getattr(value, "__dict__", ())
    if is_known or size_of(value) > SMALL_BYTES:
        return is_known
    return getattr(value, "stream", None) is None  # all frames would be read or made for it
