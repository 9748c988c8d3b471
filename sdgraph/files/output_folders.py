"""The folders that a workflow may write into: its own, the current one, or that of --out."""

from __future__ import annotations

import os
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from sdgraph.errors import MediaError, Problem


@dataclass(frozen=True)
class OutputFolders:
    """The folders that a run may write into: a file is in one of them when links are followed.

    Args:
        folders: What each folder is, such as "the current folder", and its path.

    Example:
        >>> folders = OutputFolders.of(("the folder for output", Path("out")))
        >>> [folders.permit(Path(path)) for path in ("out/a.png", "out/../b.png")]
        [True, False]
    """

    folders: tuple[tuple[str, str], ...]

    @classmethod
    def of(cls, *folders: tuple[str, Path]) -> OutputFolders:
        """These folders, each with what it is; the links in their paths are followed now."""
        first_names: dict[str, str] = {}
        for name, path in folders:
            first_names.setdefault(os.path.realpath(path), name)
        return cls(tuple((name, path) for path, name in first_names.items()))

    def permit(self, path: Path, known_parents: dict[str, str] | None = None) -> bool:
        """Whether a file or folder is in one of the folders, or is one of them.

        Args:
            path: The path; it need not exist.
            known_parents: Where the parents of earlier paths are when links are followed. It is
                added to, so that many files in few folders are looked up faster.
        """
        real = _real_path(path, {} if known_parents is None else known_parents)
        return any(
            real == folder or real.startswith(folder.rstrip(os.sep) + os.sep)
            for _, folder in self.folders
        )

    def problem(self, field: str, path: Path) -> Problem:
        """The problem of a field with a path that is not permitted."""
        real = os.path.realpath(path)
        is_link = real != os.path.normpath(path.absolute())
        found = f"{path}, a path through a link to {real}" if is_link else str(path)
        wanted = " or ".join(f"{name} ({folder})" for name, folder in self.folders)
        fix = (
            "choose such a path; or allow all folders, if you trust the workflow, with "
            "--allow-outside (allow_outside=True in Python)"
        )
        return Problem(field, found, f"a path in {wanted}", fix)


_output_folders: ContextVar[OutputFolders | None] = ContextVar("output_folders", default=None)


class write_only_in:  # noqa: N801  used like a function
    """Within the block, `refuse_outside` refuses all paths that `folders` do not permit.

    It is a class because it surrounds every node: a generator takes three times as long.

    Args:
        folders: The permitted folders; None permits every path.
    """

    __slots__ = ("_folders", "_token")

    def __init__(self, folders: OutputFolders | None) -> None:
        self._folders = folders

    def __enter__(self) -> None:
        self._token = _output_folders.set(self._folders)

    def __exit__(self, *_: object) -> None:
        _output_folders.reset(self._token)


def refuse_outside(path: str | Path) -> None:
    """Raises MediaError if the node that is running may not write to a path.

    All that nodes write with the functions of sdgraph is checked by this at the time of writing,
    because a link may have been made since the graph was checked.

    Args:
        path: The file or folder to write.
    """
    folders = _output_folders.get()
    if folders is not None and not folders.permit(Path(path)):
        raise MediaError(folders.problem(str(path), Path(path)))


def _real_path(path: Path, known_parents: dict[str, str]) -> str:
    """Where a path leads when all links are followed."""
    folder, name = os.path.split(path)  # texts, which take a fifth of the time of Paths
    # Path.is_symlink raises for a name that is too long.
    if name in ("", ".", "..") or os.path.islink(path):  # noqa: PTH114
        return os.path.realpath(path)
    parent = known_parents.get(folder)
    if parent is None:
        parent = known_parents[folder] = os.path.realpath(folder)
    return os.path.join(parent, name)  # noqa: PTH118
