"""The engine's own cost: 1,000 trivial nodes, compared with a loop and networkx's sort alone.

networkx sorts the same graph with numbers in the place of the nodes, as it is fastest.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from statistics import median
from tempfile import TemporaryDirectory

import networkx as nx

from sdgraph import Graph, In, Node, Session
from sdgraph.store import Store

from .timing import Row, cpu_seconds, measure_pair, median_seconds

NODES = 1_000
SIDE = 32
ROUNDS = 9

SESSIONS = {"no store": 36, "memory store": 48, "store on disk": 70}
"""The sessions that run graphs for the first time, and how many sorts a run may take.

The command line's default session is that with the store on disk, which is in memory too.
"""


class Start(Node[int]):
    """A number."""

    value: int = 0

    def run(self) -> int:
        return self.value


class Step(Node[int]):
    """One more than another number."""

    value: In[int]

    def run(self, value: int) -> int:
        return value + 1


class Join(Node[int]):
    """The sum of two numbers, kept small."""

    left: In[int]
    right: In[int]
    place: int

    def run(self, left: int, right: int) -> int:
        return (left + right + self.place) % 1_000_003


def chain(seed: int, length: int = NODES) -> Node[int]:
    """A chain of nodes that no other seed shares."""
    node: Node[int] = Start(value=seed)
    for _ in range(length - 1):
        node = Step(value=node)
    return node


def layers(seed: int) -> list[Node[int]]:
    """32 layers of 32 nodes, each reading two of the layer before."""
    row: list[Node[int]] = [Start(value=seed + place) for place in range(SIDE)]
    for _ in range(SIDE - 1):
        row = [
            Join(left=row[place], right=row[(place + 1) % SIDE], place=place)
            for place in range(SIDE)
        ]
    return row


def bare_chain() -> None:
    """The chain's functions in a loop with a memo."""
    memo: dict[int, int] = {}
    value = 0
    for number in range(NODES):
        if number not in memo:
            memo[number] = value = value + 1


def bare_layers() -> None:
    """The layers' functions in a loop with a memo."""
    memo: dict[tuple[int, int], int] = {}
    row = list(range(SIDE))
    for depth in range(SIDE):
        new = []
        for place in range(SIDE):
            if (depth, place) not in memo:
                memo[depth, place] = (row[place] + row[(place + 1) % SIDE] + place) % 1_000_003
            new.append(memo[depth, place])
        row = new


def rows() -> Iterator[Row]:
    """Microseconds a node for each phase, each the median of several graphs."""
    shapes: list[tuple[str, Callable[[int], list[Node[int]]], Callable[[], None]]] = [
        ("chain of 1,000", lambda seed: [chain(seed)], bare_chain),
        ("32×32 layers", layers, bare_layers),
    ]
    for name, make, bare in shapes:
        yield from _phases(name, make, bare)
        for kind, aim in SESSIONS.items():
            yield _first_run(name, make, kind, aim)


def sort(graph: Graph) -> Callable[[], object]:
    """A topological sort by networkx of a graph with numbers in the place of its nodes."""
    places = {node: place for place, node in enumerate(graph.nodes)}
    numbers = nx.relabel_nodes(graph.to_networkx(), places)
    return lambda: list(nx.topological_sort(numbers))


@contextmanager
def session_with(kind: str) -> Iterator[Session]:
    """A session with one of the stores in SESSIONS."""
    with TemporaryDirectory() as folder:
        disk = Store(folder=folder) if kind == "store on disk" else Store()
        yield Session(store=None if kind == "no store" else disk)


def _first_run(name: str, make: Callable[[int], list[Node[int]]], kind: str, aim: int) -> Row:
    """Plan and first run of new graphs, each beside a sort of the same graph."""
    with session_with(kind) as session:
        session.run(Graph.of(*make(-1)))
        pairs = []
        for seed in range(0, ROUNDS * 100_000, 100_000):
            graph = Graph.of(*make(seed))
            pairs.append(measure_pair(partial(session.run, graph), sort(graph), 1))
    ours, sorting = (median(pair[n] for pair in pairs) / len(graph.nodes) * 1e6 for n in (0, 1))
    return Row(
        f"{name}: plan and first run, {kind}",
        f"{ours:.1f} µs a node",
        f"topological_sort {sorting:.2f} µs",
        f"{median(pair[2] for pair in pairs):.0f} × sort",
        f"≤ {aim} × sort",
    )


def _phases(
    name: str, make: Callable[[int], list[Node[int]]], bare: Callable[[], None]
) -> Iterator[Row]:
    session = Session()
    session.run(Graph.of(*make(-1)))
    phases: dict[str, list[float]] = {}
    for seed in range(0, 700_000, 100_000):
        began = time.process_time()
        graph = Graph.of(*make(seed))
        phases.setdefault("build and name", []).append(time.process_time() - began)
        works: list[tuple[str, Callable[[], object]]] = [
            ("validate", graph.check),
            ("plan, with validation", partial(session.plan, graph)),
            ("first run, with validation and plan", partial(session.run, graph)),
            ("run again, unchanged", partial(session.run, graph)),
        ]
        for phase, work in works:
            phases.setdefault(phase, []).append(cpu_seconds(work))
    count = len(graph.nodes)
    loop = median_seconds(bare) / count * 1e6
    sorting = median_seconds(sort(graph)) / count * 1e6
    for phase, seconds in phases.items():
        ours = median(seconds) / count * 1e6
        aim = {"first run, with validation and plan": "< 100 µs", "run again, unchanged": "< 20 µs"}
        yield Row(
            f"{name}: {phase}",
            f"{ours:.1f} µs a node",
            f"loop {loop:.2f} µs, topological_sort {sorting:.2f} µs",
            f"{ours / loop:.0f} × loop, {ours / sorting:.1f} × sort",
            aim.get(phase, ""),
        )
