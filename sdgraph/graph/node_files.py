"""The files that nodes read and write, by the paths in their fields."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from sdgraph.errors import Problem, did_you_mean
from sdgraph.files import describe_path, is_file, is_folder, names_in

from .node import Node


def source_files(node: Node[Any]) -> Iterator[tuple[str, Path]]:
    """The files that a node reads, each with the name of its field."""
    for name in type(node).definition.sources:
        for path in _paths_in(getattr(node, name)):
            yield name, path


def source_folders(node: Node[Any]) -> Iterator[tuple[str, Path]]:
    """The folders whose files a node reads, each with the name of its field."""
    for name in type(node).definition.folders:
        for path in _paths_in(getattr(node, name)):
            yield name, path


def target_files(node: Node[Any]) -> Iterator[tuple[str, Path]]:
    """The files and folders that a node writes, each with the name of its field."""
    for name in type(node).definition.targets:
        for path in _paths_in(getattr(node, name)):
            yield name, path


def _paths_in(value: Any) -> Iterator[Path]:
    """The paths in a field: one, or those in a list or map at any depth."""
    if isinstance(value, str | Path):
        yield value if isinstance(value, Path) else Path(value)
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _paths_in(item)
    elif isinstance(value, tuple | list):
        for item in value:
            yield from _paths_in(item)


def missing_sources(node: Node[Any], *, suggest: bool = True) -> Iterator[Problem]:
    """A problem for each file and folder that a node reads and that is not there.

    With `suggest` it names a file of a similar name, if there is one.
    """
    for name, path in source_files(node):
        if (problem := missing_file(name, path, suggest=suggest)) is not None:
            yield problem
    for name, path in source_folders(node) if type(node).definition.folders else ():
        if not is_folder(path):
            found = describe_path(path, "folder")
            names = names_in(path.parent) if suggest and found == "no such folder" else ()
            fix = did_you_mean(path.name, names)
            yield Problem(name, f"{path}: {found}", "a folder that exists", fix)


def missing_file(field: str, path: Path, *, suggest: bool = True) -> Problem | None:
    """The problem with the path of a file to read, None if there is a file.

    With `suggest` it names a file of a similar name, if there is one.
    """
    if is_file(path) or "\0" in str(path):  # the field itself refuses a NUL
        return None
    found = describe_path(path)
    names = names_in(path.parent) if suggest and found == "no such file" else ()
    fix = did_you_mean(path.name, names)
    return Problem(field, f"{path}: {found}", "a file that exists", fix)
