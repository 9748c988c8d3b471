"""The plan of a run: order, what each step loads and releases, what is remembered. Torch-free."""

from __future__ import annotations

from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from . import checkpoints
from .checkpoints import Part
from .graph import Graph, late_checkpoint
from .node import Node
from .store import Remembered, Store, result_key
from .weights import Checkpoint


@dataclass(frozen=True, slots=True)
class Use:
    """One component that a step uses; `load` says whether it is the first to need it."""

    name: str
    part: Part
    identity: str
    bytes: int
    load: bool
    files: tuple[tuple[Path, str], ...] = field(default=(), repr=False)
    """The files it is made of, each with its sha256 when this was planned."""


@dataclass(frozen=True, slots=True)
class Step:
    """One node's turn: run it, or reuse what is remembered of it."""

    node: Node[Any]
    name: str
    action: Literal["run", "reuse"]
    key: bytes | None
    """The key of its result where that is known before the run."""
    uses: tuple[Use, ...]
    releases: tuple[Node[Any], ...]
    """The results that nobody reads after this step."""
    found: Remembered | None = field(default=None, repr=False, compare=False)
    """What is remembered, kept here lest the store forget it before the step's turn."""


@dataclass(frozen=True)
class Plan:
    """Steps in order; a frozen description of what a run will do."""

    graph: Graph
    steps: tuple[Step, ...]
    device: str
    dtype: str | None

    @property
    def loads(self) -> tuple[Use, ...]:
        """The components that will be loaded, in order."""
        return tuple(use for step in self.steps for use in step.uses if use.load)

    @property
    def bytes_loaded(self) -> int:
        """The bytes of the weight files that will be read, as far as they are here."""
        return sum(use.bytes for use in self.loads)

    @property
    def fetches(self) -> dict[Checkpoint, Node[Any]]:
        """The checkpoints that the hub must be asked for, each with a node that needs it."""
        found: dict[Checkpoint, Node[Any]] = {}
        for step in self.steps:
            for checkpoint in checkpoints_of(step.node) if step.action == "run" else ():
                if checkpoints.must_fetch(checkpoint):
                    found.setdefault(checkpoint, step.node)
        return found

    @property
    def uses_models(self) -> bool:
        return any("models" in type(step.node).definition.services for step in self.steps)


def plan(
    graph: Graph,
    *,
    store: Store | None = None,
    device: str = "auto",
    dtype: str | None = None,
    loaded: Iterable[str] = (),
) -> Plan:
    """The plan for a graph, given what the store remembers and which identities are loaded."""
    import networkx as nx

    order = list(nx.topological_sort(graph.dag))
    keys, remembered = ({}, {}) if store is None else _remembered(order, store, device, dtype)
    needed = _needed(graph, order, remembered)
    taken = [node for node in order if node in needed]
    releases = _releases(graph, taken, remembered)
    have = set(loaded)
    steps = []
    for node in taken:
        found = remembered.get(node)
        uses = _uses(node, have) if found is None else ()
        have.update(use.identity for use in uses)
        steps.append(
            Step(node, graph.names[node], "run" if found is None else "reuse", keys.get(node),
                 uses, releases.get(node, ()), found)
        )  # fmt: skip
    return Plan(graph, tuple(steps), device, dtype)


def surroundings(node: Node[Any], device: str, dtype: str | None) -> str:
    """What beside parameters and inputs can change a node's result."""
    if "models" not in type(node).definition.services:
        return ""
    parts = node.parts()
    identities = ",".join(
        f"{name}={checkpoints.identity(parts[name])}:{parts[name].checkpoint.dtype}"
        for name in sorted(parts)
    )
    used = dict.fromkeys(part.checkpoint for part in parts.values())
    told = ",".join(checkpoints.settings(checkpoint) for checkpoint in used)
    return f"{identities};{told};{device};{dtype}"


def _remembered(
    order: Iterable[Node[Any]], store: Store, device: str, dtype: str | None
) -> tuple[dict[Node[Any], bytes], dict[Node[Any], Remembered]]:
    """Every key that can be known before the run, and the results that are remembered."""
    remembered: dict[Node[Any], Remembered] = {}
    keys: dict[Node[Any], bytes] = {}
    for node in order:
        children = [child for _, child in node.wires]
        if late_checkpoint(node) or not all(child in remembered for child in children):
            continue
        inputs = [remembered[child].content for child in children]
        key = result_key(node, inputs, surroundings(node, device, dtype))
        keys[node] = key
        found = None if node.effect else store.get(key)
        if found is not None:
            remembered[node] = found
    return keys, remembered


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


def _uses(node: Node[Any], have: set[str]) -> tuple[Use, ...]:
    if "models" not in type(node).definition.services or late_checkpoint(node):
        return ()
    uses = []
    seen = set(have)
    for name, part in node.parts().items():
        identity = checkpoints.identity(part)
        size, files = checkpoints.size(part), checkpoints.contents(part)
        uses.append(Use(name, part, identity, size, identity not in seen, files))
        seen.add(identity)
    return tuple(uses)


def checkpoints_of(node: Node[Any]) -> tuple[Checkpoint, ...]:
    """The checkpoints whose parts a node needs, each once."""
    if "models" not in type(node).definition.services or late_checkpoint(node):
        return ()
    return tuple(dict.fromkeys(part.checkpoint for part in node.parts().values()))
