"""The sha256 of files, remembered while a file does not change."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

from sdgraph.errors import CheckpointError, Problem
from sdgraph.files import FileStamp, hash_files
from sdgraph.memoize import scope_results

from . import file_hash_cache

_MAX_KNOWN = 4096
_known: dict[FileStamp, str] = {}
_lock = threading.Lock()


def file_sha256(path: Path) -> str:
    """The sha256 of a file's content; see `files_sha256`."""
    return files_sha256([path])[0]


def files_sha256(paths: Sequence[Path]) -> list[str]:
    """The sha256 of the content of files, in hexadecimal; remembered on disk for large files.

    Files in a hub cache are not read, because it names them by their sha256. Raises OSError for a
    file that cannot be read.
    """
    memoized = scope_results.get()
    if memoized is None:
        return _hash_files(paths)
    known = memoized.setdefault(files_sha256, {})
    unknown = [path for path in dict.fromkeys(paths) if path not in known]
    known.update(zip(unknown, _hash_files(unknown), strict=True))
    return [known[path] for path in paths]


def known_sha256(paths: Sequence[Path]) -> dict[Path, str]:
    """The sha256 of those files whose hashes are known without reading them.

    Args:
        paths: The files; what is no file is left out.
    """
    targets = {path: path.resolve() for path in paths}
    digests = {path: target.name for path, target in targets.items() if _is_blob(target)}
    others = {path: FileStamp.of_regular(str(target)) for path, target in targets.items()}
    stamps = {path: stamp for path, stamp in others.items() if stamp is not None}
    stored = file_hash_cache.recall_each(stamps.values())
    for path, stamp in stamps.items():
        digest = _known.get(stamp) or stored.get(stamp)
        if digest is not None:
            digests.setdefault(path, digest)
    return digests


def _hash_files(paths: Sequence[Path]) -> list[str]:
    targets = [path.resolve() for path in paths]
    digests = {target: target.name for target in targets if _is_blob(target)}
    others = [target for target in dict.fromkeys(targets) if target not in digests]
    stamps = dict(zip(others, FileStamp.of_each(others), strict=True))
    recalled = {target: _recall(stamp) for target, stamp in stamps.items()}
    digests |= {target: digest for target, digest in recalled.items() if digest is not None}
    unknown = {target: stamp for target, stamp in stamps.items() if target not in digests}
    if unknown:
        digests |= _read_files(unknown)
    return [digests[target] for target in targets]


def _read_files(stamps: Mapping[Path, FileStamp]) -> dict[Path, str]:
    """The hashes of files that were not read before; they are remembered."""
    settled = {target for target, stamp in stamps.items() if stamp.is_settled()}
    # sha256, because the hub names files by it: so the same weights in a folder and in a hub cache
    # are one component.
    digests = dict(zip(stamps, hash_files(stamps), strict=True))
    for target in settled:
        # If the file was written to meanwhile, it will never have this stamp again.
        _remember(stamps[target], digests[target])
        if stamps[target].size >= file_hash_cache.LEAST_BYTES:
            file_hash_cache.keep(stamps[target], digests[target])
    return digests


def refuse_changed_files(hashed_files: Sequence[tuple[Path, str]]) -> None:
    """Does the same as `refuse_changed` for each of these files."""
    paths = [path for path, _ in hashed_files]
    try:
        for path in paths:
            path.stat()
        if _hash_files(paths) == [sha256 for _, sha256 in hashed_files]:
            return
    except OSError:
        pass
    for path, sha256 in hashed_files:
        refuse_changed(path, sha256)


def refuse_changed(path: Path, expected: str) -> None:
    """Raises CheckpointError for a file that is gone or no longer has the sha256 `expected`.

    `expected` is what `file_sha256` returned when the run was planned. While the file has the same
    stamp, this takes one `stat`; a file that was then younger than two seconds is hashed again.
    """
    wanted = f"the file that the run was planned with (sha256 {expected[:12]}…)"
    try:
        path.stat()
        (digest,) = _hash_files([path])
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
