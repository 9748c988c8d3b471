"""Builds the nodes of a sweep's contact sheet; sdgraph imports this module by its name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdgraph.graph import Node
from sdgraph.nodes.image.grid import Grid
from sdgraph.nodes.image.resize import Resize
from sdgraph.nodes.io.save import Save
from sdgraph.values import Image


def fit_into_square(image: Node[Image], side: int) -> Node[Image]:
    """A node that resizes a picture to fit into a square of `side` pixels."""
    return Resize(image=image, width=side, height=side, mode="fit")


def make_grid(
    images: Sequence[Node[Image]], labels: Sequence[str], columns: int, side: int
) -> Node[Image]:
    """A node that arranges pictures in rows and columns.

    Args:
        images: The nodes of the pictures, row by row.
        labels: The text below each picture.
        columns: The number of columns; 0 for about as many as rows.
        side: The width and height of a cell in pixels.
    """
    return Grid(images=list(images), labels=list(labels), columns=columns, cell=side)


def save_picture(image: Node[Image], path: Path) -> Save:
    """A node that writes a picture to a file."""
    return Save(image=image, path=path)
