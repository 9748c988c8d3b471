"""Makes the plan of a run: which nodes run, in which order, and what is loaded. Imports no torch.

1. The graph's nodes are put in order, and their results are looked up in the store.
2. Nodes whose results nobody needs are left out: those whose readers are all remembered.
3. Each remaining node becomes a step: to be run, with the components that it uses, or reused.
4. The memory planner chooses the order, and the actions before each step. Where memory is short,
   the stages of nodes, such as embeddings of prompts, get steps of their own (`stage_steps`).
5. The order determines when each result is released, and which files are read ahead.
"""

from __future__ import annotations

from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sdgraph.errors import InvalidValueError
from sdgraph.graph import Graph, Node, find_frame_nodes, has_known_parts, parts_of
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
from sdgraph.store import LookupResult, Store, StoredResult, look_up

from .batching import group_batches, with_followers, with_stages_apart, with_stages_together
from .plan_data import ComponentUse, Plan, PlannedStage, Step
from .stage_steps import has_separable_stages, plan_stages


def make_plan(
    graph: Graph,
    *,
    store: Store | None = None,
    device: str = "cpu",
    dtype: str | None = None,
    limits: MemoryLimits | None = None,
    contents: MemoryContents | None = None,
    known_results: Mapping[Node[Any], StoredResult] | None = None,
    batch: int | None = None,
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
        batch: The most nodes that are computed at once; None for as many as are best and fit.

    Raises:
        InvalidValueError: A step alone is above a budget that the user has set.
    """
    limits, contents = limits or MemoryLimits(), contents or {}
    lookup = look_up(graph, store, device, dtype, known_results or {}, batch)
    frame_nodes = find_frame_nodes(graph.nodes)
    steps = _steps(graph, store, lookup, frame_nodes, device, dtype)
    if any(step.uses for step in steps):
        units = group_batches(steps, frame_nodes, device, dtype or "float32", limits, batch)
        steps, memory_plan = _plan_memory(units, graph, device, dtype, limits, contents)
        steps = list(_complete_steps(steps, memory_plan, graph, device, limits, contents))
    else:
        memory_plan = plan_without_components(len(steps), contents)
    return Plan(
        graph,
        tuple(steps),
        device,
        dtype,
        limits,
        contents,
        memory_plan.peak_accelerator,
        memory_plan.peak_host,
        memory_plan.warnings,
        batch,
    )


def _steps(
    graph: Graph,
    store: Store | None,
    lookup: LookupResult,
    frame_nodes: Container[Node[Any]],
    device: str,
    dtype: str | None,
) -> list[Step]:
    """The steps of all nodes whose results are needed, in the order of the graph."""
    # Variant by variant: in topological generations, results of all variants would be in memory.
    order = list(graph.nodes) if graph.variants else graph.topological_order()
    needed = _needed_nodes(graph, order, lookup.results)
    nodes = [node for node in order if node in needed]
    releases = _releases(graph, ((node, _inputs(node, lookup)) for node in nodes))
    return [
        _step(node, graph, store, lookup, frame_nodes, device, dtype, releases.get(node, ()))
        for node in nodes
    ]


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
    every_step = list(with_followers(steps))
    # A step for a stage comes before a node that reads the same.
    releases = _releases(graph, ((s.node, s.inputs) for s in every_step if s.stage is None))
    required = requirements(steps, device)
    prefetched = plan_prefetch(required, memory_plan.actions, limits, contents)
    for step, actions, prefetch in zip(steps, memory_plan.actions, prefetched, strict=True):
        released = releases.get(step.node, ()) if step.stage is None else ()
        yield step._replace(memory_actions=actions, prefetch=prefetch, releases=released)
        for follower in step.batch[1:]:
            released = releases.get(follower.node, ())
            yield follower._replace(releases=released, made_with=step.name)


def requirements(steps: Sequence[Step], device: str) -> list[Requirement]:
    """The memory that each step requires, and the steps that it comes after."""
    tier = Tier.HOST if device == "cpu" else Tier.ACCELERATOR
    index: dict[Node[Any] | bytes, int] = {}
    for n, step in enumerate(steps):
        for member in step.members:
            index[member.result] = n
            if member.stages:
                index.update({stage.key: n for stage in member.stages_to_make})
    return [
        Requirement(
            step.name,
            tuple([use.component for use in step.uses]),
            step.working_bytes,
            _comes_after(step, n, index),
            step.node.effect and step.stage is None,
            tier,
        )
        for n, step in enumerate(steps)
    ]


def _comes_after(step: Step, own: int, index: Mapping[Node[Any] | bytes, int]) -> tuple[int, ...]:
    """The indices of the steps whose results a step needs.

    Args:
        step: The step.
        own: Its own index. Stages that the first node of a batch makes for the others are its own.
        index: The index of the step that makes each result.
    """
    before = [index[node] for node in step.inputs]
    for member in step.members:
        before += [index[stage.key] for stage in member.stages if stage.made_before]
    return tuple([each for each in before if each != own]) if step.batch else tuple(before)


def _plan_memory(
    units: list[list[Step]],
    graph: Graph,
    device: str,
    dtype: str | None,
    limits: MemoryLimits,
    contents: MemoryContents,
) -> tuple[list[Step], MemoryPlan]:
    """The steps, their order, and the actions before each.

    Stages are made together with nodes, unless steps of their own load or move fewer bytes, or are
    the only way to keep the budgets.
    """
    steps = [step for unit in units for step in unit]
    together = with_stages_together(units, dtype or "float32")
    best: MemoryPlan | None = None
    try:
        best = _best_order(together, graph, device, limits, contents)
    except InvalidValueError:
        if not has_separable_stages(steps):
            raise
    if best is not None and not (best.over_budget or best.warnings):
        return together, best
    if not has_separable_stages(steps):
        assert best is not None
        return together, best
    apart = with_stages_apart(units, dtype or "float32")
    other = _best_order(apart, graph, device, limits, contents)
    if best is None or _shortage(other) < _shortage(best):
        return apart, other
    return together, best


def _shortage(plan: MemoryPlan) -> tuple[bool, int, int]:
    """How short memory is in a plan: beyond what is free, then by what is loaded and moved."""
    return bool(plan.warnings), plan.bytes_loaded, plan.bytes_moved


def _best_order(
    steps: Sequence[Step],
    graph: Graph,
    device: str,
    limits: MemoryLimits,
    contents: MemoryContents,
) -> MemoryPlan:
    """The best order of steps; of variants it is theirs, unless another loads or moves less.

    Raises:
        InvalidValueError: A step alone is above a budget that the user has set.
    """
    required = requirements(steps, device)
    best = plan_memory(required, limits, contents)
    if graph.variants:
        # Variant by variant, few results are in memory, which the memory plan does not count.
        in_order = plan_in_order(required, limits, contents)
        if in_order.cost[:2] <= best.cost[:2]:
            return in_order
    return best


def _step(
    node: Node[Any],
    graph: Graph,
    store: Store | None,
    lookup: LookupResult,
    frame_nodes: Container[Node[Any]],
    device: str,
    dtype: str | None,
    releases: tuple[Node[Any], ...],
) -> Step:
    """The step of a node, with the components of all stages that are not remembered."""
    remembered = lookup.results.get(node)
    stages: tuple[PlannedStage, ...] = ()
    uses: tuple[ComponentUse, ...] = ()
    working_bytes = 0
    if remembered is None and has_known_parts(node):
        planned = [*plan_stages(node, graph, store, lookup.lineages, frame_nodes, device, dtype)]
        stages, uses = _stages_and_uses(node, planned, device, dtype or "float32")
    if uses:
        sizes = {use.name: use.component.bytes for use in uses}
        working_bytes = node.working_memory(sizes, dtype or "float32")
    return Step(
        node,
        graph.names[node],
        "run" if remembered is None else "reuse",
        lookup.keys.get(node),
        uses,
        working_bytes,
        releases=releases,
        remembered=remembered,
        stages=stages,
        not_kept=_reason_not_kept(node, graph, store, lookup) if remembered is None else "",
        alias=lookup.aliases.get(node),
        context=lookup.contexts.get(node),
    )


def _stages_and_uses(
    node: Node[Any],
    planned: Sequence[tuple[PlannedStage, tuple[str, ...]]],
    device: str,
    dtype: str,
) -> tuple[tuple[PlannedStage, ...], tuple[ComponentUse, ...]]:
    """The stages of a node with what each uses, and all components that the node uses.

    Args:
        node: A node whose components are known.
        planned: Its stages, each with the names of the components that only it needs.
        device: The device that the graph is to run on.
        dtype: The dtype that it is to be computed in.
    """
    remembered_parts = [parts for stage, parts in planned if stage.remembered is not None]
    not_needed = {part for parts in remembered_parts for part in parts}
    uses = _uses(node, device, dtype, not_needed)
    stages = [
        replace(stage, uses=tuple([use for use in uses if use.name in parts]))
        for stage, parts in planned
    ]
    return tuple(stages), uses


def _reason_not_kept(
    node: Node[Any], graph: Graph, store: Store | None, lookup: LookupResult
) -> str:
    """The reason why the result of a node is not kept on disk, if an earlier run left it out."""
    if store is None or store.on_disk is None or node in graph.always_kept:
        return ""
    return store.reason_not_kept(lookup.keys.get(node) or lookup.aliases.get(node))


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


def _inputs(node: Node[Any], lookup: LookupResult) -> tuple[Node[Any], ...]:
    """The nodes whose results the step of a node reads."""
    return () if node in lookup.results else tuple([child for _, child in node.wires])


def _releases(
    graph: Graph, readers: Iterable[tuple[Node[Any], tuple[Node[Any], ...]]]
) -> dict[Node[Any], tuple[Node[Any], ...]]:
    """For each node the nodes whose last reader it is; targets are kept to the end.

    Args:
        graph: The nodes.
        readers: The nodes in the order in which they run, each with those whose results it reads.
    """
    last_reader: dict[Node[Any], Node[Any]] = {}
    for node, inputs in readers:
        last_reader[node] = node
        for child in inputs:
            last_reader[child] = node
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
    resolved = {
        name: resolve_part(part) for name, part in parts_of(node).items() if name not in not_needed
    }
    return tuple(
        ComponentUse(name, part, part.component(device, dtype)) for name, part in resolved.items()
    )
