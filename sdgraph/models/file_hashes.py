"""Hashes of files and JSON read from them, each remembered while its file stays as it is.

Weight files are refused here: those cut short or damaged, before a run is planned with them, and
those that changed since, before they are loaded.
"""

from __future__ import annotations

import hashlib
import json
import threading
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from sdgraph.errors import CheckpointError, Problem
from sdgraph.memoize import seen_once

from . import file_hash_cache
from .file_hash_cache import Stamp

_MOST_KNOWN = 4096
_known: dict[Stamp, str] = {}
_lock = threading.Lock()

_LONGEST_HEADER = 100_000_000
_LFS_POINTER = b"version https://git-lfs"


@seen_once
def content(path: Path) -> str:
    """The sha256 of a file's content, in hexadecimal; remembered on disk where it is large.

    A hub cache names its blobs by theirs, so nothing is read. Raises OSError for a file that
    cannot be read.
    """
    target = path.resolve()
    if _is_blob(target):
        return target.name
    stamp = Stamp.of(target)
    digest = _recall(stamp)
    if digest is None:
        settled = stamp.is_settled()
        # sha256 because the hub names blobs by it: the same weights in a folder and in a hub
        # cache are then one component.
        with target.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
        if settled:
            # If it was written to since, it no longer has this stamp, and never will again.
            _hold(stamp, digest)
            if stamp.size >= file_hash_cache.LEAST_BYTES:
                file_hash_cache.keep(stamp, digest)
    return digest


def refuse_changed(path: Path, expected: str) -> None:
    """Raises CheckpointError for a file that is gone or no longer has the content `expected`.

    `expected` is what `content` gave when the run was planned. While the file's size, times and
    inode are the same, it costs a stat; a file that was younger than two seconds is hashed again.
    """
    wanted = f"the file that the run was planned with (sha256 {expected[:12]}…)"
    try:
        path.stat()
        found = content(path)
    except (FileNotFoundError, NotADirectoryError):
        fix = "put it back, or name another checkpoint, and run again"
        _refuse(path, "it is gone since the run was planned", wanted, fix)
    except OSError as error:
        _refuse_unreadable(path, wanted, error)
    if found != expected:
        was = f"it has changed since the run was planned (sha256 {found[:12]}…)"
        _refuse(path, was, wanted, "run again: the new plan takes the file as it is now")


def refuse_damaged(path: Path) -> None:
    """Raises CheckpointError for a safetensors file that is cut short or has a damaged header.

    Reads the header alone: the bytes of the tensors may be anything.
    """
    try:
        _refuse_broken(path, Stamp.of(path))
    except OSError as error:
        _refuse_unreadable(path, "a safetensors file", error)


# What passes is remembered, what raises is not.
@lru_cache(maxsize=_MOST_KNOWN)
def _refuse_broken(path: Path, stamp: Stamp) -> None:
    with path.open("rb") as file:
        _check(path, file, stamp.size)


def _check(path: Path, file: BinaryIO, size: int) -> None:
    """Refuses what breaks the layout: header's length (8 bytes), header (JSON), tensors."""
    start = file.read(len(_LFS_POINTER))
    if start == _LFS_POINTER:
        found = "a pointer of Git LFS in place of the file"
        _refuse(path, found, "a safetensors file", "fetch the file itself with `git lfs pull`")
    if size < 8:
        _refuse_size(path, size, 8, "at least ")
    length = int.from_bytes(start[:8], "little")
    if length > _LONGEST_HEADER:
        _refuse_header(path, f"it claims a length of {length} bytes")
    if size < 8 + length:
        _refuse_size(path, size, 8 + length, "at least ")
    file.seek(8)
    header = file.read(length)
    try:
        tensors = json.loads(header.decode("utf-8"))
        ends = _end_of_tensors(tensors)
    except (ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
        _refuse_header(path, str(error) or type(error).__name__, error)
    if size != 8 + length + ends:
        _refuse_size(path, size, 8 + length + ends)


def _end_of_tensors(header: Mapping[str, Any]) -> int:
    """The bytes that all tensors take together; they lie one behind the other, without gaps."""
    every = (tensor for name, tensor in header.items() if name != "__metadata__")
    end = 0
    for begins, ends in sorted(tuple(tensor["data_offsets"]) for tensor in every):
        if begins != end or ends < begins:
            raise ValueError(f"a tensor lies at {begins} to {ends}, behind one that ends at {end}")
        end = ends
    if type(end) is not int:
        raise ValueError(f"a tensor ends at {end!r}")
    return end


def _refuse_header(path: Path, reason: str, cause: Exception | None = None) -> NoReturn:
    found = f"its header cannot be read: {reason}"
    _refuse(path, found, "a safetensors file", "download or copy it again", cause)


def _refuse_size(path: Path, found: int, wanted: int, bound: str = "") -> NoReturn:
    what = "it is cut short" if found < wanted else "it is too long"
    told = f"{found} bytes: {what}"
    _refuse(path, told, f"{bound}{wanted} bytes", "download or copy it again")


def _refuse_unreadable(path: Path, wanted: str, error: Exception) -> NoReturn:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    fix = "give yourself the right to read it, or copy it again"
    _refuse(path, f"it cannot be read: {reason}", wanted, fix, error)


def _refuse(
    path: Path, found: str, wanted: str, fix: str, cause: Exception | None = None
) -> NoReturn:
    raise CheckpointError(Problem(str(path), found, wanted, fix)) from cause


def _is_blob(target: Path) -> bool:
    """Whether a hub cache named this file by its sha256; small files have shorter names there."""
    return target.parent.name == "blobs" and len(target.name) == 64


def _recall(stamp: Stamp) -> str | None:
    """The hash of the file with this stamp, from this process or from disk."""
    digest = _known.get(stamp)
    if digest is None and stamp.size >= file_hash_cache.LEAST_BYTES:
        digest = file_hash_cache.recall(stamp)
        if digest is not None:
            _hold(stamp, digest)
    return digest


def _hold(stamp: Stamp, digest: str) -> None:
    with _lock:
        _known[stamp] = digest
        while len(_known) > _MOST_KNOWN:
            del _known[next(iter(_known))]


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
