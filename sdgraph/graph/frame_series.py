"""Checks of the nodes that run once for each frame of a video: between `Frames` and a gatherer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from sdgraph.errors import Problem

from .node import Node


def find_frame_problems(nodes: Iterable[Node[Any]]) -> Iterator[tuple[Node[Any], Problem]]:
    """The problems of nodes that run once per frame, each with its node.

    That is a value per frame which no node gathers, and frames of videos of different lengths in
    one node, as far as the lengths are known before the run.

    Args:
        nodes: The nodes of a graph, each after those that it reads.
    """
    # For each node that runs once per frame, the node that makes the frames.
    sources: dict[Node[Any], Node[Any]] = {}
    for node in nodes:
        cls = type(node)
        if cls.scatters:
            sources[node] = node
        elif not cls.gathers and sources:
            found = {sources[child]: port for port, child in node.wires if child in sources}
            if found:
                sources[node] = next(iter(found))
            if len(found) > 1:
                yield from _find_unequal(node, found)
    if not sources:
        return
    read = {child for node in nodes for _, child in node.wires}
    for node, source in sources.items():
        if node.effect or node not in read:
            found_value, wanted = "a value for each frame of a video", "one value at the end"
            yield node, Problem("", found_value, wanted, type(source).scatter_advice)


def find_frame_nodes(nodes: Iterable[Node[Any]]) -> set[Node[Any]]:
    """The nodes that have a result for each frame of a video.

    Args:
        nodes: The nodes of a graph, each after those that it reads.
    """
    found: set[Node[Any]] = set()
    for node in nodes:
        cls = type(node)
        if cls.scatters or (
            found and not cls.gathers and any(child in found for _, child in node.wires)
        ):
            found.add(node)
    return found


def _find_unequal(
    node: Node[Any], sources: Mapping[Node[Any], str]
) -> Iterator[tuple[Node[Any], Problem]]:
    """The problem of a node that reads frames of videos which certainly differ in length.

    Args:
        node: The node.
        sources: The nodes that make the frames, each with the port that the frames reach.
    """
    counts = [(source.frame_range(), port) for source, port in sources.items()]
    known = [(count, port) for count, port in counts if count is not None]
    if known and max(least for (least, _), _ in known) > min(most for (_, most), _ in known):
        found = " and ".join(f"{_describe(*count)} in {port}" for count, port in known)
        fix = "cut the longer video by `seconds`"
        yield node, Problem(known[1][1], found, "as many frames in each", fix)


def _describe(least: int, most: int) -> str:
    return f"{least} frames" if least == most else f"about {(least + most) // 2} frames"
