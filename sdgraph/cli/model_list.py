"""The files in the user's model folders, as tables and as plain data."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from sdgraph.errors import CheckpointError, Problem
from sdgraph.formatting import format_bytes, format_count
from sdgraph.models.formats.file_hashes import file_sha256, known_sha256
from sdgraph.models.sources.file_descriptions import FileDescription, describe_files, size_of
from sdgraph.models.sources.model_files import ModelFile, list_model_files, without_links
from sdgraph.models.sources.model_folders import ModelFolder, config_file, model_folders

from .argument_error import ArgumentError
from .report import Section
from .safe_output import escape_controls

_HASH_SHOWN = 10
"""The digits of a hash in a table, by which Civitai finds a file."""


@dataclass(frozen=True)
class ListedFile:
    """A file in a model folder: its path, size and description.

    Args:
        file: The file, or a folder in diffusers' layout.
        description: What its header says.
        size: Its bytes.
        sha256: The hash of its content; "" if that is not known.
    """

    file: ModelFile
    description: FileDescription
    size: int
    sha256: str = ""

    @property
    def order(self) -> tuple[str, str, str]:
        """By kind, base and name; of unknown kind last."""
        kind = self.description.kind
        return (kind.lower() or "\uffff", self.description.base, self.file.name)

    @property
    def problem(self) -> Problem | None:
        """What is wrong with the file; None if it is whole, as far as its header tells."""
        about = self.description
        if not about.problem:
            return None
        return Problem(str(self.file.path), about.problem, "a whole file", about.fix)

    def as_data(self) -> dict[str, Any]:
        """Plain data for JSON; what is not known is null or empty."""
        about = self.description
        return {
            "path": str(self.file.path),
            "name": self.file.name,
            "kind": about.kind or None,
            "base": about.base or None,
            "format": about.format,
            "bytes": self.size,
            "sha256": self.sha256 or None,
            "licence": about.licence or None,
            "trigger_words": list(about.trigger_words),
            "problem": about.problem or None,
        }

    def as_row(self) -> tuple[str, ...]:
        """The cells of a row, in the order of the headers."""
        about = self.description
        in_format = "" if about.format == "safetensors" else f" ({about.format})"
        cells = (
            f"{about.kind or 'unknown'}{in_format}",
            about.base,
            format_bytes(self.size),
            self.file.name.replace("\n", " "),
            self.sha256[:_HASH_SHOWN],
            about.licence,
            ", ".join(about.trigger_words),
            about.problem,
        )
        return tuple(map(escape_controls, cells))


_HEADERS = ("kind", "base", "size", "file", "sha256", "licence", "trigger words", "problem")
_ALWAYS_SHOWN = 4


def model_files(*, hashes: bool) -> list[ListedFile]:
    """The files in the user's model folders, by kind, base and name; headers only are read.

    Args:
        hashes: Whether files whose sha256 is not known are hashed, which reads all of them.

    Raises:
        ArgumentError: `config.toml` is damaged.
    """
    files = without_links(list_model_files(_folders()))
    plain = [file.path for file in files if not file.is_pipeline]
    known = known_sha256(plain)
    for path in plain if hashes else ():
        if path not in known:
            try:
                known[path] = file_sha256(path)
            except OSError:  # its description says that it cannot be read
                continue
    descriptions = describe_files(files)
    listed = [
        ListedFile(file, about, size_of(file), known.get(file.path, ""))
        for file, about in zip(files, descriptions, strict=True)
    ]
    return sorted(listed, key=lambda one: one.order)


def _folders() -> tuple[ModelFolder, ...]:
    """The user's model folders; raises ArgumentError if `config.toml` is damaged."""
    try:
        return model_folders()
    except CheckpointError as error:
        raise ArgumentError(error.problems) from error


def missing_folders() -> list[Problem]:
    """The problems of model folders that are named and missing."""
    return [problem for folder in _folders() if (problem := folder.problem) is not None]


def list_folders(files: Sequence[ListedFile]) -> Iterator[Section]:
    """A table for each model folder that is there, or a title that says how to name one.

    Args:
        files: The files in all of them.
    """
    folders = _folders()
    if not folders:
        example = 'models = ["~/ComfyUI/models"]'
        title = f"in model folders: none; name yours in {config_file()}: {example}"
        yield Section("files", title, (), (), ())
    listed: set[ModelFile] = set()
    for folder in folders:
        if folder.problem is None:
            own = [one for one in files if one.file.root in folder.roots and one.file not in listed]
            listed.update(one.file for one in own)
            yield _table(folder, own)


def _table(folder: ModelFolder, files: Sequence[ListedFile]) -> Section:
    rows = [one.as_row() for one in files]
    columns = [
        number
        for number, _ in enumerate(_HEADERS)
        if number < _ALWAYS_SHOWN or any(row[number] for row in rows)
    ]
    count, size = format_count(len(files), "file"), sum(one.size for one in files)
    title = f"in {folder.path} ({count}, {format_bytes(size)})"
    headers = tuple(_HEADERS[number] for number in columns)
    cells = tuple(tuple(row[number] for number in columns) for row in rows)
    return Section("files", title, headers, cells, tuple(one.as_data() for one in files))
