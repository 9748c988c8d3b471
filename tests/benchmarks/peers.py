"""Trivial nodes in other engines of generic graphs, beside a loop that remembers by inputs.

`python -m tests.benchmarks peers` measures the engines that are installed (`pip install sf-hamilton
dask`). All run the same graphs of small integers: a chain of 100 (the longest that Hamilton runs is
below 1,000), and 32 layers of 32 nodes that read two of the layer before. Building the graph counts
for each, because their users build it in the same call; a run "again" finds all results.
"""

from __future__ import annotations

import linecache
import sys
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from importlib.util import find_spec
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any

from sdgraph import Graph, Node, Session
from sdgraph.store import Store

from .engine import SIDE, chain, layers
from .timing import Row, cpu_seconds

ROUNDS = 7
LENGTH = 100

Run = Callable[[int], object]
"""Makes the graph whose numbers begin with this one, and runs it."""


def step(value: int) -> int:
    """One more than another number."""
    return value + 1


def join(left: int, right: int, place: int) -> int:
    """The sum of two numbers, kept small."""
    return (left + right + place) % 1_000_003


class MemoLoop:
    """Calls functions in a loop and remembers their results by function and inputs."""

    def __init__(self) -> None:
        self._memo: dict[tuple[Any, ...], int] = {}

    def _call(self, function: Callable[..., int], *inputs: int) -> int:
        key = (function, *inputs)
        if key not in self._memo:
            self._memo[key] = function(*inputs)
        return self._memo[key]

    def chain(self, seed: int) -> int:
        """The last number of the chain."""
        value = seed
        for _ in range(LENGTH - 1):
            value = self._call(step, value)
        return value

    def layers(self, seed: int) -> list[int]:
        """The numbers of the last layer."""
        row = [seed + place for place in range(SIDE)]
        for _ in range(SIDE - 1):
            row = [
                self._call(join, row[place], row[(place + 1) % SIDE], place)
                for place in range(SIDE)
            ]
        return row


def _sdgraph(session: Session) -> Mapping[str, Run]:
    makers: dict[str, Callable[[int], list[Node[int]]]] = {
        "chain": lambda seed: [chain(seed, LENGTH)],
        "layers": layers,
    }
    return {
        name: lambda seed, make=make: session.run(Graph.of(*make(seed)))  # type: ignore[misc]
        for name, make in makers.items()
    }


def _dask(folder: Path) -> Mapping[str, Run]:
    import dask

    delayed_step, delayed_join = dask.delayed(step), dask.delayed(join)

    def chain(seed: int) -> object:
        value: Any = seed
        for _ in range(LENGTH - 1):
            value = delayed_step(value)
        return value.compute(scheduler="sync")

    def layers(seed: int) -> object:
        row: list[Any] = [seed + place for place in range(SIDE)]
        for _ in range(SIDE - 1):
            row = [
                delayed_join(row[place], row[(place + 1) % SIDE], place) for place in range(SIDE)
            ]
        return dask.compute(*row, scheduler="sync")

    return {"chain": chain, "layers": layers}


def _module(name: str, lines: list[str]) -> ModuleType:
    """A module of generated functions, whose source Hamilton can read."""
    source, path = "\n".join(lines) + "\n", f"<{name}>"
    linecache.cache[path] = (len(source), None, source.splitlines(keepends=True), path)
    module = ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    exec(compile(source, path, "exec"), module.__dict__)
    return module


def _hamilton_modules() -> Mapping[str, tuple[ModuleType, list[str]]]:
    chain = ["def n0(seed: int) -> int:\n    return seed"]
    chain += [
        f"def n{number}(n{number - 1}: int) -> int:\n    return n{number - 1} + 1"
        for number in range(1, LENGTH)
    ]
    layers = [f"def n0_{k}(seed: int) -> int:\n    return seed + {k}" for k in range(SIDE)]
    for depth in range(1, SIDE):
        for place in range(SIDE):
            left, right = f"n{depth - 1}_{place}", f"n{depth - 1}_{(place + 1) % SIDE}"
            layers.append(
                f"def n{depth}_{place}({left}: int, {right}: int) -> int:\n"
                f"    return ({left} + {right} + {place}) % 1_000_003"
            )
    last = [f"n{SIDE - 1}_{place}" for place in range(SIDE)]
    return {
        "chain": (_module("hamilton_chain", chain), [f"n{LENGTH - 1}"]),
        "layers": (_module("hamilton_layers", layers), last),
    }


def _hamilton(folder: Path) -> Mapping[str, Run]:
    return _hamilton_runs(folder, cached=False)


def _hamilton_cached(folder: Path) -> Mapping[str, Run]:
    return _hamilton_runs(folder, cached=True)


def _hamilton_runs(folder: Path, *, cached: bool) -> Mapping[str, Run]:
    from hamilton import driver

    def run(module: ModuleType, outputs: list[str], seed: int) -> object:
        builder = driver.Builder().with_modules(module)
        if cached:
            builder = builder.with_cache(path=str(folder / "hamilton"))
        return builder.build().execute(outputs, inputs={"seed": seed})

    return {
        name: partial(run, module, outputs)
        for name, (module, outputs) in _hamilton_modules().items()
    }


def _default(folder: Path) -> Mapping[str, Run]:
    return _sdgraph(Session(store=Store(folder=folder / "sdgraph")))


def _in_memory(folder: Path) -> Mapping[str, Run]:
    return _sdgraph(Session(store=Store()))


def _without_store(folder: Path) -> Mapping[str, Run]:
    return _sdgraph(Session(store=None))


def _memo_loop(folder: Path) -> Mapping[str, Run]:
    loop = MemoLoop()
    return {"chain": loop.chain, "layers": loop.layers}


ENGINES: Mapping[str, tuple[str, Callable[[Path], Mapping[str, Run]]]] = {
    "sdgraph, no results kept": ("sdgraph", _without_store),
    "sdgraph, results in memory": ("sdgraph", _in_memory),
    "sdgraph, results on disk": ("sdgraph", _default),
    "Hamilton": ("hamilton", _hamilton),
    "Hamilton, with its cache": ("hamilton", _hamilton_cached),
    "Dask": ("dask", _dask),
}
"""The package and the runs of each engine."""

_NODES = {"chain": LENGTH, "layers": SIDE * SIDE}
_TITLES = {"chain": f"chain of {LENGTH}", "layers": f"{SIDE}×{SIDE} layers"}


def rows() -> Iterator[Row]:
    """Microseconds a node of each engine, first and again, beside the loop with a memo."""
    for name, (package, make) in ENGINES.items():
        if find_spec(package) is None:
            yield Row(f"trivial nodes: {name}", "–", "not installed", "–", "")
            continue
        with TemporaryDirectory() as folder:
            ours, loop = make(Path(folder)), _memo_loop(Path(folder))
            for shape in _NODES:
                yield from _rows_of(name, shape, ours[shape], loop[shape])


def _rows_of(name: str, shape: str, run: Run, loop: Run) -> Iterator[Row]:
    seeds = count(0, 10_000)
    run(next(seeds))
    times: dict[str, list[tuple[float, float]]] = {"first run": [], "again, unchanged": []}
    for seed in (next(seeds) for _ in range(ROUNDS)):
        for pairs in times.values():
            one, other = cpu_seconds(partial(run, seed)), cpu_seconds(partial(loop, seed))
            pairs.append((one, other))
    for phase, pairs in times.items():
        own, bare = (median(each[k] for each in pairs) / _NODES[shape] * 1e6 for k in (0, 1))
        yield Row(
            f"trivial nodes, {_TITLES[shape]}, {phase}: {name}",
            f"{own:.1f} µs a node",
            f"loop with a memo {bare:.2f} µs",
            f"{median(one / other for one, other in pairs):.0f} × loop",
            "",
        )
