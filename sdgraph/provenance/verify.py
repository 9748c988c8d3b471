"""Checks whether the files, checkpoints and versions in a record are here and unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path, PurePath
from typing import Any, Literal

from sdgraph.errors import SdgraphError
from sdgraph.files import is_file
from sdgraph.graph import Graph, source_files
from sdgraph.language import with_absolute_source, workflows_folder
from sdgraph.models import file_sha256, resolve
from sdgraph.values import COMPONENTS, Checkpoint, ComponentSource, Lora

from .record import ProvenanceRecord, installed_versions
from .source_paths import find_source

State = Literal["unchanged", "changed", "not here", "outside this folder, not looked at"]

OUTSIDE: State = "outside this folder, not looked at"


def source_states(record: ProvenanceRecord, folder: Path | None = None) -> dict[str, State]:
    """The present state of each source file of a record.

    A record may come from a stranger: files that are neither below the current folder nor part of
    sdgraph are not opened.

    Args:
        record: The record.
        folder: The folder that its paths are relative to; None is the current one.
    """
    folder = folder or Path.cwd()
    return {path: _source_state(path, digest, folder) for path, digest in record.sources.items()}


def _source_state(path: str, digest: str, folder: Path) -> State:
    file = find_source(path, folder) or folder / path
    return _state(file, digest) if is_near(file) else OUTSIDE


def is_near(path: Path) -> bool:
    """Whether a path leads, also through links, below the current folder or into sdgraph itself."""
    try:
        target = path.resolve()
    except (OSError, ValueError, RuntimeError):  # a loop of links, a NUL
        return False
    near = (Path.cwd(), workflows_folder())
    return any(target.is_relative_to(folder.resolve()) for folder in near)


def checkpoint_states(
    record: ProvenanceRecord, folder: Path | None = None
) -> list[tuple[str, State]]:
    """The source of each checkpoint of a record, and the present state of its files.

    Args:
        record: The record.
        folder: The folder that its paths are relative to; None is the current one.
    """
    folder = folder or Path.cwd()
    return [
        (str(checkpoint.get("source", "")), _checkpoint_state(checkpoint, folder))
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


def changes_since(
    record: ProvenanceRecord, graph: Graph, folder: Path | None = None
) -> Iterator[str]:
    """Sentences about what has changed since a file was saved, as far as `graph` reads it.

    Args:
        record: The record in the file.
        graph: The graph that is about to make the file again.
        folder: The folder that the record's paths are relative to; None is the current one.
    """
    folder = folder or Path.cwd()
    paths = {path for node in graph.nodes for _, path in source_files(node)}
    for path, digest in record.sources.items():
        file = find_source(path, folder) or folder / path
        if file in paths and _state(file, digest) != "unchanged":
            yield f"the source file {path} has changed since"
    for source, state in checkpoint_states(record, folder):
        if state == "changed":
            yield f"the checkpoint {source} has changed since"


def _checkpoint_state(entry: Mapping[str, Any], folder: Path) -> State:
    kind: type[Checkpoint] = ComponentSource if "component" in entry else Checkpoint
    kind = Lora if entry.get("adapter") else kind
    files = entry.get("files") or {}
    names = (*kind.FIELDS, *kind.PART_NAMES)
    fields = {name: value for name, value in entry.items() if name in names}
    fields = with_absolute_source(fields, folder)
    if any(_exists(source) and not is_near(source) for source in _sources_in(fields)):
        return OUTSIDE
    try:
        resolved = resolve(kind.parse(fields))
        if resolved.root is None or not isinstance(files, Mapping):
            return "not here"
        paths = {name: None if _leads_out(name) else resolved.path_of(name) for name in files}
    except (SdgraphError, TypeError, OSError):
        return "not here"
    states = {
        "not here" if path is None else _state(path, files[name]) for name, path in paths.items()
    }
    if "changed" in states:
        return "changed"
    return "not here" if "not here" in states or not states else "unchanged"


def _sources_in(fields: Mapping[str, Any]) -> Iterator[Path]:
    """The paths of a checkpoint's source and config, and of those of the checkpoints inside it."""
    for name, value in fields.items():
        if isinstance(value, Mapping):
            yield from _sources_in(value)
        elif name in ("source", "config", "base", *COMPONENTS):
            yield Path(str(value))


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
        # A record of another machine could name an endless device file.
        if not is_file(path):
            return "not here"
        return "unchanged" if file_sha256(path) == digest else "changed"
    except (OSError, ValueError):
        return "not here"
