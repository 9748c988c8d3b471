"""The files of a repository on the hub, with their sizes, and which of them are here."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sdgraph.errors import Problem
from sdgraph.formatting import format_bytes

from .hub_errors import hub_error

SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HubFile:
    """A file in a repository on the hub.

    Args:
        size: Its bytes.
        sha256: The hash of its content; None for a small file that is kept in git itself.
    """

    size: int
    sha256: str | None = None


@dataclass(frozen=True)
class HubListing:
    """The files of a repository at one revision.

    Args:
        source: The name of the repository.
        revision: The branch, tag or commit that was asked for; None is the main branch.
        commit: The commit that this is.
        files: The files by their paths in the repository.
    """

    source: str
    revision: str | None
    commit: str
    files: Mapping[str, HubFile]

    @property
    def folder(self) -> Path:
        """The folder of the repository in the hub's cache; it need not exist."""
        return cache_folder() / f"models--{self.source.replace('/', '--')}"

    @property
    def snapshot(self) -> Path:
        """The folder in the hub's cache with the files of this commit; it need not exist."""
        return self.folder / "snapshots" / self.commit

    def is_here(self, name: str) -> bool:
        """Whether the whole content of a file is on this disk.

        Args:
            name: Its path in the repository.
        """
        sha256 = self.files[name].sha256
        if (self.snapshot / name).exists():
            return True
        return sha256 is not None and (self.folder / "blobs" / sha256).exists()

    def missing_bytes(self, name: str) -> int:
        """How many bytes of a file must still be downloaded.

        Args:
            name: Its path in the repository.
        """
        file = self.files[name]
        if self.is_here(name):
            return 0
        if file.sha256 is None:
            return file.size
        unfinished = incomplete_path(self.folder / "blobs" / file.sha256)
        return file.size - min(file.size, _size_of(unfinished))

    def bytes_to_fetch(self, names: Iterable[str]) -> int:
        """How many bytes of some files must still be downloaded.

        Args:
            names: Their paths in the repository.
        """
        return sum(map(self.missing_bytes, names))


def cache_folder() -> Path:
    """The folder of the hub's cache; it need not exist."""
    from huggingface_hub import constants

    return Path(constants.HF_HUB_CACHE)


def list_hub_files(source: str, revision: str | None) -> HubListing:
    """The files that a repository has at a revision.

    Args:
        source: The name of the repository.
        revision: A branch, tag or commit; None is the main branch.

    Raises:
        CheckpointError: There is no such repository or revision, or the hub gives no answer.
    """
    from huggingface_hub import HfApi

    try:
        api = HfApi()
        commit = api.repo_info(source, revision=revision).sha
        entries = api.list_repo_tree(source, recursive=True, revision=commit)
        files = {entry.path: _hub_file(entry) for entry in entries if hasattr(entry, "size")}
    except Exception as error:
        raise hub_error(source, revision, error) from error
    return HubListing(source, revision, str(commit), files)


def _hub_file(entry: Any) -> HubFile:
    sha256 = str(entry.lfs.sha256) if entry.lfs is not None else ""
    return HubFile(int(entry.size or 0), sha256 if SHA256.fullmatch(sha256) else None)


def interrupted_problems() -> list[Problem]:
    """A problem for each repository of which a download was interrupted."""
    found: dict[str, int] = {}
    for path in sorted(cache_folder().glob("models--*/blobs/*.incomplete")):
        source = path.parts[-3].removeprefix("models--").replace("--", "/", 1)
        found[source] = found.get(source, 0) + _size_of(path)
    return [
        Problem(
            source,
            f"a download of it was interrupted; {format_bytes(size)} of unfinished files are here",
            "whole files",
            f"`sdgraph models fetch {source}` goes on; `sdgraph models remove {source}` removes it",
        )
        for source, size in found.items()
    ]


def incomplete_path(blob: Path) -> Path:
    """Where what was downloaded of a file is kept until all of it is here.

    Args:
        blob: The path of the whole file.
    """
    return blob.with_name(f"{blob.name}.incomplete")


def _size_of(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0
