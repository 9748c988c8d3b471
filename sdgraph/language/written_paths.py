"""How paths and checkpoints are written into workflow files, and into the records of pictures."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Mapping
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any, Protocol

from sdgraph.files import expand_home, is_file
from sdgraph.graph import Graph, source_files
from sdgraph.values import Checkpoint, Lora

HUB_FOLDER = "models--"
"""What the names of the folders in the hub's cache begin with: models--ORGANISATION--NAME."""


class PathFormat(Protocol):
    """The texts that stand for paths, texts and checkpoints in a workflow file."""

    def path(self, path: Path, *, is_target: bool) -> str:
        """The text for the path of a file to read or, with `is_target`, to write."""

    def text(self, text: str) -> str:
        """The text for a text."""

    def checkpoint(self, checkpoint: Checkpoint) -> Any:
        """The plain data for a checkpoint."""


class RelativePaths:
    """Paths relative to the folder of the file; as they are if there is none.

    Args:
        folder: The folder of the file.
    """

    def __init__(self, folder: Path | None) -> None:
        self._folder = folder

    def path(self, path: Path, *, is_target: bool) -> str:
        """The path relative to the folder."""
        return str(path) if self._folder is None else os.path.relpath(path, self._folder)

    def text(self, text: str) -> str:
        """The text itself."""
        return text

    def checkpoint(self, checkpoint: Checkpoint) -> Any:
        """Its data; paths relative to the current folder become relative to `folder`."""
        data = dict(checkpoint.fields)
        for name in ("source", "config"):
            path = data.get(name)
            if self._folder is not None and path is not None and path.startswith("."):
                relative = os.path.relpath(path, self._folder)
                data[name] = relative if relative.startswith("..") else f"./{relative}"
        data = _with_inner(data, self)
        return data if len(data) > 1 else data["source"]


class PortablePaths:
    """Paths that say nothing about the machine, for the records in pictures that are passed on.

    A path is written relative to the first of these folders that it is in: the shipped workflows,
    the workflow's own folder, the current folder; a path to write first to `--out`. Of a path
    outside of all of them, only the file's name is written; the record has its hash. A folder in
    the hub's cache is written as the hub's name and commit.

    Args:
        graph: The graph that is written.
    """

    def __init__(self, graph: Graph) -> None:
        current = Path.cwd()
        own = (graph.folder or current, current)
        permitted = graph.output_folders.folders if graph.output_folders is not None else ()
        out = tuple(Path(folder) for _, folder in permitted) if len(permitted) == 1 else ()
        self._folders = tuple(dict.fromkeys((workflows_folder(), *own)))
        self._target_folders = tuple(dict.fromkeys((*out, *own)))
        # Names of files outside are chosen last, so that none is the path of a file inside.
        paths = dict.fromkeys(path for node in graph.nodes for _, path in source_files(node))
        inside = {path: _relative(path, self._folders) for path in paths}
        self._texts = {path: text for path, text in inside.items() if text is not None}
        for path in paths:
            self._name_of(path)

    def path(self, path: Path, *, is_target: bool) -> str:
        """The path relative to one of the folders, or the name of the file."""
        if is_target:
            return _relative(path, self._target_folders) or path.name
        return self._name_of(path)

    def text(self, text: str) -> str:
        """The text; if it is the absolute path of something that exists, like any path."""
        if len(text) > _LONGEST_PATH or "\0" in text:
            return text
        path = Path(text)
        is_path = path.is_absolute() and len(path.parts) > 2 and os.path.lexists(path)
        return self._name_of(path) if is_path else text

    def checkpoint(self, checkpoint: Checkpoint) -> Any:
        """The data of the checkpoint; a folder on this machine becomes relative, or its name."""
        data = dict(checkpoint.fields)
        if (config := data.get("config")) is not None and _is_local(config):
            data["config"] = f"./{self._name_of(_absolute(config))}"
        if _is_local(checkpoint.source):
            path = _absolute(checkpoint.source)
            whole = is_file(path) and not isinstance(checkpoint, Lora)  # which no name stands for
            data = (None if whole else _on_hub(path, checkpoint)) or {
                **data,
                "source": f"./{self._name_of(path)}",
            }
        data = _with_inner(data, self)
        return data if len(data) > 1 else data["source"]

    def data(self, value: Any) -> Any:
        """A value of an input, with such texts in the place of paths; other values as they are."""
        if isinstance(value, dict):
            return {key: self.data(item) for key, item in value.items()}
        if isinstance(value, list | tuple):
            return [self.data(item) for item in value]
        if isinstance(value, Path):
            return self._name_of(value)
        return self.text(value) if isinstance(value, str) else value

    def written_file(self, path: str, folder: Path) -> str:
        """The path of a written file for a log or table, relative to its folder if it is in it."""
        own = _relative(Path(path), (folder, Path(os.path.realpath(folder))))
        return own or self.path(Path(path), is_target=True)

    def message(self, text: str) -> str:
        """A message with the paths in it relative to the folders, or to the home folder (`~`)."""
        for folder in dict.fromkeys((*self._target_folders, *self._folders)):
            text = _without_prefix(text, str(folder), "")
        home = os.path.expanduser("~")  # noqa: PTH111  Path.home raises without one
        return _without_prefix(text, home, f"~{os.sep}")

    def _name_of(self, path: Path) -> str:
        """The text of a path; two paths outside of all folders have different names."""
        if path not in self._texts:
            text, number = _relative(path, self._folders) or path.name, 1
            taken = set(self._texts.values())
            while text in taken:
                number += 1
                text = f"{path.stem}-{number}{path.suffix}"
            self._texts[path] = text
        return self._texts[path]


_LONGEST_PATH = 4096


def _with_inner(data: Mapping[str, Any], paths: PathFormat) -> dict[str, Any]:
    """The fields of a checkpoint, with plain data for the checkpoints among them."""
    return {
        name: paths.checkpoint(value) if isinstance(value, Checkpoint) else value
        for name, value in data.items()
    }


def _is_local(source: str) -> bool:
    """Whether a source is a path on this machine, and not the name of a checkpoint."""
    return source.startswith((".", "~")) or Path(source).is_absolute()


def _absolute(source: str) -> Path:
    return Path(os.path.abspath(expand_home(source)))  # noqa: PTH100  it removes `..`, too


@cache
def workflows_folder() -> Path:
    """The folder of the shipped workflows and their samples."""
    return Path(str(resources.files("sdgraph.workflows"))).resolve()


def _without_prefix(text: str, folder: str, instead: str) -> str:
    """A text in which the paths that begin with a folder begin with something else."""
    prefix = f"{folder}{os.sep}"
    if prefix not in text:
        return text
    return re.sub(rf"(?<![\w.~/\\-]){re.escape(prefix)}", lambda _: instead, text)


def _relative(path: Path, folders: Iterable[Path]) -> str | None:
    """The path relative to the first folder that it is in, with slashes; None if in none."""
    written = Path(os.path.abspath(path))  # noqa: PTH100  it removes `..`, too
    real = Path(os.path.realpath(written.parent), written.name)
    for candidate in dict.fromkeys((written, real)):
        for folder in folders:
            if candidate.is_relative_to(folder):
                return candidate.relative_to(folder).as_posix()
    return None


def _on_hub(path: Path, checkpoint: Checkpoint) -> dict[str, Any] | None:
    """The data of a checkpoint by its name on the hub, if `path` is in the hub's cache."""
    parts = path.parts
    for index, part in enumerate(parts[:-2]):
        if part.startswith(HUB_FOLDER) and parts[index + 1] == "snapshots":
            name, commit = part.removeprefix(HUB_FOLDER).replace("--", "/"), parts[index + 2]
            data = {**checkpoint.fields, "source": name, "revision": commit}
            below = [*parts[index + 3 :]]
            key = "file" if isinstance(checkpoint, Lora) else "subfolder"
            if below := [*below, *([data[key]] if key in data else [])]:
                data[key] = "/".join(below)
            return data
    return None
