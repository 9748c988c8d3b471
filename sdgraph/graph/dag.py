"""Graphs: the nodes that some targets need, with names, and the checks before a run."""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdgraph.errors import MAX_PROBLEMS, CheckpointError, Mark, Problem, SdgraphError
from sdgraph.files import OutputFolders
from sdgraph.memoize import memoized_scope, scope_results
from sdgraph.models import part_warnings, resolve_part
from sdgraph.values import Checkpoint, Part

from .frame_series import find_frame_problems
from .node import Node, ancestry
from .node_files import missing_sources, target_files

if TYPE_CHECKING:
    import networkx as nx

Marks = Mapping[str, Mark]
"""The places of a node's fields in a workflow file, by field name; "" is the node itself."""


@dataclass(frozen=True)
class Origin:
    """The workflow input that a field of a node got its value from."""

    name: str
    type: str
    description: str = ""


Origins = Mapping[tuple[str | int, ...], Origin]
"""By the place of a value in a node's fields: the input that it came from."""


@dataclass(frozen=True)
class Graph:
    """The nodes that some targets need: each node once, and after the nodes it reads.

    `Graph.of` makes one.

    Args:
        targets: The nodes whose values are wanted.
        nodes: All nodes, in an order in which they can run.
        names: The name of each node.
        marks: The places of the nodes' fields in a workflow file.
        origins: The workflow inputs that fields of nodes got their values from.
        uncached: The nodes that run even if their results are remembered.
        pinned: The nodes whose results are always kept on disk.
        variants: Whether it holds the variants of one workflow, one after another.
        output_folders: The folders that the nodes may write into. None is any: a graph that is
            composed in Python writes wherever its author says; the graph of a workflow file does
            not, unless the file was loaded with `allow_outside`.
        folder: The folder of the workflow file, to which the paths in records are relative.
        overwrite: Whether files that are there already are replaced, whatever their nodes say.
        results: The nodes whose values are wanted, by name: those of nodes with a `count` as
            tuples. Empty is each target by its own name.

    Example:
        >>> from sdgraph import Graph
        >>> from sdgraph.nodes import Canny, LoadImage
        >>> photo = LoadImage(path="photo.png")
        >>> graph = Graph.of(Canny(image=photo))
        >>> [graph.names[node] for node in graph.nodes]
        ['load_image', 'canny']
    """

    targets: tuple[Node[Any], ...]
    nodes: tuple[Node[Any], ...]
    names: Mapping[Node[Any], str] = field(repr=False)
    marks: Mapping[Node[Any], Marks] = field(repr=False, default_factory=dict)
    origins: Mapping[Node[Any], Origins] = field(repr=False, default_factory=dict)
    uncached: frozenset[Node[Any]] = frozenset()
    """The nodes that always run: their results are neither remembered nor reused."""
    pinned: frozenset[Node[Any]] = frozenset()
    """The nodes whose results are kept on disk however soon they are made again."""
    variants: bool = False
    """Whether it holds the variants of one workflow, one after another."""
    output_folders: OutputFolders | None = None
    """The folders that the nodes may write into; None is any."""
    folder: Path | None = None
    """The folder of the workflow file; None without one."""
    notices: tuple[Problem, ...] = field(default=(), compare=False, repr=False)
    """Warnings about how its inputs were read, such as files of a folder that were left out."""
    overwrite: bool = False
    """Whether files that are there already are replaced, whatever their nodes say."""
    results: Mapping[str, Node[Any] | tuple[Node[Any], ...]] = field(default_factory=dict)

    @classmethod
    def of(
        cls,
        *targets: Node[Any],
        names: Mapping[Node[Any], str] | None = None,
        marks: Mapping[Node[Any], Marks] | None = None,
        origins: Mapping[Node[Any], Origins] | None = None,
        uncached: Iterable[Node[Any]] = (),
        pinned: Iterable[Node[Any]] = (),
        output_folders: OutputFolders | None = None,
        folder: Path | None = None,
    ) -> Graph:
        """The graph of some targets.

        Args:
            targets: The nodes whose values are wanted; all that they read is in the graph too.
            names: Names for some of the nodes; the others are named after their types.
            marks: The places of the nodes' fields in a workflow file.
            origins: The workflow inputs that fields of nodes got their values from.
            uncached: The nodes that run even if their results are remembered.
            pinned: The nodes whose results are always kept on disk.
            output_folders: The folders that the nodes may write into; None is any.
            folder: The folder of the workflow file; None without one.
        """
        nodes = tuple(ancestry(*targets))
        once, names = tuple(dict.fromkeys(targets)), assign_names(nodes, names or {})
        return cls(
            once,
            nodes,
            names,
            marks or {},
            origins or {},
            frozenset(uncached).intersection(nodes),
            frozenset(pinned).intersection(nodes),
            output_folders=output_folders,
            folder=folder,
        )

    def to_networkx(self) -> nx.DiGraph[Node[Any]]:
        """The graph as a new networkx graph, for the algorithms and the drawing of networkx.

        Returns:
            A directed graph whose nodes are the `Node` objects, in the order of `nodes`. An edge
            leads from a node to each that reads it. Attributes of a node are `name`, its name in
            this graph; `type`, the name of its class; and `parameters`, its fields that differ
            from their defaults and hold no other node. The attribute `ports` of an edge is a tuple
            of the ports it leads to: `("image",)`, `("controls[0]", "controls[1]")`.

        Example:
            >>> import networkx as nx
            >>> from sdgraph.graph import Graph
            >>> from sdgraph.nodes import Canny, LoadImage
            >>> photo = LoadImage(path="man.png")
            >>> graph = Graph.of(Canny(image=photo, low=10)).to_networkx()
            >>> [graph.nodes[node]["name"] for node in nx.topological_sort(graph)]
            ['load_image', 'canny']
            >>> [edge["ports"] for _, _, edge in graph.edges(data=True)]
            [('image',)]
        """
        import networkx as nx

        graph: nx.DiGraph[Node[Any]] = nx.DiGraph()
        for node in self.nodes:
            fields = node.non_default_fields()
            wired = {port.partition("[")[0] for port, _ in node.wires}
            parameters = {name: value for name, value in fields.items() if name not in wired}
            graph.add_node(
                node, name=self.names[node], type=type(node).__name__, parameters=parameters
            )
        for node in self.nodes:
            ports: dict[Node[Any], list[str]] = {}
            for port, child in node.wires:
                ports.setdefault(child, []).append(port)
            for child, names in ports.items():
                graph.add_edge(child, node, ports=tuple(names))
        return graph

    def topological_order(self) -> list[Node[Any]]:
        """The nodes in the order of `networkx.topological_sort`, without importing networkx.

        First the nodes that read nothing, then those that read only these, and so on.
        """
        place = {node: n for n, node in enumerate(self.nodes)}
        readers: list[list[int]] = [[] for _ in self.nodes]
        waits = []
        for n, node in enumerate(self.nodes):
            read: Collection[int] = [place[child] for _, child in node.wires]
            if len(read) > 1:
                read = set(read)
            waits.append(len(read))
            for child in read:
                readers[child].append(n)
        order = [n for n, waiting in enumerate(waits) if not waiting]
        for child in order:  # grows while it is walked
            for n in readers[child]:
                waits[n] -= 1
                if not waits[n]:
                    order.append(n)
        return [self.nodes[n] for n in order]

    def subgraph(self, *targets: Node[Any]) -> Graph:
        """The part of the graph that some of its nodes need, with the same names and marks."""
        return Graph.of(
            *targets,
            names=self.names,
            marks=self.marks,
            origins=self.origins,
            uncached=self.uncached,
            pinned=self.pinned,
            output_folders=self.output_folders,
            folder=self.folder,
        )

    def is_remembered(self, node: Node[Any]) -> bool:
        """Whether the result of a node is remembered, and looked for before it runs."""
        if not type(node).definition.identity.remembered:
            return False
        return not self.uncached or node not in self.uncached

    @cached_property
    def always_kept(self) -> frozenset[Node[Any]]:
        """The nodes whose results are kept on disk however soon they are made again."""
        return self.pinned.union(self.targets)

    def mark(self, node: Node[Any], field: str = "") -> Mark | None:
        """The place of a node, or of one of its fields, in its workflow file; None without one."""
        marks = self.marks.get(node, {})
        return marks.get(field) or marks.get("")

    def check(self) -> list[Problem]:
        """Every problem that can be found before a run; loads nothing, and imports no torch."""
        problems = _find_problems(self.nodes)
        problems += find_frame_problems(self.nodes)
        return [
            problem.under(self.names[node], self.mark(node, problem.subject))
            for node, problem in problems
        ] + [*self._rivals(), *self._targets_outside()]

    def warnings(self) -> list[Problem]:
        """What is allowed though it is probably not meant; nothing is loaded."""
        with memoized_scope():
            return [*self.notices] + [
                warning.under(self.names[node], self.mark(node, warning.subject))
                for node in self.nodes
                if type(node).warnings is not Node.warnings
                for warning in node.warnings()
            ]

    def checkpoint_warnings(self) -> list[Problem]:
        """The checkpoints that are not here, or not in the variant asked for; nothing is loaded."""
        nodes = (
            node for node in self.nodes if needs_models(node) and not has_computed_checkpoint(node)
        )
        parts = (resolve_part(part) for node in nodes for part in parts_of(node).values())
        return list(part_warnings(parts))

    @cached_property
    def _writers(self) -> list[Node[Any]]:
        """The nodes that may write files; most nodes of most graphs do not."""
        return [node for node in self.nodes if type(node).definition.targets]

    @cached_property
    def files_to_write(self) -> tuple[tuple[Path, Node[Any], str], ...]:
        """The absolute path of each file or folder that is written, its node and the field."""
        return tuple(
            (Path(os.path.abspath(path)), node, field_name)  # noqa: PTH100  abspath removes ".."
            for node in self._writers
            for field_name, path in target_files(node)
        )

    def _rivals(self) -> Iterator[Problem]:
        """A problem for each node that writes to the same path as another."""
        writers: dict[Path, str] = {}
        for path, node, field_name in self.files_to_write:
            name = self.names[node]
            first = writers.setdefault(path, name)
            if first != name:
                found, wanted = f"{path}, where {first} writes too", "a place of its own"
                problem = Problem(field_name, found, wanted, "choose another name")
                yield problem.under(name, self.mark(node, field_name))

    def _targets_outside(self) -> Iterator[Problem]:
        """A problem for each path to write that is not in one of the permitted folders."""
        folders = self.output_folders
        if folders is None:
            return
        known_parents: dict[str, str] = {}
        for node in self._writers:
            for field_name, path in target_files(node):
                if not folders.permit(path, known_parents):
                    problem = folders.problem(field_name, path)
                    yield problem.under(self.names[node], self.mark(node, field_name))


def _find_problems(nodes: tuple[Node[Any], ...]) -> list[tuple[Node[Any], Problem]]:
    """The problems of each node; those of a node are found once within a memoized scope."""
    memoized = scope_results.get()
    known = {} if memoized is None else memoized.setdefault(_find_problems, {})
    problems: list[tuple[Node[Any], Problem]] = []
    checked = {cls: _has_checks(cls) for cls in {type(node) for node in nodes}}
    for node in nodes:
        if not checked[type(node)]:
            continue
        # Equal nodes may differ in fields that make no difference to the result. Each node is kept
        # with its problems, so that no other one gets its id.
        if id(node) not in known:
            # Looking for similar names in folders takes a time that grows with the problems.
            suggest = len(problems) < MAX_PROBLEMS
            known[id(node)] = (node, _problems(node, suggest=suggest))
        problems += [(node, problem) for problem in known[id(node)][1]]
    return problems


def _has_checks(cls: type[Node[Any]]) -> bool:
    """Whether nodes of a class may have problems that are found before a run."""
    definition = cls.definition
    return (
        cls.check is not Node.check
        or "models" in definition.services
        or bool(definition.sources or definition.folders)
    )


def _problems(node: Node[Any], *, suggest: bool) -> list[Problem]:
    if missing := list(missing_sources(node, suggest=suggest)):
        return missing
    try:
        problems = list(node.check())
        if not problems and needs_models(node) and not has_computed_checkpoint(node):
            for part in parts_of(node).values():
                resolve_part(part).check()
        return problems
    except CheckpointError as error:
        return error.as_problems_of("checkpoint", "a checkpoint that can be used")
    except SdgraphError as error:
        wanted = "a node that can run"
        return [replace(problem, wanted=problem.wanted or wanted) for problem in error.problems]


def parts_of(node: Node[Any]) -> Mapping[str, Part]:
    """The components that a node needs, by name; computed once within a memoized scope."""
    memoized = scope_results.get()
    if memoized is None:
        return node.parts()
    key = (parts_of, node.identity)
    parts: Mapping[str, Part] | None = memoized.get(key)
    if parts is None:
        parts = memoized[key] = node.parts()
    return parts


def needs_models(node: Node[Any]) -> bool:
    """Whether a node computes with models."""
    return "models" in type(node).definition.services


def has_computed_checkpoint(node: Node[Any]) -> bool:
    """Whether another node makes a checkpoint that this node uses, so that it is not known yet."""
    return any(child.output is Checkpoint for _, child in node.wires)


def has_known_parts(node: Node[Any]) -> bool:
    """Whether a node computes with models that are known before the run."""
    return needs_models(node) and not has_computed_checkpoint(node)


def default_targets(nodes: Iterable[Node[Any]]) -> list[Node[Any]]:
    """The nodes with an effect; where there are none, those that no other node reads."""
    every = ancestry(*nodes)
    effects = [node for node in every if node.effect]
    if effects:
        return effects
    read = {child for node in every for _, child in node.wires}
    return [node for node in every if node not in read]


def name_without_variant(name: str) -> str:
    """The name of a node without the part that names its variant: `star` for `star[seed=3]`."""
    return name.partition("[")[0]


def assign_names(
    nodes: Collection[Node[Any]], chosen: Mapping[Node[Any], str]
) -> dict[Node[Any], str]:
    """A unique name for each node: the chosen one, else its type in snake case and a number."""
    names = {node: chosen[node] for node in nodes if node in chosen}
    if len(names) == len(nodes):
        return names
    taken = {"inputs", *chosen.values()}  # in a file, `$inputs.x` is an input
    names = {}
    counts: dict[str, int] = {}
    for node in nodes:
        name = chosen.get(node)
        if name is None:
            stem = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", type(node).__name__).lower()
            name = stem
            while name in taken:
                counts[stem] = counts.get(stem, 1) + 1
                name = f"{stem}_{counts[stem]}"
            taken.add(name)
        names[node] = name
    return names
