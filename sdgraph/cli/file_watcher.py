"""Which files a workflow reads, and whether one of them has changed since."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from sdgraph.errors import SdgraphError
from sdgraph.graph import Node, ancestry, late_checkpoint, parts_of, source_files
from sdgraph.language import Workflow, bind_inputs, parse_reference
from sdgraph.models import file_sha256, resolve_part

from .request import Request

POLL_S = 0.5
"""How long between two looks."""

SETTLE_S = 0.15
"""How long a file must stay as it is before it counts as wholly written."""

_Stamp = tuple[int, int, int] | None


def files_read(request: Request) -> set[Path]:
    """What the runs asked for read, here or not: the workflow's files, sources, local weights."""
    given = {**request.inputs, **{name: values[0] for name, values in request.axes.items()}}
    found = _read(request.workflow, given)
    for name, values in request.axes.items():
        for value in values[1:]:
            found |= _read(request.workflow, {**given, name: value})
    return {path.absolute() for path in found if "\0" not in str(path)}


def _read(workflow: Workflow, inputs: Mapping[str, Any]) -> set[Path]:
    bound = bind_inputs(workflow.template, inputs, workflow.registry)
    marks = [mark for each in bound.marks.values() for mark in each.values() if mark is not None]
    marks += [problem.at for problem in bound.problems if problem.at is not None]
    found = {Path(mark.file) for mark in marks} | {Path(workflow.template.document.file)}
    for spec in workflow.template.specs.values():
        written = spec.fields.get("path")
        if spec.type == "Workflow" and isinstance(written, str) and not parse_reference(written):
            found.add(workflow.template.folder / written)
    for node in ancestry(*(each for each in bound.nodes.values() if isinstance(each, Node))):
        found.update(path for _, path in source_files(node))
        found.update(_weights(node))
    return found


def _weights(node: Node[Any]) -> Iterator[Path]:
    if "models" not in type(node).definition.services or late_checkpoint(node):
        return
    try:
        for part in parts_of(node).values():
            yield from (path for path, _ in resolve_part(part).hashed_files)
    except (SdgraphError, OSError):
        return


class Changes:
    """Files as they are now; tells when the content of one is another, it is gone or it is back."""

    def __init__(
        self, files: Iterable[Path], sleep: Callable[[float], object] = time.sleep
    ) -> None:
        self._sleep = sleep
        self._stamps = {path: _stamp(path) for path in files}
        self._contents = {path: _content(path) for path in self._stamps}

    def wait(self) -> list[Path]:
        """Waits until some files have changed and stay as they are; returns them."""
        while True:
            self._sleep(POLL_S)
            if found := self.look():
                return found

    def look(self) -> list[Path]:
        """The files whose content has changed since the last look, once they stay as they are."""
        now = {path: _stamp(path) for path in self._stamps}
        if now == self._stamps:
            return []
        while True:
            # A save may write in pieces, or take the file away before the new one is in its place.
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


def _stamp(path: Path) -> _Stamp:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns, found.st_ino


def _content(path: Path) -> str | None:
    try:
        return "\n".join(sorted(os.listdir(path))) if path.is_dir() else file_sha256(path)
    except OSError:
        return None
