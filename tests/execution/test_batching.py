"""Which steps are computed at once, and in which order. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from sdgraph.execution.batching import (
    batch_levels,
    largest_that_fits,
    order_units,
    split_evenly,
)


@st.composite
def graphs(draw: st.DrawFn) -> tuple[list[list[int]], list[bool], list[int]]:
    """For each step the steps that it needs, whether it can be batched, and its kind."""
    count = draw(st.integers(1, 14))
    inputs = [
        draw(st.lists(st.integers(0, n - 1), max_size=3, unique=True)) if n else []
        for n in range(count)
    ]
    flags = draw(st.lists(st.booleans(), min_size=count, max_size=count))
    kinds = draw(st.lists(st.integers(0, 2), min_size=count, max_size=count))
    return inputs, flags, kinds


def reachable(inputs: Sequence[Sequence[int]], start: int) -> set[int]:
    found: set[int] = set()
    waiting = list(inputs[start])
    while waiting:
        step = waiting.pop()
        if step not in found:
            found.add(step)
            waiting += inputs[step]
    return found


@given(graphs())
def test_steps_of_one_level_never_depend_on_each_other(
    graph: tuple[list[list[int]], list[bool], list[int]],
) -> None:
    inputs, flags, _ = graph
    levels = batch_levels(inputs, flags)
    for step, can in enumerate(flags):
        for other in reachable(inputs, step):
            assert not (can and flags[other] and levels[step] == levels[other])


@given(graphs(), st.integers(1, 4))
def test_units_contain_each_step_once_and_come_after_what_they_need(
    graph: tuple[list[list[int]], list[bool], list[int]], largest: int
) -> None:
    inputs, flags, kinds = graph
    levels = batch_levels(inputs, flags)
    groups: dict[object, list[int]] = {}
    for step, can in enumerate(flags):
        groups.setdefault((kinds[step], levels[step]) if can else f"{step}", []).append(step)
    units = [part for group in groups.values() for part in split_evenly(group, largest)]
    order = order_units(units, inputs)
    assert sorted(step for unit in order for step in unit) == list(range(len(inputs)))
    place = {step: number for number, unit in enumerate(order) for step in unit}
    for step, needed in enumerate(inputs):
        assert all(place[each] < place[step] for each in needed)


def test_the_earliest_unit_that_can_come_next_is_taken() -> None:
    # Two variants of picture, then file: the files come after the batch of pictures, in order.
    assert order_units([[0, 2], [1], [3]], [[], [0], [], [2]]) == [[0, 2], [1], [3]]
    assert order_units([[0], [1], [2], [3]], [[], [0], [], [2]]) == [[0], [1], [2], [3]]


@given(st.integers(1, 60), st.integers(1, 20))
def test_a_group_is_split_into_the_fewest_parts_of_nearly_one_size(
    count: int, largest: int
) -> None:
    parts = split_evenly(range(count), largest)
    assert [each for part in parts for each in part] == list(range(count))
    sizes = [len(part) for part in parts]
    assert len(parts) == -(-count // largest)
    assert max(sizes) <= largest
    assert max(sizes) - min(sizes) <= 1


@given(
    st.integers(1, 40),
    st.integers(0, 500),
    st.lists(st.integers(0, 30), min_size=40, max_size=40),
)
def test_a_batch_is_the_largest_that_fits_and_never_none(
    wanted: int, room: int, growth: list[int]
) -> None:
    needed = [0]
    for more in growth:
        needed.append(needed[-1] + more)
    assert all(one <= other for one, other in pairwise(needed))
    chosen = largest_that_fits(wanted, room, needed.__getitem__)
    assert 1 <= chosen <= wanted
    assert chosen == 1 or needed[chosen] <= room
    assert chosen == wanted or needed[chosen + 1] > room
