"""Nodes with a field `count`: each stands for several nodes, which differ in their seeds.

1. A node with a count above 1 becomes that many nodes, with the seeds seed, seed + 1, ….
2. A node that reads it becomes as many nodes, each of which reads one of them. Two lists of equal
   length that one node reads are read in pairs.
3. A node that gathers becomes one node, which reads all of them.
4. A node that writes files gets the seeds into their names: star.png becomes star_seed-0003.png.

Each of these nodes is what its author could have written, so that it is remembered and batched as
any other, and its record makes it alone.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidNodeError, Problem

from .dag import Graph
from .definition import COUNT
from .frame_series import find_frame_nodes
from .node import Node, ancestry


@dataclass(frozen=True)
class Copy:
    """One of the nodes that a node becomes."""

    node: Node[Any]
    seeds: tuple[str, ...] = ()
    """The seeds that it differs in from the others, as they are in names of files."""

    def rename(self, name: str) -> str:
        """The name of the node: `star[seed=3]`, or `star[style=ink seed=3]` in a sweep."""
        if not self.seeds:
            return name
        values = " ".join(f"seed={int(seed)}" for seed in self.seeds)
        return f"{name[:-1]} {values}]" if name.endswith("]") else f"{name}[{values}]"


Copies = Mapping[Node[Any], tuple[Copy, ...]]
"""The copies of each node that is replaced by some."""


def expand_checked(graph: Graph) -> tuple[Graph, list[Problem]]:
    """The graph without counts above 1, and the problems of both.

    Args:
        graph: Any graph.

    Returns:
        A graph in which each node makes one value, the same one if that holds already; and every
        problem that can be found before a run.
    """
    problems = graph.check()
    if not has_counts(graph.nodes):
        return graph, problems
    copies, more = find_copies(graph.nodes)
    problems += [
        problem.under(graph.names[node], graph.mark(node, problem.subject))
        for node, problem in more
    ]
    if problems:
        return graph, problems
    expanded = with_copies(graph, copies)
    return expanded, expanded.check()


def has_counts(nodes: Iterable[Node[Any]]) -> bool:
    """Whether a node among them stands for several."""
    return any(type(node).counted and _count(node) > 1 for node in nodes)


def _count(node: Node[Any]) -> int:
    return node.count if type(node).counted else 1  # type: ignore[attr-defined]


def find_copies(
    nodes: Collection[Node[Any]],
) -> tuple[dict[Node[Any], tuple[Copy, ...]], list[tuple[Node[Any], Problem]]]:
    """The copies of each node that is replaced, and the problems of nodes that cannot be.

    Args:
        nodes: The nodes of a graph, each after those that it reads.
    """
    copies: dict[Node[Any], tuple[Copy, ...]] = {}
    problems: list[tuple[Node[Any], Problem]] = []
    per_frame = find_frame_nodes(nodes)
    for node in nodes:
        read = {child: copies[child] for _, child in node.wires if child in copies}
        if not read and _count(node) == 1:
            continue
        if _count(node) > 1 and node in per_frame:
            fix = "run the workflow with several seeds: seed=1..4"
            found = f"{_count(node)} for each frame of a video"
            problems.append((node, Problem(COUNT, found, "1", fix)))
            continue
        try:
            copies[node] = tuple(_copies_of(node, read))
        except InvalidNodeError as error:
            problems += ((node, _problem_of_copies(node, each)) for each in error.problems)
    return copies, problems


def _problem_of_copies(node: Node[Any], problem: Problem) -> Problem:
    """The problem of a node that was found in one of its copies."""
    field = problem.subject.removeprefix(type(node).__name__).lstrip(".")
    if field != "seed":
        return replace(problem, subject=field)
    found = f"{_count(node)} seeds from {node.seed} on"  # type: ignore[attr-defined]
    fix = "begin with a smaller seed"
    return Problem(COUNT, found, f"each {problem.wanted}", fix)


def _copies_of(node: Node[Any], read: Copies) -> Iterator[Copy]:
    """The nodes that one node becomes; raises InvalidNodeError if one cannot be built."""
    count = _count(node)
    digits = max(4, len(str(node.seed + count - 1))) if count > 1 else 0  # type: ignore[attr-defined]
    for chosen, seeds in _choices(node, read):
        changes = _with_children(node, chosen)
        for own in range(count):
            label = seeds
            if count > 1:
                seed = node.seed + own  # type: ignore[attr-defined]
                changes |= {COUNT: 1, "seed": seed}
                label = (*seeds, f"{seed:0{digits}d}")
            if label:
                rename = partial(_with_seeds, seeds=label)
                targets = type(node).definition.targets
                changes |= {name: _map_paths(getattr(node, name), rename) for name in targets}
            yield Copy(node.replace(**changes), label)


def _choices(
    node: Node[Any], read: Copies
) -> Iterator[tuple[dict[Node[Any], list[Node[Any]]], tuple[str, ...]]]:
    """For each copy of a node, the nodes that it reads instead of each child, and their seeds."""
    if type(node).gathers or type(node).gathers_copies:
        yield {child: [copy.node for copy in copies] for child, copies in read.items()}, ()
        return
    several = {port: read[child] for port, child in node.wires if len(read.get(child, ())) > 1}
    first = next(iter(several.values()), (Copy(node),))
    for port, copies in several.items():
        if len(copies) != len(first):
            found = f"{len(first)} values in {next(iter(several))} and {len(copies)} in {port}"
            subject = f"{type(node).__name__}.{port.partition('[')[0]}"
            fix = "give both nodes the same `count`"
            raise InvalidNodeError([Problem(subject, found, "as many in each", fix)])
    for index, one in enumerate(first):
        chosen = {child: [copies[index % len(copies)].node] for child, copies in read.items()}
        yield chosen, one.seeds


def _with_children(node: Node[Any], chosen: Mapping[Node[Any], list[Node[Any]]]) -> dict[str, Any]:
    """The ports of a node that read other nodes now, with their new values."""
    changes: dict[str, Any] = {}
    for name in {port.partition("[")[0] for port, child in node.wires if child in chosen}:
        value = getattr(node, name)
        if isinstance(value, Node):
            children = chosen[value]
            changes[name] = children[0] if len(children) == 1 else children
        else:
            changes[name] = [
                new
                for item in value
                for new in (chosen.get(item, [item]) if isinstance(item, Node) else [item])
            ]
    return changes


def _map_paths(value: Any, rename: Any) -> Any:
    """A field of paths, a list or a map of them, with each path renamed."""
    if isinstance(value, str | Path):
        return rename(value)
    if isinstance(value, Mapping):
        return {key: _map_paths(item, rename) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_map_paths(item, rename) for item in value]
    return value


def _with_seeds(path: str | Path, seeds: tuple[str, ...]) -> str | Path:
    """A path with seeds after its stem.

    Example:
        >>> _with_seeds("out/star.png", ("0003",))
        'out/star_seed-0003.png'
    """
    old = Path(path)
    stem = "_".join([old.stem, *(f"seed-{seed}" for seed in seeds)])
    new = old.with_name(f"{stem}{old.suffix}") if old.name else old
    return str(new) if isinstance(path, str) else new


def with_copies(graph: Graph, copies: Copies) -> Graph:
    """The graph with copies instead of their nodes, whose names, marks and settings they keep.

    Args:
        graph: The graph.
        copies: The copies of its nodes, as `find_copies` returns them.
    """
    kept = {node: (Copy(node),) for node in graph.names if node not in copies}
    # Nodes that stay as they are keep their names, also where a copy is equal to one.
    every = [*kept.items(), *((node, copies[node]) for node in graph.names if node in copies)]
    names: dict[Node[Any], str] = {}
    for node, own in every:
        for copy in own:
            names.setdefault(copy.node, copy.rename(graph.names[node]))
    targets = {graph.names[node]: nodes_of(node, copies) for node in graph.targets}
    once = dict.fromkeys(node for nodes in targets.values() for node in nodes)
    return replace(
        graph,
        targets=tuple(once),
        nodes=tuple(ancestry(*once)),
        names=names,
        marks=_for_copies(graph.marks, copies),
        origins=_for_copies(graph.origins, copies),
        uncached=frozenset(new for node in graph.uncached for new in nodes_of(node, copies)),
        pinned=frozenset(new for node in graph.pinned for new in nodes_of(node, copies)),
        results={name: nodes if len(nodes) > 1 else nodes[0] for name, nodes in targets.items()},
    )


def collect_values(graph: Graph, values: Mapping[Node[Any], Any]) -> dict[str, Any]:
    """The values that are wanted of a graph, by name; a list for a node with a `count`.

    Args:
        graph: The graph that has run.
        values: The values of its targets.
    """
    results = graph.results or {graph.names[node]: node for node in graph.targets}
    return {
        name: [values[each] for each in node] if isinstance(node, tuple) else values[node]
        for name, node in results.items()
    }


def nodes_of(node: Node[Any], copies: Copies) -> tuple[Node[Any], ...]:
    """The nodes that take the place of a node; itself, if it has no copies."""
    return tuple(copy.node for copy in copies[node]) if node in copies else (node,)


def _for_copies(facts: Mapping[Node[Any], Any], copies: Copies) -> dict[Node[Any], Any]:
    """What is known of nodes, for their copies too."""
    known = dict(facts)
    for node in copies:
        if node in facts:
            for copy in copies[node]:
                known.setdefault(copy.node, facts[node])
    return known
