"""The sizes of pictures that are known before a run, and checks that compare them."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path

from sdgraph.errors import MediaError, Problem
from sdgraph.files import FileStamp
from sdgraph.graph import Node
from sdgraph.media import probe_image

Size = tuple[int, int]
"""Width and height in pixels."""

_MAX_DISTANCE = 64
"""How many nodes back a size is looked for, so that checks of long chains take linear time."""


def known_size(value: object) -> Size | None:
    """The exact size of a picture, mask or map, or of what a node makes; None if a run must tell.

    It follows from headers of files and from fields, through the nodes whose `size_source` says
    what their own size follows from. Nothing is decoded.

    Args:
        value: The value of a port: a value or a node.
    """
    followed: list[Node[object]] = []
    while isinstance(value, Node):
        if len(followed) == _MAX_DISTANCE:
            return None
        followed.append(value)
        value = value.size_source()
        if isinstance(value, tuple) and value and not isinstance(value[0], int):
            value = value[0]
    size = _size_of(value)
    for node in reversed(followed):
        size = None if size is None else node.output_size(size)
    return size


def _size_of(value: object) -> Size | None:
    if isinstance(value, tuple) and len(value) == 2:
        width, height = value
        return (width, height) if type(width) is type(height) is int else None
    if not isinstance(value, str | Path):
        size = getattr(value, "size", None)
        return size if isinstance(size, tuple) else None
    try:
        return _probe(Path(value), FileStamp.of(Path(value)))
    except (OSError, ValueError):
        return None


@lru_cache(maxsize=1024)
def _probe(path: Path, stamp: FileStamp) -> Size | None:
    del stamp
    try:
        return probe_image(path)[:2]
    except MediaError:  # reported by the node that reads the file
        return None


def size_problems(*pictures: tuple[str, str, object]) -> Iterator[Problem]:
    """The problem of pictures of which one has another size than the first, if both are known.

    Args:
        pictures: For each its field, what it is ("image", "control map") and its value.
    """
    sizes = [(field, name, known_size(value)) for field, name, value in pictures]
    known = [(field, name, size) for field, name, size in sizes if size is not None]
    for field, name, size in known[1:]:
        _, first_name, first = known[0]
        if size != first:
            found = (
                f"the {name} is {size[0]}×{size[1]}, and the {first_name} is {first[0]}×{first[1]}"
            )
            yield Problem(field, found, "one size", f"resize the {name}")
            return
