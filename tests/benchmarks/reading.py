"""Reading workflow files: chains of 5,000 nodes, beside what libyaml's loader makes of the text.

The nodes of one chain are trivial; those of the other have five fields each, as shipped ones have.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path

import yaml

from sdgraph.graph import Registry
from sdgraph.language import workflow_from_yaml
from sdgraph.language.yaml_document import parse_document
from sdgraph.nodes import LoadImage, Resize

from .engine import Start, Step
from .timing import Row, measure_pair

NODES = 5_000
ROUNDS = 5

PHOTO = Path(__file__).parents[2] / "workflows" / "samples" / "red_star.png"

REGISTRY = Registry({"Start": Start, "Step": Step, "LoadImage": LoadImage, "Resize": Resize})

CHAINS = {
    "trivial nodes": (
        "{type: Start, value: 1}",
        "{type: Step, value: $READ}",
    ),
    "Resize nodes": (
        f"{{type: LoadImage, path: {PHOTO}}}",
        "{type: Resize, image: $READ, width: 64, height: 48, mode: fill}",
    ),
}
"""The first node of each chain, and those after it, which read the one before."""


def chain_in_yaml(first: str, other: str, count: int) -> str:
    """A workflow file with a chain of so many nodes, a node on a line."""
    lines = ["name: chain", "nodes:", f"  n0: {first}"]
    lines += [f"  n{n}: {other.replace('READ', f'n{n - 1}')}" for n in range(1, count)]
    return "\n".join(lines) + "\n"


def read_and_bind(text: str) -> object:
    """The graph of a workflow file."""
    return workflow_from_yaml(text, registry=REGISTRY).graph()


def rows() -> Iterator[Row]:
    for name, (first, other) in CHAINS.items():
        text = chain_in_yaml(first, other, NODES)
        load = partial(yaml.load, text, Loader=yaml.CSafeLoader)
        works = {"read": (parse_document, "≤ 2"), "read and bind": (read_and_bind, "≤ 120 µs")}
        for what, (work, aim) in works.items():
            ours, its, ratio = measure_pair(partial(work, text), load, ROUNDS)
            yield Row(
                f"{NODES:,} {name} in YAML: {what}",
                f"{ours / NODES * 1e6:.1f} µs a node",
                f"yaml.CSafeLoader {its / NODES * 1e6:.1f} µs",
                f"{ratio:.2f}",
                aim,
            )
