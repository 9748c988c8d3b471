"""Hashes of files and JSON read from them, each remembered while its file stays as it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

from .errors import CheckpointError


def content(path: Path) -> str:
    """The hash of a file's content; a hub cache names its blobs by theirs, so nothing is read."""
    target = path.resolve()
    if target.parent.name == "blobs" and len(target.name) == 64:
        return target.name
    status = target.stat()
    when = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return _hashed(str(target), status.st_size, when)


@lru_cache(maxsize=4096)
def _hashed(path: str, size: int, when: tuple[int, ...]) -> str:
    # sha256 because the hub names blobs by it: the same weights in a folder and in a hub cache
    # are then one component.
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_json(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file; raises CheckpointError where there is none."""
    status = path.stat()
    when = (status.st_mtime_ns, status.st_ctime_ns, status.st_ino)
    return _read_json(str(path), status.st_size, when)


@lru_cache(maxsize=1024)
def _read_json(path: str, size: int, when: tuple[int, ...]) -> Mapping[str, Any]:
    try:
        data = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise CheckpointError(
            f"{path}: not readable as JSON ({error}); the file is damaged"
        ) from None
    if not isinstance(data, dict):
        raise CheckpointError(f"{path}: found {type(data).__name__}, wanted a JSON object")
    return data
