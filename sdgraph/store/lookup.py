"""Finds what is remembered of a graph, from its targets down and no further than is needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sdgraph.graph import Graph, Node, has_computed_checkpoint

from .keys import execution_context, lineage_keys
from .store import Store, StoredResult, result_key


class LookupResult(NamedTuple):
    """What a store knows of the results of a graph."""

    results: dict[Node[Any], StoredResult]
    """The remembered results, as far as anything asks for them."""
    keys: dict[Node[Any], bytes]
    """Keys by the content of inputs, as far as they are needed and known before the run."""
    aliases: Mapping[Node[Any], bytes]
    """Keys by lineage, under which results are to be found next time."""
    contexts: Mapping[Node[Any], str]
    """The execution contexts of the nodes that may be remembered, but for late checkpoints."""


def look_up(
    graph: Graph,
    store: Store | None,
    device: str,
    dtype: str | None,
    known_results: Mapping[Node[Any], StoredResult],
) -> LookupResult:
    """What is remembered of a graph's targets, else of the nodes they are made from, and so on.

    A result is looked for by its lineage first: then nothing that it was made from needs to be
    looked at, or even to be remembered any more. Where that fails it is looked for by the contents
    of its inputs, so that other ways to the same inputs lead to it too.

    Args:
        graph: The nodes.
        store: Where to look; None remembers nothing.
        device: The device that the graph is to run on.
        dtype: The dtype that it is to be computed in.
        known_results: Results that are there already.
    """
    if store is None:
        return LookupResult(dict(known_results), {}, {}, {})
    contexts = {
        node: execution_context(node, device, dtype)
        for node in graph.nodes
        if graph.is_remembered(node) and not has_computed_checkpoint(node)
    }
    # Both keys of a node that reads nothing are the same.
    aliases = {node: key for node, key in lineage_keys(graph, contexts).items() if node.wires}
    results, keys = dict(known_results), dict[Node[Any], bytes]()
    shown = aliases if not known_results else {}
    missing = _find_by_lineage(results, graph, store, aliases)
    for node in graph.nodes:
        if node not in missing or node not in contexts:
            continue
        inputs = [results[child].content for _, child in node.wires if child in results]
        if len(inputs) < len(node.wires):
            continue
        key = keys[node] = result_key(node, inputs, contexts[node])
        result = None if node.effect else store.get(key)
        if result is not None:
            results[node] = result
            if node in shown:
                store.add_alias(aliases[node], key)
    return LookupResult(results, keys, shown, contexts)


def _find_by_lineage(
    results: dict[Node[Any], StoredResult],
    graph: Graph,
    store: Store,
    aliases: Mapping[Node[Any], bytes],
) -> set[Node[Any]]:
    """Adds to `results`; returns the nodes that must be looked for in another way."""
    missing: set[Node[Any]] = set()
    waiting = list(graph.targets)
    while waiting:
        node = waiting.pop()
        if node in missing or node in results:
            continue
        alias = aliases.get(node)
        result = None if alias is None else store.by_alias(alias)
        if result is not None:
            results[node] = result
        else:
            missing.add(node)
            waiting.extend(child for _, child in node.wires)
    return missing
