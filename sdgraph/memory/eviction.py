"""Policies: which components leave memory when there is too little room for a step.

Ours knows when each component is needed next. The others are what it is compared with: least
recently used (Sleator & Tarjan 1985), smallest first, and the farthest next use without regard to
size (Belady 1966).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

from .simulation import Eviction, Policy, Shortage
from .workload import Workload, members


def ranked(rank: Callable[[Shortage, int], float]) -> Policy:
    """The policy that lets the lowest rank go first, one by one, whatever their sizes are.

    What leaves the accelerator goes to the host where it fits beside what ranks higher.
    """

    def policy(shortage: Shortage) -> Eviction:
        size = shortage.workload.size

        def until(amount: int, chosen: int) -> int:
            taken = 0
            for each in sorted(members(chosen), key=lambda each: rank(shortage, each)):
                if size(taken) >= amount:
                    break
                taken |= 1 << each
            return taken

        leaving = until(shortage.arrival.short, shortage.accelerator)
        pool = shortage.host | leaving
        return _settled(shortage, leaving, until(size(leaving) - shortage.arrival.room, pool))

    return policy


least_recently_used = ranked(lambda shortage, each: shortage.last_use(each))
smallest_first = ranked(lambda shortage, each: shortage.workload.size(1 << each))
farthest_next_use = ranked(lambda shortage, each: -shortage.next_use(each))


def foreseeing(urgency: Callable[[float], float]) -> Policy:
    """The policy that lets dead components go first, then what is cheapest to bring back.

    What a component costs is the bytes of its files times the urgency of its next use, given in
    steps from now. Of the sets that make enough room the cheapest goes; it goes to the host where
    that keeps what is worth more than what must be dropped for it.
    """

    def policy(shortage: Shortage) -> Eviction:
        size = shortage.workload.size
        costs, dead = {}, 0
        for each in members(shortage.accelerator | shortage.host):
            ahead = shortage.next_use(each)
            cost = shortage.workload.components[each].file_bytes
            costs[each] = cost if ahead == inf else cost * urgency(ahead)
            dead |= (ahead == inf) << each

        def least(amount: int, chosen: int) -> int:
            gone = chosen & dead
            if size(gone) >= amount:
                return cheapest(shortage.workload, costs, gone, amount)
            living = cheapest(shortage.workload, costs, chosen & ~dead, amount - size(gone))
            return gone | living

        leaving = least(shortage.arrival.short, shortage.accelerator)
        stale, living = leaving & dead, leaving & ~dead
        drop = least(size(living) - shortage.arrival.room, shortage.host | living)
        return _settled(shortage, leaving, stale | drop)

    return policy


soonest_kept = foreseeing(lambda ahead: 1 / ahead)
largest_kept = foreseeing(lambda ahead: 1.0)


def cheapest(workload: Workload, costs: Mapping[int, float], chosen: int, amount: int) -> int:
    """The subset with at least that many bytes, all of them if there are too few, that costs least.

    Exact up to eight components; of more, greedy by cost per byte, then without what is not needed.
    """
    if amount <= 0:
        return 0
    if workload.size(chosen) <= amount:
        return chosen
    parts = sorted([(costs[n], workload.components[n].bytes, 1 << n) for n in members(chosen)])
    best, found = _greedily(parts, amount)
    partial = [(0.0, 0, 0)] if len(parts) <= 8 else []
    for cost, part, bit in parts:
        grown = []
        for before, bytes_before, mask in partial:
            if before + cost < best:
                if bytes_before + part >= amount:
                    best, found = before + cost, mask | bit
                else:
                    grown.append((before + cost, bytes_before + part, mask | bit))
        partial += grown
    return found


def _greedily(parts: list[tuple[float, int, int]], amount: int) -> tuple[float, int]:
    """The cost of a subset with that many bytes, and the subset."""
    taken, excess = [], -amount
    for each in sorted(parts, key=lambda each: each[0] / max(1, each[1])):
        if excess >= 0:
            break
        taken.append(each)
        excess += each[1]
    total, found = 0.0, 0
    for cost, part, bit in sorted(taken, reverse=True):
        if excess >= part:
            excess -= part
        else:
            total, found = total + cost, found | bit
    return total, found


def _settled(shortage: Shortage, leaving: int, drop: int) -> Eviction:
    """The eviction when these leave the accelerator and those are dropped; the rest moves down."""
    down = leaving & ~drop
    size = shortage.workload.size
    if down and size(down) - size(drop & shortage.host) > shortage.arrival.room:
        return Eviction(drop | leaving, 0)
    return Eviction(drop | leaving & ~down, down)
