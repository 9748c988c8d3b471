"""A contact sheet of a sweep: the picture of each variant, labelled with the values that vary."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Protocol

from sdgraph.errors import InvalidWorkflowError, Problem
from sdgraph.graph import Node, ancestry
from sdgraph.values import Image

from .sweep import Sweep, values_label

CELL_SIDES = (256, 128, 64, 32, 16)
"""Sides of a cell in pixels; the largest with which the sheet has at most MAX_PIXELS."""

MAX_PIXELS = 32 * 2**20

LABEL_LENGTH = 80
"""How many characters of a value fit in a label."""


class SheetNodes(Protocol):
    """Makes the nodes of a contact sheet; a module of the node library implements it."""

    def fit_into_square(self, image: Node[Any], side: int) -> Node[Any]:
        """A picture that fits into a square of that side in pixels."""

    def make_grid(
        self, images: Sequence[Node[Any]], labels: Sequence[str], columns: int, side: int
    ) -> Node[Any]:
        """The pictures in cells of that side, with labels; with 0 columns it is about square."""

    def save_picture(self, image: Node[Any], path: Path) -> Node[Any]:
        """The picture written to a file."""


def with_contact_sheet(sweep: Sweep, path: Path, nodes: SheetNodes) -> Sweep:
    """The sweep with a contact sheet as one more target.

    If two inputs are crossed, their values are its rows and columns; otherwise the pictures are in
    order. Each picture is reduced right after its variant, so that only small ones stay in memory.

    Args:
        sweep: A sweep whose variants make pictures.
        path: The file to write.
        nodes: What makes the nodes of the sheet.

    Raises:
        InvalidWorkflowError: If a variant makes no picture, or the file cannot be written.
    """
    pictures = [_picture(sweep, index) for index in range(len(sweep.variants))]
    side = next((s for s in CELL_SIDES if s * s * len(pictures) <= MAX_PIXELS), CELL_SIDES[-1])
    small = [nodes.fit_into_square(image, side) for image in pictures]
    labels = [values_label(variant.swept, LABEL_LENGTH) for variant in sweep.variants]
    grid = nodes.make_grid(small, labels, _columns(sweep), side)
    sheet = nodes.save_picture(grid, path)
    if problems := list(sheet.check()):
        raise InvalidWorkflowError(problem.under("--sheet") for problem in problems)
    names = dict(sweep.graph.names)
    for number, node in enumerate(small, 1):
        names.setdefault(node, f"sheet[picture {number}]")
    names |= {grid: "sheet[grid]", sheet: "sheet[file]"}
    order = tuple(ancestry(*_by_variant(sweep, small), sheet))
    targets = (*sweep.graph.targets, sheet)
    return replace(sweep, graph=replace(sweep.graph, nodes=order, targets=targets, names=names))


def _by_variant(sweep: Sweep, small: list[Node[Any]]) -> Iterator[Node[Any]]:
    """The targets of each variant, followed by its small picture."""
    for targets, node in zip(sweep.targets, small, strict=True):
        yield from targets.values()
        yield node


def _picture(sweep: Sweep, index: int) -> Node[Any]:
    """The picture that a target of a variant makes or saves, preferably one that varies."""
    pictures = [
        node
        for target in sweep.targets[index].values()
        for node in (*(child for _, child in target.wires), target)
        if isinstance(node.output, type) and issubclass(node.output, Image)
    ]
    if not pictures:
        wanted = "a workflow that saves a picture"
        raise InvalidWorkflowError([Problem("--sheet", "no picture in a variant", wanted)])
    return max(pictures, key=lambda node: len(sweep.needed[node]) < len(sweep.variants))


def _columns(sweep: Sweep) -> int:
    """The number of columns: that of the second of two crossed inputs, else 0 (about square)."""
    counts: dict[str, set[int]] = {}
    for variant in sweep.variants:
        for name, index in variant.indices.items():
            counts.setdefault(name, set()).add(index)
    sizes = [len(indices) for indices in counts.values()]
    crossed = len(sizes) == 2 and sizes[0] * sizes[1] == len(sweep.variants)
    return sizes[1] if crossed else 0
