"""Whether what a record names is here still, and as it was."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal

from sdgraph.errors import SdgraphError
from sdgraph.graph import Graph, source_files
from sdgraph.models import file_sha256, resolve
from sdgraph.values import Checkpoint, Lora

from .record import Record, versions

State = Literal["unchanged", "changed", "not here"]


def source_states(record: Record) -> dict[str, State]:
    """How each source file of a record stands."""
    return {path: _state(Path(path), digest) for path, digest in record.sources.items()}


def checkpoint_states(record: Record) -> list[tuple[str, State]]:
    """The source of each checkpoint of a record, and how its files stand."""
    return [(str(told.get("source", "")), _checkpoint(told)) for told in record.checkpoints]


def other_versions(record: Record) -> dict[str, str]:
    """The packages whose version here is another than in the record, with the one that is here."""
    here = versions()
    return {
        name: here.get(name, "none")
        for name, version in record.versions.items()
        if here.get(name) != version
    }


def changes(record: Record, graph: Graph) -> Iterator[str]:
    """In words, what `graph` reads that is not what the record was made of."""
    read = {str(path) for node in graph.nodes for _, path in source_files(node)}
    for path, state in source_states(record).items():
        if path in read and state != "unchanged":
            yield f"the source file {path} has changed since"
    for source, state in checkpoint_states(record):
        if state == "changed":
            yield f"the checkpoint {source} has changed since"


def _checkpoint(told: Mapping[str, Any]) -> State:
    kind = Lora if told.get("adapter") else Checkpoint
    files = told.get("files") or {}
    try:
        root = resolve(kind.parse({k: v for k, v in told.items() if k in kind.FIELDS})).root
    except (SdgraphError, TypeError, OSError):
        return "not here"
    if root is None or not isinstance(files, Mapping):
        return "not here"
    states = {_state(root / name, digest) for name, digest in files.items()}
    if "changed" in states:
        return "changed"
    return "not here" if "not here" in states or not states else "unchanged"


def _state(path: Path, digest: str) -> State:
    try:
        if not path.is_file():  # a stranger's record could name a device, which has no end
            return "not here"
        return "unchanged" if file_sha256(path) == digest else "changed"
    except (OSError, ValueError):
        return "not here"
