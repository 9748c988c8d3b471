"""How fast a disk is, measured by what is written to it."""

from __future__ import annotations

_FIRST_GUESS = 2e-9
"""Seconds a byte of writing and reading, before anything was measured: a disk of 1 GB/s."""
_SAMPLE_BYTES = 2**20
"""Smaller writes show how long it takes to make a file, and not the speed of the disk."""
_WEIGHT = 0.25


class DiskSpeed:
    """A moving average of the seconds that it takes to write a byte and to read it again.

    Reading is not measured, because what was written is mostly still in the page cache; it is
    assumed to take as long as writing.

    Example:
        >>> speed = DiskSpeed()
        >>> for _ in range(50):
        ...     speed.add(2**30, 100.0)  # a network drive of 10 MB/s
        >>> round(speed.seconds_per_byte * 1e9)
        186
    """

    def __init__(self) -> None:
        self.seconds_per_byte = _FIRST_GUESS

    def add(self, size: int, seconds: float) -> None:
        """Counts a write of so many bytes that took so many seconds."""
        if size >= _SAMPLE_BYTES:
            self.seconds_per_byte += _WEIGHT * (2 * seconds / size - self.seconds_per_byte)
