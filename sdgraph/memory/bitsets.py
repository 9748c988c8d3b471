"""Sets of components as integers: bit n stands for component n."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache


def bitset(indices: Iterable[int]) -> int:
    """The set with these indices."""
    bits = 0
    for index in indices:
        bits |= 1 << index
    return bits


@lru_cache(maxsize=1 << 12)
def members(bits: int) -> tuple[int, ...]:
    """The indices in a set, in ascending order."""
    indices = []
    while bits:
        lowest = bits & -bits
        indices.append(lowest.bit_length() - 1)
        bits ^= lowest
    return tuple(indices)


class BitsetSums(dict[int, int]):
    """For each set, the sum of its members' numbers; computed once per set."""

    def __init__(self, numbers: Sequence[int]) -> None:
        super().__init__()
        self.numbers = numbers

    def __missing__(self, bits: int) -> int:
        total = self[bits] = sum([self.numbers[index] for index in members(bits)])
        return total
