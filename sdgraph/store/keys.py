"""Keys of results, and the texts that they are made from. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from sdgraph.graph import Graph, Node, Stage, code_state, has_computed_checkpoint, parts_of
from sdgraph.models import resolve, resolve_part
from sdgraph.models.loading.libraries import MODEL_LIBRARIES, library_versions
from sdgraph.values import Checkpoint, Part, content_of

from .store import result_key


def execution_context(node: Node[Any], device: str, dtype: str | None) -> str:
    """A text of everything that a node's result depends on besides its parameters and inputs.

    These are the weights that it reads, the versions of the libraries that compute with them, the
    device and the dtype, and the variables that the functions of a class of one's own use.
    """
    state = code_state(type(node))
    context = _weights_context(node, device, dtype)
    return f"{context};{state}" if state else context


def _weights_context(node: Node[Any], device: str, dtype: str | None) -> str:
    definition = type(node).definition
    if "models" in definition.services:
        parts = parts_of(node)
        checkpoints = dict.fromkeys(part.checkpoint for part in parts.values())
        settings = ",".join(resolve(checkpoint).settings_fingerprint for checkpoint in checkpoints)
        return f"{_components_text(parts, device, dtype)};{settings}"
    if not definition.weights:
        return ""
    contents = [resolve(checkpoint).content_fingerprint for checkpoint in _checkpoints_in(node)]
    return f"{','.join(contents)};{library_versions(MODEL_LIBRARIES)}"


def batch_in_key(node: Node[Any], device: str, dtype: str | None, batch: int | None) -> int:
    """The size of batches that a node's key says, as its bits differ from those alone; else 0.

    Args:
        node: The node.
        device: The device that it is to run on.
        dtype: The dtype that it is to be computed in.
        batch: The most nodes that are computed at once, if the user has said it.
    """
    if batch is None or batch < 2 or not node.batch_fields or has_computed_checkpoint(node):
        return 0
    inexact = node.can_batch() and not node.is_batch_exact(device, dtype or "float32")
    return batch if inexact else 0


def known_contexts(
    graph: Graph, device: str, dtype: str | None, batch: int | None = None
) -> dict[Node[Any], str]:
    """The execution context of each node that may be remembered, if it is known before the run.

    Args:
        graph: The nodes.
        device: The device that the graph is to run on.
        dtype: The dtype that it is to be computed in.
        batch: The most nodes that are computed at once, if the user has said it.
    """
    states: dict[type[Node[Any]], str | None] = {}
    for cls in {type(node) for node in graph.nodes}:
        states[cls] = code_state(cls) if cls.definition.identity.remembered else None
    makes_checkpoints = any(cls.output is Checkpoint for cls in states)
    same_for_all = set() if makes_checkpoints else {cls for cls in states if _is_same_for_all(cls)}
    contexts: dict[Node[Any], str] = {}
    for node in graph.nodes:
        state = states[type(node)]
        if state is None or (graph.uncached and node in graph.uncached):
            continue
        if type(node) in same_for_all:
            contexts[node] = f";{state}" if state else ""
        elif not (makes_checkpoints and has_computed_checkpoint(node)):
            weights = _weights_context(node, device, dtype)
            contexts[node] = f"{weights};{state}" if state else weights
            if batched := batch_in_key(node, device, dtype, batch):
                contexts[node] += f";{batched} at once"
    return contexts


def _is_same_for_all(cls: type[Node[Any]]) -> bool:
    """Whether all nodes of a class have the same execution context, as they use no weights."""
    definition = cls.definition
    return not ("models" in definition.services or definition.weights or cls.batch_fields)


def lineage_keys(graph: Graph, contexts: Mapping[Node[Any], str]) -> dict[Node[Any], bytes]:
    """A key for each result made of all the nodes that it is made from; known before the run.

    Nodes that always run and nodes that read them have none. Neither do nodes that read a
    checkpoint or a path: such a value only names files, which may change.

    Args:
        graph: The nodes.
        contexts: The execution context of each node, as far as it is known before the run.
    """
    keys: dict[Node[Any], bytes] = {}
    texts: dict[Node[Any], str] = {}
    kinds = {type(node).definition.output for node in graph.nodes}
    file_kinds = {kind for kind in kinds if _names_files(kind)}
    for node in graph.nodes:
        context = contexts.get(node)
        if context is None or node.effect:
            continue
        inputs = [texts.get(child, "") for _, child in node.wires]
        if all(inputs):
            key = keys[node] = result_key(node, inputs, context)
            if not file_kinds or type(node).definition.output not in file_kinds:
                # "of" distinguishes these from the content hashes in other keys.
                texts[node] = f"of {key.hex()}"
    return keys


def _names_files(kind: type) -> bool:
    """Whether a value of this kind names files and does not contain them."""
    return issubclass(kind, Checkpoint) or hasattr(kind, "__fspath__")


def stage_key(
    node: Node[Any],
    stage: Stage,
    device: str,
    dtype: str | None,
    lineages: Mapping[Node[Any], bytes],
) -> bytes | None:
    """The key of the result of a stage of a node; None if it reads a node without a lineage.

    It is the same for all nodes whose stages make the same result, even with other checkpoints.
    """
    read: list[str] = []
    for value in stage.reads:
        if isinstance(value, Node) and value not in lineages:
            return None
        read.append(f"of {lineages[value].hex()}" if isinstance(value, Node) else content_of(value))
    parts = parts_of(node)
    components = _components_text({name: parts[name] for name in stage.parts}, device, dtype)
    text = f"stage|{stage.name}|{content_of(stage.inputs)}|{components}"
    if read:
        text += f"|{','.join(read)}"
    return blake2b(text.encode(), digest_size=16).digest()


def _components_text(parts: Mapping[str, Part], device: str, dtype: str | None) -> str:
    """A text of components with their fingerprints, the device, the dtype and the libraries."""
    components = ",".join(
        [
            f"{name}={resolve_part(parts[name]).fingerprint}:{parts[name].checkpoint.dtype}"
            for name in sorted(parts)
        ]
    )
    return f"{components};{device};{dtype};{library_versions(MODEL_LIBRARIES)}"


def _checkpoints_in(node: Node[Any]) -> Iterable[Checkpoint]:
    """The checkpoints in a node's fields, in order."""
    for name in type(node).definition.weights:
        value = getattr(node, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, Checkpoint):
                yield item
