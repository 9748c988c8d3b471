"""A contact sheet of a sweep: every variant's picture, with the values that vary as its label."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from sdgraph.errors import InvalidWorkflowError, Problem
from sdgraph.graph import Node, ancestry
from sdgraph.values import Image

from .sweep import Sweep, values_label

CELL_SIDES = (256, 128, 64, 32, 16)
"""Sides of a cell in pixels; the largest with which the sheet has at most MAX_PIXELS."""

MAX_PIXELS = 32 * 2**20

LABEL_LENGTH = 80
"""How many characters of a value a label holds."""


def with_contact_sheet(sweep: Sweep, path: Path, registry: Mapping[str, type[Any]]) -> Sweep:
    """The sweep with a contact sheet as a further target; raises InvalidWorkflowError.

    Two inputs crossed make rows and columns; else the pictures stand in order. Each picture is
    made as small as its cell while it is there, so that only these are held to the end.
    """
    pictures = [_picture(sweep, place) for place in range(len(sweep.variants))]
    side = next((s for s in CELL_SIDES if s * s * len(pictures) <= MAX_PIXELS), CELL_SIDES[-1])
    small = [
        registry["Resize"](image=each, width=side, height=side, mode="fit") for each in pictures
    ]
    labels = [values_label(variant.swept, LABEL_LENGTH) for variant in sweep.variants]
    grid = registry["Grid"](images=small, labels=labels, columns=_columns(sweep), cell=side)
    sheet = registry["Save"](image=grid, path=path)
    if problems := list(sheet.check()):
        raise InvalidWorkflowError(problem.under("--sheet") for problem in problems)
    names = dict(sweep.graph.names)
    for number, node in enumerate(small, 1):
        names.setdefault(node, f"sheet[picture {number}]")
    names |= {grid: "sheet[grid]", sheet: "sheet[file]"}
    order = tuple(ancestry(*_in_turn(sweep, small), sheet))
    targets = (*sweep.graph.targets, sheet)
    return replace(sweep, graph=replace(sweep.graph, nodes=order, targets=targets, names=names))


def _in_turn(sweep: Sweep, small: list[Node[Any]]) -> Iterator[Node[Any]]:
    """Each variant's targets, and then its small picture."""
    for targets, node in zip(sweep.targets, small, strict=True):
        yield from targets.values()
        yield node


def _picture(sweep: Sweep, place: int) -> Node[Any]:
    """The picture of a variant that its last target saves or is; one that varies comes first."""
    found = [
        node
        for target in sweep.targets[place].values()
        for node in (*(child for _, child in target.wires), target)
        if isinstance(node.output, type) and issubclass(node.output, Image)
    ]
    if not found:
        wanted = "a workflow that saves a picture"
        raise InvalidWorkflowError([Problem("--sheet", "no picture in a variant", wanted)])
    return max(found, key=lambda node: len(sweep.needed[node]) < len(sweep.variants))


def _columns(sweep: Sweep) -> int:
    """As many as the last of two crossed inputs has values; else 0, which is about a square."""
    counts: dict[str, set[int]] = {}
    for variant in sweep.variants:
        for name, place in variant.places.items():
            counts.setdefault(name, set()).add(place)
    sizes = [len(places) for places in counts.values()]
    crossed = len(sizes) == 2 and sizes[0] * sizes[1] == len(sweep.variants)
    return sizes[1] if crossed else 0
