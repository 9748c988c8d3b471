"""What is remembered of a graph, looked up from its targets down: no further than is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sdgraph.graph import Graph, Node, late_checkpoint

from .keys import lineages, surroundings
from .store import Found, Store, result_key


class LookedUp(NamedTuple):
    """What a store knows of the results of a graph."""

    found: dict[Node[Any], Found]
    """Those that are remembered, as far as anything asks for them."""
    keys: dict[Node[Any], bytes]
    """Keys by content, as far as they are needed and can be known before the run."""
    aliases: Mapping[Node[Any], bytes]
    """Keys by lineage, under which results are to be found next time."""
    around: Mapping[Node[Any], str]
    """The surroundings of the nodes that may be remembered, but for late checkpoints."""


def look_up(
    graph: Graph,
    store: Store | None,
    device: str,
    dtype: str | None,
    made: Mapping[Node[Any], Found],
) -> LookedUp:
    """What is remembered of a graph's targets, or else of what they are made of, and so on.

    `made` are results that are there already. A result is looked for by its lineage first, for
    then nothing that it was made of need be looked at, or even be remembered any more; where that
    fails, by its inputs' contents, so that other ways to the same inputs lead to it too.
    """
    if store is None:
        return LookedUp(dict(made), {}, {}, {})
    around = {
        node: surroundings(node, device, dtype)
        for node in graph.nodes
        if node not in graph.uncached and not late_checkpoint(node)
    }
    # Of a node that reads nothing both keys are the same.
    aliases = {node: key for node, key in lineages(graph, around).items() if node.wires}
    told = LookedUp(dict(made), {}, aliases if not made else {}, around)
    wanted = _by_lineage(told.found, graph, store, aliases)
    for node in graph.nodes:
        if node not in wanted or node not in around:
            continue
        inputs = [told.found[child].content for _, child in node.wires if child in told.found]
        if len(inputs) < len(node.wires):
            continue
        key = told.keys[node] = result_key(node, inputs, around[node])
        there = None if node.effect else store.get(key)
        if there is not None:
            told.found[node] = there
            if node in told.aliases:
                store.add_alias(aliases[node], key)
    return told


def _by_lineage(
    found: dict[Node[Any], Found],
    graph: Graph,
    store: Store,
    aliases: Mapping[Node[Any], bytes],
) -> set[Node[Any]]:
    """Adds to `found`; returns the nodes that must be looked for in another way."""
    wanted: set[Node[Any]] = set()
    waiting = list(graph.targets)
    while waiting:
        node = waiting.pop()
        if node in wanted or node in found:
            continue
        alias = aliases.get(node)
        there = None if alias is None else store.by_alias(alias)
        if there is not None:
            found[node] = there
        else:
            wanted.add(node)
            waiting.extend(child for _, child in node.wires)
    return wanted
