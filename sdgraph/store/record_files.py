"""The files in the folder of a store: records, and what a killed process has left."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple, TypeAlias

_FILE_NAME = re.compile(r"([0-9a-f]{32}|\.sdgraph-(?:[0-9a-f]{16}){1,2})\.safetensors")

_PIECE = 2**20
"""The bytes of a call: one call of 30 MB took ten times as long as 30 of 1 MB on a Linux 6.18."""


Key: TypeAlias = bytes  # `bytes` is a field's name below


class RecordFile(NamedTuple):
    """A file of the store, from the listing of its folder, or a packed record."""

    path: str
    bytes: int
    used: float
    """When it was last used, in seconds since 1970."""
    packed_key: Key = b""
    """The key of a packed record, which has no file of its own (see `packed_records`)."""
    remake_seconds: float | None = None
    """How long it takes to make again, if that is known without reading it."""


def list_files(folder: Path) -> Iterator[RecordFile]:
    """The store's own files, recognised by their names; other files are ignored."""
    for subfolder in _list_folder(folder):
        if len(subfolder.name) != 2:
            continue
        for file in _list_folder(subfolder.path):
            if _FILE_NAME.fullmatch(file.name):
                try:
                    status = file.stat(follow_symlinks=False)
                except OSError:
                    continue  # another process has removed it
                yield RecordFile(file.path, status.st_size, status.st_mtime)


def _list_folder(folder: str | Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return list(entries)
    except OSError:
        return []


def is_record(file: RecordFile) -> bool:
    """Whether a file is a record; the others were left by a process that was killed."""
    return not os.path.basename(file.path).startswith(".")  # noqa: PTH119  a thousand paths


def touch(path: str) -> None:
    """Marks a record as used now, if it is writable."""
    with suppress(OSError):
        os.utime(path)


def remove(path: str) -> bool:
    """Removes a file; returns whether it could."""
    try:
        Path(path).unlink()
    except OSError:
        return False
    return True


def write_chunks(path: Path, chunks: Iterable[bytes | memoryview]) -> None:
    """Writes chunks to a file one after another, without a copy of them together."""
    with path.open("wb") as file:
        for chunk in chunks:
            view = memoryview(chunk)
            for begin in range(0, len(view), _PIECE):
                file.write(view[begin : begin + _PIECE])
