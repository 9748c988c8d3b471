"""The nodes that sweeps make contact sheets of, which sdgraph asks for by this module's name."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from sdgraph.graph import Node
from sdgraph.nodes.image.grid import Grid
from sdgraph.nodes.image.resize import Resize
from sdgraph.nodes.io.files import Save
from sdgraph.values import Image


def small_picture(image: Node[Image], side: int) -> Node[Image]:
    """A picture that fits into a square of that side in pixels."""
    return Resize(image=image, width=side, height=side, mode="fit")


def labelled_grid(
    images: Sequence[Node[Image]], labels: Sequence[str], columns: int, side: int
) -> Node[Image]:
    """The pictures in cells of that side with labels; 0 columns make it about square."""
    return Grid(images=list(images), labels=list(labels), columns=columns, cell=side)


def saved_picture(image: Node[Image], path: Path) -> Save:
    """The picture written to a file."""
    return Save(image=image, path=path)
