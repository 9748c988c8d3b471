"""Makes the plan of a run: which nodes run, in which order, and what is loaded. Imports no torch.

1. The graph's nodes are put in order, and their results are looked up in the store.
2. Nodes whose results nobody needs are left out: those whose readers are all remembered.
3. Each remaining node becomes a step: to be run, with the components that it uses, or reused.
4. The memory planner chooses the order, and the actions before each step.
5. The order determines when each result is released, and which files are read ahead.
"""

from __future__ import annotations

from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sdgraph.graph import Graph, Node, parts_of
from sdgraph.memory import (
    MemoryContents,
    MemoryLimits,
    MemoryPlan,
    Requirement,
    Tier,
    plan_in_order,
    plan_memory,
    plan_prefetch,
    plan_without_components,
)
from sdgraph.models import resolve_part
from sdgraph.store import LookupResult, Store, StoredResult, look_up, stage_key

from .plan_data import ComponentUse, Plan, PlannedStage, Step, has_known_parts


def make_plan(
    graph: Graph,
    *,
    store: Store | None = None,
    device: str = "cpu",
    dtype: str | None = None,
    limits: MemoryLimits | None = None,
    contents: MemoryContents | None = None,
    known_results: Mapping[Node[Any], StoredResult] | None = None,
) -> Plan:
    """The plan for a graph.

    Args:
        graph: What is to be run.
        store: Where results are remembered; None for nowhere.
        device: The device that models run on; it need not be on this machine.
        dtype: The dtype of models; None for float32.
        limits: The bytes that the run may use; None for no limit.
        contents: What is in memory already; None for nothing.
        known_results: Results in memory, if the rest of a run is planned again.

    Raises:
        InvalidValueError: A step alone is above a budget that the user has set.
    """
    limits, contents = limits or MemoryLimits(), contents or {}
    # Variant by variant: in topological generations, results of all variants would be in memory.
    order = list(graph.nodes) if graph.variants else graph.topological_order()
    lookup = look_up(graph, store, device, dtype, known_results or {})
    needed = _needed_nodes(graph, order, lookup.results)
    steps = [_step(node, graph, store, lookup, device, dtype) for node in order if node in needed]
    memory_plan = _plan_memory(steps, device, limits, contents, keep_order=graph.variants)
    return Plan(
        graph,
        tuple(_complete_steps(steps, memory_plan, graph, device, limits, contents)),
        device,
        dtype,
        limits,
        contents,
        memory_plan.peak_accelerator,
        memory_plan.peak_host,
        memory_plan.warnings,
    )


def _complete_steps(
    steps: Sequence[Step],
    memory_plan: MemoryPlan,
    graph: Graph,
    device: str,
    limits: MemoryLimits,
    contents: MemoryContents,
) -> Iterator[Step]:
    """The steps in the order of the memory plan, with their actions, prefetches and releases."""
    steps = [steps[index] for index in memory_plan.order]
    releases = _releases(graph, steps)
    required = requirements(steps, device)
    prefetched = plan_prefetch(required, memory_plan.actions, limits, contents)
    for step, actions, prefetch in zip(steps, memory_plan.actions, prefetched, strict=True):
        released = releases.get(step.node, ())
        yield replace(step, memory_actions=actions, prefetch=prefetch, releases=released)


def requirements(steps: Sequence[Step], device: str) -> list[Requirement]:
    """The memory that each step requires, and the steps that it comes after."""
    tier = Tier.HOST if device == "cpu" else Tier.ACCELERATOR
    index = {step.node: n for n, step in enumerate(steps)}
    return [
        Requirement(
            step.name,
            tuple([use.component for use in step.uses]),
            step.working_bytes,
            tuple([index[child] for _, child in step.node.wires]) if step.action == "run" else (),
            step.node.effect,
            tier,
        )
        for step in steps
    ]


def _plan_memory(
    steps: Sequence[Step],
    device: str,
    limits: MemoryLimits,
    contents: MemoryContents,
    *,
    keep_order: bool,
) -> MemoryPlan:
    """The order of the steps, and the actions before each.

    If no step uses a component, the order does not change. With `keep_order` it changes only if
    another order loads and moves fewer bytes.
    """
    if not any(step.uses for step in steps):
        return plan_without_components(len(steps), contents)
    required = requirements(steps, device)
    best = plan_memory(required, limits, contents)
    if keep_order:
        # Variant by variant, few results are in memory, which the memory plan does not count.
        in_order = plan_in_order(required, limits, contents)
        if in_order.cost[:2] <= best.cost[:2]:
            return in_order
    return best


def _stages(
    node: Node[Any],
    graph: Graph,
    store: Store | None,
    lineages: Mapping[Node[Any], bytes],
    device: str,
    dtype: str | None,
) -> tuple[PlannedStage, ...]:
    """The stages of a node's work, with what is remembered of them."""
    if not graph.is_remembered(node) or not has_known_parts(node):
        return ()
    keys = [(stage, stage_key(node, stage, device, dtype, lineages)) for stage in node.stages()]
    get = store.get if store is not None else lambda _: None
    return tuple(
        PlannedStage(stage.name, key, stage.parts, get(key))
        for stage, key in keys
        if key is not None
    )


def _step(
    node: Node[Any],
    graph: Graph,
    store: Store | None,
    lookup: LookupResult,
    device: str,
    dtype: str | None,
) -> Step:
    name, key, remembered = graph.names[node], lookup.keys.get(node), lookup.results.get(node)
    alias, context = lookup.aliases.get(node), lookup.contexts.get(node)
    stages = (
        _stages(node, graph, store, lookup.lineages, device, dtype) if remembered is None else ()
    )
    not_needed = {part for stage in stages if stage.remembered is not None for part in stage.parts}
    uses = _uses(node, device, dtype or "float32", not_needed) if remembered is None else ()
    sizes = {use.name: use.component.bytes for use in uses}
    return Step(
        node,
        name,
        "run" if remembered is None else "reuse",
        key,
        uses,
        node.working_memory(sizes, dtype or "float32") if uses else 0,
        remembered=remembered,
        stages=stages,
        alias=alias,
        context=context,
    )


def _needed_nodes(
    graph: Graph, order: list[Node[Any]], remembered: Container[Node[Any]]
) -> set[Node[Any]]:
    """The nodes whose results are needed: the targets, and what nodes that run read."""
    needed = set(graph.targets)
    for node in reversed(order):
        if node in needed and node not in remembered:
            for _, child in node.wires:
                needed.add(child)
    return needed


def _releases(graph: Graph, steps: Sequence[Step]) -> dict[Node[Any], tuple[Node[Any], ...]]:
    """For each node the nodes whose last reader it is; targets are kept to the end."""
    last_reader: dict[Node[Any], Node[Any]] = {}
    for step in steps:
        last_reader[step.node] = step.node
        if step.action == "run":
            for _, child in step.node.wires:
                last_reader[child] = step.node
    releases: dict[Node[Any], list[Node[Any]]] = {}
    targets = set(graph.targets)
    for node, reader in last_reader.items():
        if node not in targets:
            releases.setdefault(reader, []).append(node)
    return {reader: tuple(nodes) for reader, nodes in releases.items()}


def _uses(
    node: Node[Any], device: str, dtype: str, not_needed: Container[str]
) -> tuple[ComponentUse, ...]:
    """The components that a node uses, without those that only remembered stages need."""
    if not has_known_parts(node):
        return ()
    resolved = {
        name: resolve_part(part) for name, part in parts_of(node).items() if name not in not_needed
    }
    return tuple(
        ComponentUse(name, part, part.component(device, dtype)) for name, part in resolved.items()
    )
