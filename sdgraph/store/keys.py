"""What can change a result, as texts and keys. Torch-free."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from hashlib import blake2b
from typing import Any

from sdgraph.graph import Graph, Node, Stage, parts_of
from sdgraph.models import libraries, resolve, resolve_part
from sdgraph.values import Checkpoint, Part, content_of

from .store import result_key


def surroundings(node: Node[Any], device: str, dtype: str | None) -> str:
    """What beside parameters and inputs can change a node's result.

    The weights it reads, what they compute with, and where.
    """
    known = type(node).definition
    if "models" in known.services:
        parts = parts_of(node)
        used = dict.fromkeys(part.checkpoint for part in parts.values())
        settings = ",".join(resolve(checkpoint).settings_fingerprint for checkpoint in used)
        return f"{_computing(parts, device, dtype)};{settings}"
    if not known.weights:
        return ""
    read = [resolve(checkpoint).content_fingerprint for checkpoint in _checkpoints_in(node)]
    return f"{','.join(read)};{libraries.versions(libraries.MODELS)}"


def lineages(graph: Graph, around: Mapping[Node[Any], str]) -> dict[Node[Any], bytes]:
    """A key for each result by all that it is made of, told before anything is made.

    `around` are the nodes' surroundings, as far as they are known by then. Left out are nodes that
    always run and what reads them, and what reads a checkpoint or a path: such a value names files,
    which may change while it stays the same.
    """
    found: dict[Node[Any], bytes] = {}
    for node in graph.nodes:
        if node.effect or node not in around:
            continue
        above = [
            found[child].hex()
            for _, child in node.wires
            if child in found and not _names_files(type(child).definition.output)
        ]
        if len(above) == len(node.wires):
            told = [f"of {each}" for each in above]  # no content of an input
            found[node] = result_key(node, told, around[node])
    return found


def _names_files(kind: type) -> bool:
    return issubclass(kind, Checkpoint) or hasattr(kind, "__fspath__")


def stage_key(node: Node[Any], stage: Stage, device: str, dtype: str | None) -> bytes:
    """The key of what a stage of a node makes.

    The same for every node that makes the same, of whichever checkpoint its components are.
    """
    parts = parts_of(node)
    around = _computing({name: parts[name] for name in stage.parts}, device, dtype)
    text = f"stage|{stage.name}|{content_of(stage.told)}|{around}"
    return blake2b(text.encode(), digest_size=16).digest()


def _computing(parts: Mapping[str, Part], device: str, dtype: str | None) -> str:
    components = ",".join(
        f"{name}={resolve_part(parts[name]).fingerprint}:{parts[name].checkpoint.dtype}"
        for name in sorted(parts)
    )
    return f"{components};{device};{dtype};{libraries.versions(libraries.MODELS)}"


def _checkpoints_in(node: Node[Any]) -> Iterable[Checkpoint]:
    """The checkpoints that stand in a node's fields, in order."""
    for name in type(node).definition.weights:
        value = getattr(node, name)
        for each in value if isinstance(value, tuple) else (value,):
            if isinstance(each, Checkpoint):
                yield each
