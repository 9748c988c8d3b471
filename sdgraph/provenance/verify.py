"""Checks whether the files, checkpoints and versions in a record are here and unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from importlib import resources
from pathlib import Path, PurePath
from typing import Any, Literal

from sdgraph.errors import SdgraphError
from sdgraph.files import is_file
from sdgraph.graph import Graph, source_files
from sdgraph.models import file_sha256, resolve
from sdgraph.values import Checkpoint, Lora

from .record import ProvenanceRecord, installed_versions

State = Literal["unchanged", "changed", "not here", "outside this folder, not looked at"]

OUTSIDE: State = "outside this folder, not looked at"


def source_states(record: ProvenanceRecord) -> dict[str, State]:
    """The present state of each source file of a record.

    A record may come from a stranger: files that are neither below the current folder nor part of
    sdgraph are not opened.
    """
    return {
        path: _state(Path(path), digest) if is_near(Path(path)) else OUTSIDE
        for path, digest in record.sources.items()
    }


def is_near(path: Path) -> bool:
    """Whether a path leads, also through links, below the current folder or into sdgraph itself."""
    try:
        target = path.resolve()
    except (OSError, ValueError, RuntimeError):  # a loop of links, a NUL
        return False
    near = (Path.cwd(), Path(str(resources.files("sdgraph.workflows"))))
    return any(target.is_relative_to(folder.resolve()) for folder in near)


def checkpoint_states(record: ProvenanceRecord) -> list[tuple[str, State]]:
    """The source of each checkpoint of a record, and the present state of its files."""
    return [
        (str(checkpoint.get("source", "")), _checkpoint_state(checkpoint))
        for checkpoint in record.checkpoints
    ]


def changed_versions(record: ProvenanceRecord) -> dict[str, str]:
    """The packages whose version differs from the record's, with the version installed here."""
    installed = installed_versions()
    return {
        name: installed.get(name, "none")
        for name, version in record.versions.items()
        if installed.get(name) != version
    }


def changes_since(record: ProvenanceRecord, graph: Graph) -> Iterator[str]:
    """Sentences about what has changed since a file was saved, as far as `graph` reads it.

    Args:
        record: The record in the file.
        graph: The graph that is about to make the file again.
    """
    paths = {str(path) for node in graph.nodes for _, path in source_files(node)}
    for path, digest in record.sources.items():
        if path in paths and _state(Path(path), digest) != "unchanged":
            yield f"the source file {path} has changed since"
    for source, state in checkpoint_states(record):
        if state == "changed":
            yield f"the checkpoint {source} has changed since"


def _checkpoint_state(entry: Mapping[str, Any]) -> State:
    kind = Lora if entry.get("adapter") else Checkpoint
    files = entry.get("files") or {}
    source = Path(str(entry.get("source", "")))
    if _exists(source) and not is_near(source):
        return OUTSIDE
    try:
        root = resolve(kind.parse({k: v for k, v in entry.items() if k in kind.FIELDS})).root
    except (SdgraphError, TypeError, OSError):
        return "not here"
    if root is None or not isinstance(files, Mapping):
        return "not here"
    states = {
        "not here" if _leads_out(name) else _state(root / name, digest)
        for name, digest in files.items()
    }
    if "changed" in states:
        return "changed"
    return "not here" if "not here" in states or not states else "unchanged"


def _exists(path: Path) -> bool:
    try:
        return path.is_absolute() or path.expanduser().exists()
    except (OSError, ValueError, RuntimeError):
        return False


def _leads_out(name: str) -> bool:
    """Whether the name of a file in a checkpoint leads out of its folder."""
    path = PurePath(name)
    return path.is_absolute() or ".." in path.parts


def _state(path: Path, digest: str) -> State:
    try:
        if not is_file(path):  # a record of another machine could name an endless device file
            return "not here"
        return "unchanged" if file_sha256(path) == digest else "changed"
    except (OSError, ValueError):
        return "not here"
