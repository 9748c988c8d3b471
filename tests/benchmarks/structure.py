"""The imports of the code as boxes and arrows: `python -m tests.benchmarks.structure [--mermaid]`.

A box is a module or package directly inside `sdgraph`, an arrow goes from a box to one that it
imports anywhere, in functions and for type checkers too. What import-linter holds to the layers in
`pyproject.toml` is counted here, without that contract's exceptions:

1. boxes and arrows of the engine (`nodes` and folders of data and documents are no part of it);
2. arrows that go up: from a layer to one above it;
3. circles: strongly connected modules, and strongly connected boxes inside each package.
"""

from __future__ import annotations

import sys
import tomllib
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grimp
import networkx as nx

ROOT = Path(__file__).parents[2]
NOT_COUNTED = {"docs", "nodes", "tiny", "workflows"}
AT_MOST = {"boxes": 25, "arrows": 100, "upward": 0, "circles": 0}

Arrow = tuple[str, str]


@dataclass(frozen=True)
class Structure:
    """The counts; a box is a name without its package."""

    layers: tuple[frozenset[str], ...]
    """The boxes of each layer, the lowest layer first."""
    arrows: frozenset[Arrow]
    upward: frozenset[Arrow]
    circles: tuple[tuple[str, ...], ...]
    """Full names of modules, or of boxes, that import one another."""

    @property
    def boxes(self) -> frozenset[str]:
        """The boxes of the engine."""
        return frozenset().union(*self.layers) - NOT_COUNTED

    def counts(self) -> dict[str, int]:
        """The number of each thing that `AT_MOST` limits."""
        names = ("boxes", "arrows", "upward", "circles")
        return {name: len(getattr(self, name)) for name in names}


def structure(package: str = "sdgraph") -> Structure:
    """The structure of the installed package, with the layers of `pyproject.toml`."""
    modules = module_imports(package)
    layers = contract_layers()
    boxes = boxes_in(package, modules)
    heights = {box: height for height, layer in enumerate(layers) for box in layer}
    unknown = {box for box in boxes if box not in heights} - NOT_COUNTED
    if unknown:
        raise ValueError(f"not in the layers of pyproject.toml: {', '.join(sorted(unknown))}")
    between = {(a, b) for a, b in boxes.edges if a in heights and b in heights}
    return Structure(
        tuple(frozenset(layer) & frozenset(boxes) for layer in layers),
        frozenset((a, b) for a, b in between if not NOT_COUNTED & {a, b}),
        frozenset((a, b) for a, b in between if heights[a] < heights[b]),
        tuple(circles(modules)),
    )


def module_imports(package: str) -> nx.DiGraph[str]:
    """A graph with an arrow from each module to each module that it imports."""
    import_graph = grimp.build_graph(package, cache_dir=None)
    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(import_graph.modules)
    for module in import_graph.modules:
        imported = import_graph.find_modules_directly_imported_by(module)
        graph.add_edges_from((module, other) for other in imported)
    return graph


def boxes_in(package: str, modules: nx.DiGraph[str]) -> nx.DiGraph[str]:
    """What is directly inside a package, with an arrow where anything in one imports another."""
    prefix = f"{package}."

    def box(module: str) -> str | None:
        is_inside = module.startswith(prefix)
        return module.removeprefix(prefix).partition(".")[0] if is_inside else None

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(name for module in modules if (name := box(module)) is not None)
    for one, other in modules.edges:
        a, b = box(one), box(other)
        if a is not None and b is not None and a != b:
            graph.add_edge(a, b)
    return graph


def circles(modules: nx.DiGraph[str]) -> list[tuple[str, ...]]:
    """The modules that import one another; then the boxes that do, of every package."""
    packages = {module.rpartition(".")[0] for module in modules} - {""}
    paths = dict.fromkeys(_connected(modules))  # a circle of single modules is one of boxes too
    for package in sorted(packages):
        for circle in _connected(boxes_in(package, modules)):
            paths.setdefault(tuple(f"{package}.{box}" for box in circle))
    return list(paths)


def _connected(graph: nx.DiGraph[str]) -> Iterable[tuple[str, ...]]:
    for component in nx.strongly_connected_components(graph):
        if len(component) > 1:
            yield tuple(sorted(component))


def contract_layers() -> list[list[str]]:
    """The layers of the import contract, the lowest first."""
    project: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
    contracts = project["tool"]["importlinter"]["contracts"]
    (layers,) = (contract["layers"] for contract in contracts if contract["type"] == "layers")
    return [layer.replace("|", ":").replace(" ", "").split(":") for layer in reversed(layers)]


def as_text(structure: Structure) -> str:
    """The layers from above, with the boxes that each box imports; then the table of counts."""
    imports: dict[str, list[str]] = defaultdict(list)
    for one, other in sorted(structure.arrows):
        imports[one].append(other)
    width = max(map(len, structure.boxes))
    lines = []
    for height, layer in reversed([*enumerate(structure.layers, 1)]):
        for box in sorted(layer - NOT_COUNTED):
            lines.append(f"{height:3} {box:{width}} → {', '.join(imports[box])}".rstrip(" →"))
    return "\n".join([*lines, "", table(structure)])


def table(structure: Structure) -> str:
    """The counts and their limits, as a Markdown table."""
    names = {
        "boxes": "",
        "arrows": "",
        "upward": ", ".join(f"{one} → {other}" for one, other in sorted(structure.upward)),
        "circles": "; ".join(" ↔ ".join(circle) for circle in structure.circles),
    }
    lines = ["| what | count | at most | which |", "|---|---|---|---|"]
    for name, count in structure.counts().items():
        lines.append(f"| {name} | {count} | {AT_MOST[name]} | {names[name]} |")
    return "\n".join(lines)


def as_mermaid(structure: Structure) -> str:
    """The same as a Mermaid flowchart, a subgraph for each layer."""
    lines = ["flowchart TB"]
    for height, layer in reversed([*enumerate(structure.layers, 1)]):
        names = sorted(layer - NOT_COUNTED)
        if names:
            lines += [f"  subgraph layer{height}[ ]", *(f"    {box}" for box in names), "  end"]
    lines += [f"  {one} --> {other}" for one, other in sorted(structure.arrows)]
    return "\n".join(lines)


if __name__ == "__main__":
    draw = as_mermaid if "--mermaid" in sys.argv[1:] else as_text
    print(draw(structure()))
