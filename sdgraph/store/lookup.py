"""Finds the remembered results of a graph, from its targets down, as far as they are needed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from sdgraph.graph import Graph, Node, needs_models

from .keys import known_contexts, lineage_keys
from .store import Store, StoredResult, result_key


class LookupResult(NamedTuple):
    """The results of a graph that a store has, and their keys."""

    results: dict[Node[Any], StoredResult]
    """The remembered results that are needed."""
    keys: dict[Node[Any], bytes]
    """Keys by the content of inputs, if they are needed and known before the run."""
    aliases: Mapping[Node[Any], bytes]
    """Keys by lineage, under which results will be found the next time."""
    contexts: Mapping[Node[Any], str]
    """The execution contexts of nodes that may be remembered and have no computed checkpoint."""
    lineages: Mapping[Node[Any], bytes]
    """Keys by lineage of all nodes that have one; none if the rest of a run is planned again."""


def look_up(
    graph: Graph,
    store: Store | None,
    device: str,
    dtype: str | None,
    known_results: Mapping[Node[Any], StoredResult],
    batch: int | None = None,
) -> LookupResult:
    """The remembered results of a graph's targets, or else of the nodes that they read, and so on.

    A result is looked up by its lineage first: then the results that it was made from need not be
    read, or even be remembered. If that fails, it is looked up by the contents of its inputs, so
    that it is also found if the same inputs were made in another way; but not by those of large
    inputs whose contents were not hashed yet, unless the node computes with models.

    Args:
        graph: The nodes.
        store: Where to look; None remembers nothing.
        device: The device that the graph is to run on.
        dtype: The dtype that it is to be computed in.
        known_results: Results that are known already.
        batch: The most nodes that are computed at once, if the user has said it.
    """
    if store is None:
        return LookupResult(dict(known_results), {}, {}, {}, {})
    contexts = known_contexts(graph, device, dtype, batch)
    lineages = lineage_keys(graph, contexts)
    # Both keys of a node that reads nothing are the same.
    aliases = {node: key for node, key in lineages.items() if node.wires}
    results, keys = dict(known_results), dict[Node[Any], bytes]()
    new_aliases = aliases if not known_results else {}
    missing = _find_by_lineage(results, graph, store, aliases)
    for node in graph.nodes:
        if (node.wires and not results) or node not in missing or node not in contexts:
            continue
        read = [results[child] for _, child in node.wires if child in results]
        if len(read) < len(node.wires):
            continue
        if node in aliases and not (needs_models(node) or all(r.has_cheap_content for r in read)):
            continue  # hashing what it reads could take longer than making the result
        inputs = [result.content for result in read]
        key = keys[node] = result_key(node, inputs, contexts[node])
        result = None if node.effect else store.get(key)
        if result is not None:
            results[node] = result
            if node in new_aliases:
                store.add_alias(aliases[node], key)
    # Known results may have been made of files that have changed, or with other settings.
    return LookupResult(results, keys, new_aliases, contexts, lineages if not known_results else {})


def _find_by_lineage(
    results: dict[Node[Any], StoredResult],
    graph: Graph,
    store: Store,
    aliases: Mapping[Node[Any], bytes],
) -> set[Node[Any]]:
    """Adds to `results`; returns the nodes that were not found by their lineage."""
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
            waiting += [child for _, child in node.wires]
    return missing
