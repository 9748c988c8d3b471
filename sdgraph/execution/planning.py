"""The plan of a run: order, what each step loads and releases, what is remembered. Torch-free."""

from __future__ import annotations

from collections.abc import Container, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from sdgraph.graph import Graph, Node, late_checkpoint, parts_of
from sdgraph.memory import (
    Action,
    Component,
    MemoryContents,
    MemoryLimits,
    MemoryPlan,
    Requirement,
    Tier,
    plan_in_order,
    plan_memory,
    plan_nothing,
    plan_prefetch,
)
from sdgraph.models import ResolvedPart, resolve, resolve_part
from sdgraph.store import Found, LookedUp, Store, look_up, stage_key
from sdgraph.values import Checkpoint


@dataclass(frozen=True, slots=True)
class Use:
    """One component that a step uses, by the name the node calls it."""

    name: str
    resolved: ResolvedPart = field(repr=False)
    """Its files and their hashes as they were when this was planned."""
    component: Component


@dataclass(frozen=True, slots=True)
class Kept:
    """A stage of a step's work that is remembered by itself, or will be."""

    name: str
    key: bytes
    parts: tuple[str, ...]
    """The components that it alone needs."""
    found: Found | None = field(default=None, repr=False, compare=False)


@dataclass(frozen=True, slots=True)
class Step:
    """One node's turn: run it, or reuse what is remembered of it."""

    node: Node[Any]
    name: str
    action: Literal["run", "reuse"]
    key: bytes | None
    """The key of its result where that is known before the run."""
    uses: tuple[Use, ...]
    working_bytes: int
    """The bytes it is thought to work with beside its components."""
    memory_actions: tuple[Action, ...] = ()
    """What is done to memory before it runs, in order."""
    prefetch: tuple[Component, ...] = ()
    """The components whose files are read into the system's cache while it computes."""
    releases: tuple[Node[Any], ...] = ()
    """The results that nobody reads after this step."""
    found: Found | None = field(default=None, repr=False, compare=False)
    """What is remembered, kept here lest the store forget it before the step's turn."""
    stages: tuple[Kept, ...] = ()
    alias: bytes | None = field(default=None, repr=False)
    """The key of its result by its lineage, under which it is to be found too."""
    around: str | None = field(default=None, repr=False)
    """Its surroundings when this was planned, where they are needed and could be known."""

    @property
    def loads(self) -> tuple[Component, ...]:
        """The components that are read from disk for it."""
        return tuple(action.component for action in self.memory_actions if action.kind == "load")


@dataclass(frozen=True)
class Plan:
    """Steps in order; a frozen description of what a run will do."""

    graph: Graph
    steps: tuple[Step, ...]
    device: str
    dtype: str | None
    limits: MemoryLimits = field(default_factory=MemoryLimits)
    contents: MemoryContents = field(default_factory=dict)
    """What is in memory before the first step."""
    peak_accelerator: int = 0
    """The most bytes that components and working memory take on the accelerator at once."""
    peak_host: int = 0
    warnings: tuple[str, ...] = ()
    """Where less memory was found free than a step alone needs, in words."""

    @property
    def loads(self) -> tuple[Component, ...]:
        """What will be loaded, in order; a component twice where it must be loaded again."""
        return tuple(each for step in self.steps for each in step.loads)

    @property
    def bytes_loaded(self) -> int:
        """The bytes of the weight files that will be read, as far as they are here."""
        return sum(each.file_bytes for each in self.loads)

    @property
    def fetches(self) -> dict[Checkpoint, Node[Any]]:
        """The checkpoints that the hub must be asked for, each with a node that needs it."""
        found: dict[Checkpoint, Node[Any]] = {}
        for step in self.steps:
            for checkpoint in checkpoints_of(step.node) if step.action == "run" else ():
                if resolve(checkpoint).must_fetch:
                    found.setdefault(checkpoint, step.node)
        return found

    @property
    def runs_models(self) -> bool:
        """Whether a step will compute with models."""
        return any(
            step.action == "run" and "models" in type(step.node).definition.services
            for step in self.steps
        )

    @property
    def uses_models(self) -> bool:
        """Whether any node of the graph computes with models."""
        return any("models" in type(step.node).definition.services for step in self.steps)


def plan(
    graph: Graph,
    *,
    store: Store | None = None,
    device: str = "cpu",
    dtype: str | None = None,
    limits: MemoryLimits | None = None,
    contents: MemoryContents | None = None,
    made: Mapping[Node[Any], Found] | None = None,
) -> Plan:
    """The plan for a graph, given what the store remembers, what is in memory and how much fits.

    `made` are results that are there already, of a run that is planned anew in its midst.
    Raises InvalidValueError where a step alone is above a budget that was set.
    """
    limits, contents = limits or MemoryLimits(), contents or {}
    # One variant after another; generations would take a layer of all of them at a time.
    order = list(graph.nodes) if graph.variants else graph.in_generations()
    known = look_up(graph, store, device, dtype, made or {})
    remembered = known.found
    needed = _needed(graph, order, remembered)
    steps = [
        _step(node, graph.names[node], known, stages, device, dtype)
        for node in order
        if node in needed
        for stages in [_stages(node, graph, store, device, dtype) if node not in remembered else ()]
    ]
    memory = _plan_memory(steps, device, limits, contents, as_given=graph.variants)
    steps = [steps[place] for place in memory.order]
    releases = _releases(graph, [step.node for step in steps], remembered)
    ahead = plan_prefetch(requirements(steps, device), memory.actions, limits, contents)
    done = tuple(
        replace(step, memory_actions=actions, prefetch=soon, releases=releases.get(step.node, ()))
        for step, actions, soon in zip(steps, memory.actions, ahead, strict=True)
    )
    return Plan(
        graph,
        done,
        device,
        dtype,
        limits,
        contents,
        memory.peak_accelerator,
        memory.peak_host,
        memory.warnings,
    )


def requirements(steps: Sequence[Step], device: str) -> list[Requirement]:
    """What each step requires of memory, and which of the other steps it comes after."""
    tier = Tier.HOST if device == "cpu" else Tier.ACCELERATOR
    place = {step.node: n for n, step in enumerate(steps)}
    return [
        Requirement(
            step.name,
            tuple(use.component for use in step.uses),
            step.working_bytes,
            tuple(place[child] for _, child in step.node.wires) if step.action == "run" else (),
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
    as_given: bool,
) -> MemoryPlan:
    """The order of the steps, and the actions before each.

    Where no step uses a component, the order is the given one. `as_given` prefers the given order
    to every other that loads and moves as many bytes.
    """
    if not any(step.uses for step in steps):
        return plan_nothing(len(steps), contents)
    required = requirements(steps, device)
    best = plan_memory(required, limits, contents)
    if as_given:
        # Variant after variant holds few results at a time, which the memory plan does not count.
        in_order = plan_in_order(required, limits, contents)
        if in_order.cost[:2] <= best.cost[:2]:
            return in_order
    return best


def _stages(
    node: Node[Any], graph: Graph, store: Store | None, device: str, dtype: str | None
) -> tuple[Kept, ...]:
    """The stages of a node's work, with what is remembered of them."""
    if node in graph.uncached or not _has_parts(node):
        return ()
    keys = {stage: stage_key(node, stage, device, dtype) for stage in node.stages()}
    get = store.get if store is not None else lambda _: None
    return tuple(Kept(each.name, key, each.parts, get(key)) for each, key in keys.items())


def _step(
    node: Node[Any],
    name: str,
    known: LookedUp,
    stages: tuple[Kept, ...],
    device: str,
    dtype: str | None,
) -> Step:
    found = known.found.get(node)
    spared = {part for stage in stages if stage.found is not None for part in stage.parts}
    uses = _uses(node, device, dtype or "float32", spared) if found is None else ()
    sizes = {use.name: use.component.bytes for use in uses}
    working = node.working_memory(sizes, dtype or "float32") if uses else 0
    action: Literal["run", "reuse"] = "run" if found is None else "reuse"
    return Step(
        node,
        name,
        action,
        known.keys.get(node),
        uses,
        working,
        found=found,
        stages=stages,
        alias=known.aliases.get(node),
        around=known.around.get(node),
    )


def _needed(
    graph: Graph, order: list[Node[Any]], remembered: Container[Node[Any]]
) -> set[Node[Any]]:
    """The nodes whose results must be had: the targets, and what those that run read."""
    needed = set(graph.targets)
    for node in reversed(order):
        if node in needed and node not in remembered:
            needed.update(child for _, child in node.wires)
    return needed


def _releases(
    graph: Graph, taken: list[Node[Any]], remembered: Container[Node[Any]]
) -> dict[Node[Any], tuple[Node[Any], ...]]:
    """For each step the results whose last reader it is; targets are kept to the end."""
    last: dict[Node[Any], Node[Any]] = {}
    for node in taken:
        last[node] = node
        if node not in remembered:
            last.update((child, node) for _, child in node.wires)
    releases: dict[Node[Any], list[Node[Any]]] = {}
    targets = set(graph.targets)
    for node, reader in last.items():
        if node not in targets:
            releases.setdefault(reader, []).append(node)
    return {reader: tuple(nodes) for reader, nodes in releases.items()}


def _has_parts(node: Node[Any]) -> bool:
    """Whether a node computes with models that can be told before the run."""
    return "models" in type(node).definition.services and not late_checkpoint(node)


def _uses(node: Node[Any], device: str, dtype: str, spared: Container[str] = ()) -> tuple[Use, ...]:
    """The components that a node uses, without those that are `spared`."""
    if not _has_parts(node):
        return ()
    resolved = {
        name: resolve_part(part) for name, part in parts_of(node).items() if name not in spared
    }
    return tuple(Use(name, part, part.component(device, dtype)) for name, part in resolved.items())


def checkpoints_of(node: Node[Any]) -> tuple[Checkpoint, ...]:
    """The checkpoints whose parts a node needs, each once."""
    if not _has_parts(node):
        return ()
    return tuple(dict.fromkeys(part.checkpoint for part in parts_of(node).values()))
