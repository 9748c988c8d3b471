"""Groups the steps of a plan whose nodes are computed at once. Imports no torch.

1. Steps that are alike get one key: their nodes differ in nothing but `Node.batch_fields`.
2. Steps with one key are one group if none of them depends on another: as many steps that can be
   batched come before each (`batch_levels`), so that no two groups wait for each other.
3. A group is split evenly into batches, as large as memory and what was asked for allow.
4. A batch is one step for the memory planner. Before each are all steps that it depends on.
5. In the plan, the step of a batch is followed by those of its other nodes, which find their
   results made.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Container, Iterator, Sequence
from itertools import pairwise
from typing import Any

from sdgraph.graph import Node, parts_of
from sdgraph.memory import MemoryLimits
from sdgraph.values import content_of

from .plan_data import ComponentUse, Step
from .stage_steps import make_apart, make_together


def group_batches(
    steps: Sequence[Step],
    frame_nodes: Container[Node[Any]],
    device: str,
    dtype: str,
    limits: MemoryLimits,
    largest: int | None,
) -> list[list[Step]]:
    """The steps in units: those of each unit are computed at once, most are alone.

    Args:
        steps: The steps of nodes, each after those it depends on.
        frame_nodes: The nodes that run once for each frame of a video; they are not batched.
        device: The device that the graph is to run on.
        dtype: The dtype that it is computed in.
        limits: The bytes that a batch may take.
        largest: The most nodes of a batch; None for as many as are best and fit.
    """
    alone = [[step] for step in steps]
    if largest == 1:
        return alone
    asked = largest is not None
    keys = [_batch_key(step, frame_nodes, device, dtype, asked=asked) for step in steps]
    if sum(key is not None for key in keys) < 2:
        return alone
    index = {step.node: n for n, step in enumerate(steps)}
    inputs = [[index[node] for node in step.inputs] for step in steps]
    levels = batch_levels(inputs, [key is not None for key in keys])
    groups: dict[tuple[object, int], list[int]] = {}
    for n, key in enumerate(keys):
        if key is not None:
            groups.setdefault((key, levels[n]), []).append(n)
    units = [[n] for n, key in enumerate(keys) if key is None]
    for group in groups.values():
        members = [steps[n] for n in group]
        units += split_evenly(group, _batch_size(members, device, dtype, limits, largest))
    return [[steps[n] for n in unit] for unit in order_units(units, inputs)]


def _batch_key(
    step: Step, frame_nodes: Container[Node[Any]], device: str, dtype: str, *, asked: bool
) -> tuple[object, ...] | None:
    """What steps have in common that may be one batch; None for a step that is always alone.

    Where a batch makes other bits, it has to be asked for.
    """
    node = step.node
    if not node.batch_fields or step.action == "reuse" or step.stage is not None:
        return None
    if not step.uses or node in frame_nodes or not node.can_batch():
        return None
    if not (asked or node.is_batch_exact(device, dtype)):
        return None
    wires: dict[str, list[bytes]] = {}
    for port, child in node.wires:
        if child in frame_nodes:
            return None
        wires.setdefault(port.partition("[")[0], []).append(child.identity)
    others = [name for name in type(node).definition.key_fields if name not in node.batch_fields]
    shared = (
        (name, tuple(wires[name]) if name in wires else content_of(getattr(node, name)))
        for name in others
    )
    parts = parts_of(node)  # a field in which they may differ may decide on components
    return type(node), tuple([(name, parts[name]) for name in sorted(parts)]), *shared


def batch_levels(inputs: Sequence[Sequence[int]], can_batch: Sequence[bool]) -> list[int]:
    """For each step the most steps that can be batched on one path to it.

    Steps of one level never depend on one another, so that batches of one level wait only for
    batches of lower levels.

    Args:
        inputs: For each step the indices of the steps that it needs, all lower than its own.
        can_batch: For each step whether it may be in a batch.

    Example:
        >>> batch_levels([[], [0], [1], []], [True, False, True, True])
        [0, 1, 1, 0]
    """
    levels: list[int] = []
    for needed in inputs:
        levels.append(max((levels[each] + can_batch[each] for each in needed), default=0))
    return levels


def split_evenly(items: Sequence[int], largest: int) -> list[list[int]]:
    """The items in order in as few parts as possible, whose sizes differ by one at most.

    Args:
        items: The items.
        largest: The most items of a part.

    Example:
        >>> split_evenly(range(7), 3)
        [[0, 1, 2], [3, 4], [5, 6]]
    """
    count = -(-len(items) // largest)
    size, longer = divmod(len(items), count)
    starts = [part * size + min(part, longer) for part in range(count + 1)]
    return [list(items[start:end]) for start, end in pairwise(starts)]


def order_units(units: Sequence[Sequence[int]], inputs: Sequence[Sequence[int]]) -> list[list[int]]:
    """Units of steps in an order in which each comes after the units that it depends on.

    Of those that can come next it takes the one whose first step is the earliest.

    Args:
        units: The indices of the steps of each unit. The units do not wait for each other.
        inputs: For each step the indices of the steps that it needs.

    Example:
        >>> order_units([[1], [3], [0, 2]], [[], [0], [], [2]])
        [[0, 2], [1], [3]]
    """
    unit_of = {index: number for number, unit in enumerate(units) for index in unit}
    needs = [{unit_of[n] for index in unit for n in inputs[index]} for unit in units]
    readers: dict[int, list[int]] = {}
    for number, needed in enumerate(needs):
        for each in needed:
            readers.setdefault(each, []).append(number)
    missing = [len(needed) for needed in needs]
    ready = [(min(unit), number) for number, unit in enumerate(units) if not missing[number]]
    heapq.heapify(ready)
    order = []
    while ready:
        _, number = heapq.heappop(ready)
        order.append(list(units[number]))
        for reader in readers.get(number, ()):
            missing[reader] -= 1
            if not missing[reader]:
                heapq.heappush(ready, (min(units[reader]), reader))
    return order


def _batch_size(
    members: Sequence[Step], device: str, dtype: str, limits: MemoryLimits, largest: int | None
) -> int:
    """How many of these steps are computed at once.

    The components of stages that can be made alone count for nothing: where memory is short, they
    have left it before.
    """
    first = members[0]
    wanted = min(len(members), largest or first.node.best_batch(device, dtype))
    budget = limits.available.host if device == "cpu" else limits.available.accelerator
    if budget is None:
        return wanted
    uses = [use for step in members for use in _own_uses(step)]
    sizes = {use.name: use.component.bytes for use in uses}
    room = budget - sum({use.component.key: use.component.bytes for use in uses}.values())
    return largest_that_fits(wanted, room, lambda n: first.node.batch_memory(n, sizes, dtype))


def _own_uses(step: Step) -> list[ComponentUse]:
    """The components of a step that no other step can use for it before."""
    separable = {use.name for stage in step.stages if stage.runs_alone for use in stage.uses}
    return [use for use in step.uses if use.name not in separable]


def largest_that_fits(wanted: int, room: int, needed: Callable[[int], int]) -> int:
    """The largest number of nodes whose batch fits, at least 1.

    Args:
        wanted: The most that are asked for.
        room: The bytes that a batch may take.
        needed: The bytes that a number of nodes takes; no fewer for more nodes.

    Example:
        >>> largest_that_fits(8, 100, lambda count: 30 * count)
        3
    """
    low, high = 1, wanted
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if needed(middle) <= room else (low, middle - 1)
    return low


def with_stages_together(units: Sequence[Sequence[Step]], dtype: str) -> list[Step]:
    """A step for each unit; the first node that needs a stage makes it (`make_together`)."""
    steps = make_together([step for unit in units for step in unit], dtype)
    return [_batch_step([next(steps) for _ in unit], dtype) for unit in units]


def with_stages_apart(units: Sequence[Sequence[Step]], dtype: str) -> list[Step]:
    """A step for each unit, and one before it for each of its stages (`make_apart`)."""
    steps = make_apart([step for unit in units for step in unit], dtype)
    apart: list[Step] = []
    for unit in units:
        members: list[Step] = []
        while len(members) < len(unit):
            step = next(steps)
            (members if step.stage is None else apart).append(step)
        apart.append(_batch_step(members, dtype))
    return apart


def _batch_step(members: Sequence[Step], dtype: str) -> Step:
    """The first of some steps, with what a batch of them uses."""
    first = members[0]
    if len(members) == 1:
        return first
    uses = {use.name: use for step in members for use in step.uses}
    sizes = {name: use.component.bytes for name, use in uses.items()}
    together = first.node.batch_memory(len(members), sizes, dtype)
    return first._replace(
        uses=tuple(uses.values()),
        working_bytes=max(together, *[step.working_bytes for step in members]),
        batch=tuple(members),
    )


def with_followers(steps: Sequence[Step]) -> Iterator[Step]:
    """The steps, in which each batch is followed by the steps of its other nodes."""
    for step in steps:
        yield step
        yield from step.batch[1:]
