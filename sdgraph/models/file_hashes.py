"""The sha256 of files and the JSON in them, remembered while a file does not change."""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from sdgraph.errors import CheckpointError, Problem
from sdgraph.files import FileStamp, open_regular_file, read_text
from sdgraph.memoize import scope_results

from . import file_hash_cache

MAX_CONFIG_BYTES = 64 * 2**20
"""The largest JSON file that is read; the indexes of the largest models have a few megabytes."""

_MAX_KNOWN = 4096
_known: dict[FileStamp, str] = {}
_lock = threading.Lock()


def file_sha256(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal; remembered on disk if the file is large.

    Files in a hub cache are not read, because it names them by their sha256. Raises OSError for a
    file that cannot be read.
    """
    memoized = scope_results.get()
    if memoized is None:
        return _sha256(path)
    key = (file_sha256, path)
    digest: str | None = memoized.get(key)
    if digest is None:
        digest = memoized[key] = _sha256(path)
    return digest


def _sha256(path: Path) -> str:
    target = path.resolve()
    if _is_blob(target):
        return target.name
    stamp = FileStamp.of(target)
    digest = _recall(stamp)
    if digest is None:
        settled = stamp.is_settled()
        # sha256, because the hub names files by it: so the same weights in a folder and in a hub
        # cache are one component.
        with open_regular_file(target) as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if settled:
            # If the file was written to meanwhile, it will never have this stamp again.
            _remember(stamp, digest)
            if stamp.size >= file_hash_cache.LEAST_BYTES:
                file_hash_cache.keep(stamp, digest)
    return digest


def refuse_changed(path: Path, expected: str) -> None:
    """Raises CheckpointError for a file that is gone or no longer has the sha256 `expected`.

    `expected` is what `file_sha256` returned when the run was planned. While the file has the same
    stamp, this takes one `stat`; a file that was then younger than two seconds is hashed again.
    """
    wanted = f"the file that the run was planned with (sha256 {expected[:12]}…)"
    try:
        path.stat()
        digest = _sha256(path)
    except (FileNotFoundError, NotADirectoryError):
        fix = "put it back, or name another checkpoint, and run again"
        _refuse(path, "it was removed after the run was planned", wanted, fix)
    except OSError as error:
        refuse_unreadable(path, wanted, error)
    if digest != expected:
        found = f"it has changed since the run was planned (sha256 {digest[:12]}…)"
        _refuse(path, found, wanted, "run again: the new plan uses the file as it is now")


def refuse_unreadable(path: Path, wanted: str, error: OSError) -> NoReturn:
    """Raises the CheckpointError for a file that cannot be read."""
    fix = "change its permissions, or copy it again"
    _refuse(path, f"it cannot be read: {error.strerror or error}", wanted, fix, error)


def _refuse(
    path: Path, found: str, wanted: str, fix: str, cause: Exception | None = None
) -> NoReturn:
    raise CheckpointError(Problem(str(path), found, wanted, fix)) from cause


def _is_blob(target: Path) -> bool:
    """Whether this is a file in a hub cache with its sha256 as its name (only large files are)."""
    return target.parent.name == "blobs" and len(target.name) == 64


def _recall(stamp: FileStamp) -> str | None:
    """The hash of the file with this stamp, from this process or from disk."""
    digest = _known.get(stamp)
    if digest is None and stamp.size >= file_hash_cache.LEAST_BYTES:
        digest = file_hash_cache.recall(stamp)
        if digest is not None:
            _remember(stamp, digest)
    return digest


def _remember(stamp: FileStamp, digest: str) -> None:
    with _lock:
        _known[stamp] = digest
        while len(_known) > _MAX_KNOWN:
            del _known[next(iter(_known))]


MAX_JSON_BYTES = 64 * 2**20
"""The most bytes of a JSON file in a checkpoint; a large vocabulary has a few million."""


def read_json(path: Path) -> Mapping[str, Any]:
    """The JSON object in a file; raises CheckpointError if it holds anything else."""
    return _read_json(path, FileStamp.of(path))


@lru_cache(maxsize=1024)
def _read_json(path: Path, stamp: FileStamp) -> Mapping[str, Any]:
    if stamp.size > MAX_CONFIG_BYTES:
        found, wanted = f"{stamp.size} bytes", f"a config of at most {MAX_CONFIG_BYTES} bytes"
        raise CheckpointError(Problem(str(path), found, wanted, "copy it again"))
    try:
        data = json.loads(read_text(path, MAX_JSON_BYTES))
    except (OSError, ValueError, RecursionError) as error:
        found, fix = f"not readable as JSON ({error})", "the file is damaged: copy it again"
        raise CheckpointError(Problem(str(path), found, "a JSON object", fix)) from None
    if not isinstance(data, dict):
        raise CheckpointError(Problem(str(path), type(data).__name__, "a JSON object"))
    return data
