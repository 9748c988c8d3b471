"""Files that are made together: all of them or none, and never in the place of another file."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdgraph.errors import Problem
from sdgraph.files import is_file, is_there

from .argument_error import ArgumentError


@dataclass(frozen=True)
class NewFile:
    """A file to make.

    Args:
        path: Where, relative to the current folder.
        content: Its bytes.
        shared: Whether a file that is there already is kept, whatever it holds.
    """

    path: Path
    content: bytes
    shared: bool = False

    @classmethod
    def text(cls, path: str, text: str, *, shared: bool = False) -> NewFile:
        """A file of text in UTF-8."""
        return cls(Path(path), text.encode(), shared)

    @property
    def is_made(self) -> bool:
        """Whether the file is there with this content, or is shared and there."""
        if not is_file(self.path):
            return False
        return self.shared or self.path.read_bytes() == self.content

    @property
    def problem(self) -> Problem | None:
        """What is in the way of the file; None if nothing is."""
        if self.is_made:
            return None
        if is_there(self.path):
            found = "another file of that name" if is_file(self.path) else "no plain file"
            return self._in_the_way(self.path, found)
        for folder in self.path.parents:
            if is_there(folder) and not folder.is_dir():
                return self._in_the_way(folder, "a file, where a folder is needed")
        return None

    def _in_the_way(self, path: Path, found: str) -> Problem:
        fix = "choose another name, move it away, or cd to another folder"
        return Problem(str(path), found, "nothing: no file is replaced", fix)


def write_files(files: Sequence[NewFile]) -> list[Path]:
    """Writes files; returns the paths of those that were not there yet.

    Raises:
        ArgumentError: Something is in the way of some of them. None is written.
        OSError: The disk is full or refuses. What was written before is removed again.
    """
    problems = [problem for file in files if (problem := file.problem) is not None]
    if problems:
        raise ArgumentError(problems)
    missing = [file for file in files if not file.is_made]
    written: list[Path] = []
    try:
        for file in missing:
            file.path.parent.mkdir(parents=True, exist_ok=True)
            with file.path.open("xb") as output:  # another process may have made it meanwhile
                written.append(file.path)
                output.write(file.content)
    except BaseException:
        _remove(written)
        raise
    return written


def _remove(paths: Iterable[Path]) -> None:
    for path in paths:
        path.unlink(missing_ok=True)
