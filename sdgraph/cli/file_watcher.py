"""Watches the files that a workflow reads for changes."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sdgraph.errors import SdgraphError
from sdgraph.files import FileStamp
from sdgraph.graph import (
    Node,
    ancestry,
    has_computed_checkpoint,
    parts_of,
    source_files,
    source_files_of,
    source_folders,
)
from sdgraph.language import Workflow, bind_inputs, parse_reference
from sdgraph.models import file_sha256, resolve_part

from .request import Request

POLL_S = 0.5
"""Seconds between two checks of the files."""

SETTLE_S = 0.15
"""Seconds for which a file must not change before it counts as completely written."""


def files_to_watch(request: Request) -> set[Path]:
    """The files that the runs of a request read, even if they do not exist.

    These are the workflow and its sub-workflows, the source files of nodes, local weights, and the
    Python files of nodes of one's own with all that they depend on.
    """
    inputs = {**request.inputs, **{name: values[0] for name, values in request.axes.items()}}
    files = _read(request.workflow, inputs)
    for name, values in request.axes.items():
        for value in values[1:]:
            files |= _read(request.workflow, {**inputs, name: value})
    return {path.absolute() for path in files if "\0" not in str(path)}


def _read(workflow: Workflow, inputs: Mapping[str, Any]) -> set[Path]:
    bound = bind_inputs(workflow.template, inputs, workflow.registry)
    marks = [
        mark for fields in bound.marks.values() for mark in fields.values() if mark is not None
    ]
    marks += [problem.at for problem in bound.problems if problem.at is not None]
    files = {Path(mark.file) for mark in marks} | {Path(workflow.template.document.file)}
    for spec in workflow.template.specs.values():
        path = spec.fields.get("path")
        if spec.type == "Workflow" and isinstance(path, str) and not parse_reference(path):
            files.add(workflow.template.folder / path)
    for node in ancestry(*(node for node in bound.nodes.values() if isinstance(node, Node))):
        files.update(path for _, path in source_files(node))
        for _, folder in source_folders(node):  # as a file, its content is the names in it
            files.update((folder, *(folder.iterdir() if folder.is_dir() else ())))
        files.update(_weights(node))
        files.update(source_files_of(type(node).__module__))
    return files


def _weights(node: Node[Any]) -> Iterator[Path]:
    if "models" not in type(node).definition.services or has_computed_checkpoint(node):
        return
    try:
        for part in parts_of(node).values():
            yield from (path for path, _ in resolve_part(part).hashed_files)
    except (SdgraphError, OSError):
        return


class FileWatcher:
    """Notices when the content of a file changes, when it is removed and when it comes back.

    Args:
        files: The files to watch; they need not exist.
        sleep: Waits for a number of seconds.
    """

    def __init__(
        self, files: Iterable[Path], sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._sleep = sleep
        self._stamps = {path: _stamp(path) for path in files}
        self._contents = {path: _content(path) for path in self._stamps}

    def wait(self) -> list[Path]:
        """Waits until files have changed and are completely written; returns them."""
        while True:
            self._sleep(POLL_S)
            if changed := self.changed():
                return changed

    def changed(self) -> list[Path]:
        """The files with new content since the last call; waits until they are fully written."""
        now = {path: _stamp(path) for path in self._stamps}
        if now == self._stamps:
            return []
        while True:
            # An editor may save in pieces, or remove the file before it writes the new one.
            self._sleep(SETTLE_S)
            later = {path: _stamp(path) for path in self._stamps}
            if later == now:
                break
            now = later
        touched = [path for path, stamp in now.items() if stamp != self._stamps[path]]
        self._stamps = now
        changed = [path for path in touched if _content(path) != self._contents[path]]
        self._contents.update({path: _content(path) for path in changed})
        return changed


def _stamp(path: Path) -> FileStamp | None:
    try:
        return FileStamp.of(path)
    except OSError:
        return None


def _content(path: Path) -> str | None:
    try:
        return "\n".join(sorted(os.listdir(path))) if path.is_dir() else file_sha256(path)
    except OSError:
        return None
