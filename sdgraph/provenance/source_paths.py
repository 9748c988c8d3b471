"""Finds the files that a record names: their paths are relative to the workflow's folder."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

from sdgraph.language import workflows_folder

from .record import ProvenanceRecord


def record_folder(file: Path, record: ProvenanceRecord) -> Path:
    """The folder that the paths in a saved file's record are relative to.

    It is the current folder. If the file is where its workflow wrote it, below the current folder,
    and what the record names is in the workflow's folder, it is the workflow's folder.

    Args:
        file: The path of the saved file.
        record: The record in it.
    """
    current = Path.cwd()
    below = PurePosixPath(record.folder)
    parent = Path(os.path.realpath(file.parent))
    if below.is_absolute() or ".." in below.parts or not _ends_with(parent, below):
        return current
    folder = Path(*parent.parts[: len(parent.parts) - len(below.parts)])
    is_inside = folder.is_relative_to(os.path.realpath(current))
    return folder if is_inside and any(_find_all(record, folder)) else current


def find_source(path: str, folder: Path) -> Path | None:
    """The file that a path in a record names; None if it is not here.

    A record may come from a stranger: only files below the folder and below the shipped workflows
    are looked for, also when links are followed.

    Args:
        path: The path in the record.
        folder: The folder that it is relative to, as `record_folder` returns it.
    """
    for start in (folder, workflows_folder()):
        try:
            real = Path(os.path.realpath(start / path))
            if real.is_relative_to(os.path.realpath(start)) and real.is_file():
                return start / path
        except (OSError, ValueError):  # a path with NUL, or too long
            continue
    return None


def _find_all(record: ProvenanceRecord, folder: Path) -> Iterator[bool]:
    """For each file and checkpoint folder that a record names, whether it is below a folder."""
    for path in record.sources:
        found = find_source(path, folder)
        yield found is not None and found.is_relative_to(folder)
    for checkpoint in record.checkpoints:
        source = checkpoint.get("source")
        if isinstance(source, str) and source.startswith("./") and "\0" not in source:
            yield (folder / source).exists()


def _ends_with(path: Path, below: PurePosixPath) -> bool:
    return not below.parts or path.parts[-len(below.parts) :] == below.parts
