"""Removes model files: those of a checkpoint in the hub's cache, or a file in a model folder."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from sdgraph.errors import CheckpointError, Problem, did_you_mean
from sdgraph.files import expand_home
from sdgraph.formatting import format_bytes, format_count
from sdgraph.models import is_random
from sdgraph.models.sources.file_descriptions import size_of
from sdgraph.models.sources.hub_listing import cache_folder
from sdgraph.models.sources.model_files import ModelFile, list_model_files
from sdgraph.models.sources.model_folders import ModelFolder, model_folders

from .argument_error import ArgumentError

_WANTED = "a checkpoint in the hub's cache, or a file in one of your model folders"


@dataclass(frozen=True)
class Removal:
    """What is removed.

    Args:
        name: What it is, in words.
        path: Its file or folder.
        bytes: The bytes that are freed.
        delete: Deletes it.
    """

    name: str
    path: Path
    bytes: int
    delete: Callable[[], object]

    def remove(self) -> None:
        """Removes it; raises CheckpointError if that fails."""
        try:
            self.delete()
        except OSError as error:
            reason = (error.strerror or str(error)).lower()
            found = f"it could not be removed, or only a part of it ({reason})"
            fix = "change the permissions of its folder, or remove it yourself"
            wanted = "a folder that can be written to"
            raise CheckpointError(Problem(str(self.path), found, wanted, fix)) from error

    def __str__(self) -> str:
        return f"{self.name} ({format_bytes(self.bytes)})"


def find_removal(name: str) -> Removal:
    """What a name stands for that can be removed.

    Args:
        name: The id of a checkpoint on the hub, a file name as in a workflow, or the path of a
            file in one of the model folders.

    Raises:
        ArgumentError: It stands for nothing, for several files, or for one that is elsewhere.
    """
    if name.startswith("tiny/") or is_random(name):
        found = "it ships with sdgraph" if name.startswith("tiny/") else "it is made by sdgraph"
        raise ArgumentError(Problem(name, found, _WANTED))
    try:
        files = list_model_files(folders := model_folders())
    except CheckpointError as error:
        raise ArgumentError(error.problems) from error
    matches = _matches(name, files)
    if len(matches) > 1:
        paths = " and ".join(str(file.path) for file in matches)
        found = f"several files of that name: {paths}"
        raise ArgumentError(Problem(name, found, "one file", "write the path of the one"))
    if matches:
        return _removal_of_file(matches[0])
    removal = _removal_from_cache(name)
    if removal is None:
        raise ArgumentError(_absent_problem(name, files, folders))
    return removal


def _matches(name: str, files: Sequence[ModelFile]) -> list[ModelFile]:
    """The model files that a name stands for: one at its path, or those whose paths end with it."""
    path = Path(os.path.abspath(expand_home(name)))  # noqa: PTH100  links stay links
    exact = [file for file in files if file.path == path]
    parts = Path(name.replace("\\", "/")).parts
    return exact[:1] or [file for file in files if file.path.parts[-len(parts) :] == parts]


def _removal_of_file(file: ModelFile) -> Removal:
    size = 0 if file.path.is_symlink() else size_of(file)
    what = str(file.path)
    if file.path.is_symlink():
        what += ", a link"
    elif file.target != what:  # a folder above it is a link
        what += f", which is {file.target}"
    if file.is_pipeline and not file.path.is_symlink():
        return Removal(f"the folder {what}", file.path, size, lambda: shutil.rmtree(file.path))
    return Removal(f"the file {what}", file.path, size, file.path.unlink)


def _removal_from_cache(name: str) -> Removal | None:
    """The removal of a checkpoint in the hub's cache, with all of its revisions."""
    from huggingface_hub import scan_cache_dir
    from huggingface_hub.errors import CacheNotFound

    try:
        cache = scan_cache_dir(cache_folder())
    except CacheNotFound:
        return None
    folder = cache_folder() / f"models--{name.replace('/', '--')}"
    if ".." in name or "--" in name or not folder.is_dir():
        return None
    counts = {repo.repo_path.name: len(repo.revisions) for repo in cache.repos}
    what = "of which a download was interrupted"
    if count := counts.get(folder.name):
        what = f"{format_count(count, 'revision')} in the hub's cache"
    return Removal(f"{name}, {what}", folder, _bytes_below(folder), lambda: shutil.rmtree(folder))


def _bytes_below(folder: Path) -> int:
    paths = (path for path in folder.rglob("*") if path.is_file() and not path.is_symlink())
    return sum(path.stat().st_size for path in paths)


def _absent_problem(
    name: str, files: Sequence[ModelFile], folders: Sequence[ModelFolder]
) -> Problem:
    path = expand_home(name)
    if path.exists():
        where = ", ".join(str(folder.path) for folder in folders) or "none"
        found = f"a {'folder' if path.is_dir() else 'file'} outside of your model folders ({where})"
        return Problem(name, found, _WANTED, "remove it yourself")
    near = did_you_mean(Path(name).name, [file.path.name for file in files])
    fix = near or "`sdgraph models` lists what is here"
    return Problem(name, "nothing of that name is here", _WANTED, fix)


def confirm_removal(removal: Removal) -> bool:
    """Asks whether to remove something; raises ArgumentError where nobody can be asked."""
    if not _can_ask():
        found, wanted = f"{removal} to remove", "a confirmation, and nobody to ask"
        raise ArgumentError(Problem("models remove", found, wanted, "add --yes"))
    try:
        return input(f"remove {removal}? [y/N] ").strip().lower() in ("y", "yes")
    except EOFError:
        return False


def _can_ask() -> bool:
    return sys.stdin.isatty() and sys.stdout.isatty()
