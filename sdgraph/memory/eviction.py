"""Eviction policies: which components leave memory when a step would be over a budget.

The plan uses `keep_soonest_used` and `keep_largest`, which know when each component is used again.
The others are the baselines that they are compared with: least recently used (Sleator & Tarjan
1985), smallest first, and farthest next use without regard to size (Belady 1966).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import inf

from .bitsets import members
from .simulation import EvictionPolicy, EvictionRequest, Victims
from .workload import Workload


def lowest_first(rank: Callable[[EvictionRequest, int], float]) -> EvictionPolicy:
    """The policy that chooses the components of the lowest rank, regardless of their sizes.

    A component that leaves the accelerator is offloaded if it fits on the host together with the
    components of higher rank.
    """

    def policy(request: EvictionRequest) -> Victims:
        size = request.workload.size

        def lowest(amount: int, candidates: int) -> int:
            chosen = 0
            for component in sorted(
                members(candidates), key=lambda candidate: rank(request, candidate)
            ):
                if size(chosen) >= amount:
                    break
                chosen |= 1 << component
            return chosen

        leaving = lowest(request.deficit.accelerator_excess, request.accelerator)
        on_host = request.host | leaving
        evict = lowest(size(leaving) - request.deficit.offload_capacity, on_host)
        return _evict_or_offload(request, leaving, evict)

    return policy


least_recently_used = lowest_first(lambda request, component: request.last_use(component))
smallest_first = lowest_first(lambda request, component: request.workload.size(1 << component))
farthest_next_use = lowest_first(lambda request, component: -request.next_use(component))


def cheapest_to_reload(weight: Callable[[float], float]) -> EvictionPolicy:
    """The policy that chooses unused components first, then those that are cheapest to load again.

    1. The cost of a component is the bytes of its files, times the weight of its next use, which is
       given in steps from now.
    2. The components that are not used again leave the accelerator first; if those are not enough,
       so does the cheapest set of other components that is large enough.
    3. Of the components that leave the accelerator, those that are not used again are evicted, and
       the others are offloaded. If the host has too little memory for the others, the cheapest of
       them and of the components on the host are evicted.
    4. If the others do not fit on the host even then, they are evicted.
    """

    def policy(request: EvictionRequest) -> Victims:
        size = request.workload.size
        costs, unused = {}, 0
        for component in members(request.accelerator | request.host):
            next_use = request.next_use(component)
            cost = request.workload.components[component].file_bytes
            costs[component] = cost if next_use == inf else cost * weight(next_use)
            unused |= (next_use == inf) << component

        def cheapest(amount: int, candidates: int) -> int:
            chosen = candidates & unused
            if size(chosen) >= amount:
                return cheapest_subset(request.workload, costs, chosen, amount)
            missing = amount - size(chosen)
            return chosen | cheapest_subset(request.workload, costs, candidates & ~unused, missing)

        leaving = cheapest(request.deficit.accelerator_excess, request.accelerator)
        used = leaving & ~unused
        too_much = size(used) - request.deficit.offload_capacity
        evict = cheapest(too_much, request.host | used)
        return _evict_or_offload(request, leaving, leaving & unused | evict)

    return policy


keep_soonest_used = cheapest_to_reload(lambda next_use: 1 / next_use)
keep_largest = cheapest_to_reload(lambda next_use: 1.0)


def cheapest_subset(
    workload: Workload, costs: Mapping[int, float], candidates: int, amount: int
) -> int:
    """The cheapest subset with at least `amount` bytes; all candidates if they have fewer.

    Exact for up to eight components. For more it is greedy: components are taken by their cost per
    byte, and those that turn out not to be needed are put back.
    """
    if amount <= 0:
        return 0
    if workload.size(candidates) <= amount:
        return candidates
    items = sorted([(costs[n], workload.components[n].bytes, 1 << n) for n in members(candidates)])
    lowest_cost, best = _greedy_subset(items, amount)
    too_small = [(0.0, 0, 0)] if len(items) <= 8 else []
    for cost, size, bit in items:
        grown = []
        for cost_before, size_before, subset in too_small:
            if cost_before + cost < lowest_cost:
                if size_before + size >= amount:
                    lowest_cost, best = cost_before + cost, subset | bit
                else:
                    grown.append((cost_before + cost, size_before + size, subset | bit))
        too_small += grown
    return best


def _greedy_subset(items: list[tuple[float, int, int]], amount: int) -> tuple[float, int]:
    """A subset with at least `amount` bytes, found greedily, with its cost before it."""
    taken, excess = [], -amount
    for item in sorted(items, key=lambda item: item[0] / max(1, item[1])):
        if excess >= 0:
            break
        taken.append(item)
        excess += item[1]
    total, subset = 0.0, 0
    for cost, size, bit in sorted(taken, reverse=True):
        if excess >= size:
            excess -= size
        else:
            total, subset = total + cost, subset | bit
    return total, subset


def _evict_or_offload(request: EvictionRequest, leaving: int, evict: int) -> Victims:
    """The victims if `leaving` leaves the accelerator: `evict` is evicted, the rest offloaded."""
    offload = leaving & ~evict
    size = request.workload.size
    host_growth = size(offload) - size(evict & request.host)
    if offload and host_growth > request.deficit.offload_capacity:
        return Victims(evict | leaving, 0)
    return Victims(evict | leaving & ~offload, offload)
