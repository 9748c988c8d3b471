"""Sidecars: a second file that says how a file was made, for formats that cannot hold it.

A file with the name of a sidecar that sdgraph did not write is never changed or removed.
"""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import Any

from sdgraph.files import atomic_write, is_there, open_regular_file, raise_media_error, read_text

from .metadata import escape_surrogates

SUFFIX = ".sdgraph.json"

MAX_RECORD_BYTES = 32 * 2**20
"""The most bytes of a sidecar, which holds one record."""

_KEYS = {"file", "sha256", "record"}


def sidecar_path(path: Path) -> Path:
    """The path of a file's sidecar: `picture.bmp.sdgraph.json`."""
    return path.with_name(path.name + SUFFIX)


def is_sidecar(path: str | Path) -> bool:
    """Whether a file has the name of a sidecar."""
    return str(path).endswith(SUFFIX)


def write_sidecar(path: str | Path, provenance: str | None) -> None:
    """Writes how a file was made into its sidecar.

    Call it after the file is written, because the sidecar contains the hash of the file.

    Args:
        path: The file, not the sidecar.
        provenance: The text to write; None removes the sidecar of an earlier file at this path.

    Raises:
        MediaError: The sidecar cannot be written or removed, or there is a file in its place that
            sdgraph did not write.
    """
    path = Path(path)
    if provenance is None:
        _remove_own_sidecar(path)
        return
    refuse_foreign_sidecar(path)
    data = {"file": path.name, "sha256": _sha256(path), "record": _parse_object(provenance)}
    _write(sidecar_path(path), data)


def refuse_foreign_sidecar(path: str | Path) -> None:
    """Raises MediaError if there is a file in the place of a sidecar that sdgraph did not write.

    Args:
        path: The file that the sidecar would belong to.
    """
    if has_foreign_sidecar(path):
        sidecar = sidecar_path(Path(path))
        found, wanted = "a file that sdgraph did not write", f"a place for the record of {path}"
        raise_media_error(sidecar, found, wanted, "rename it, or name another file")


def has_foreign_sidecar(path: str | Path) -> bool:
    """Whether there is something in the place of a file's sidecar that sdgraph did not write."""
    sidecar = sidecar_path(Path(path))
    return os.path.lexists(sidecar) and _read_own(sidecar) is None


def move_sidecar(file: Path, path: Path) -> None:
    """Moves the sidecar of a file that was given another path.

    If the file has none, a sidecar that belongs to an earlier file at the new path is removed.

    Args:
        file: The earlier path of the file.
        path: Its new path.

    Raises:
        MediaError: The sidecar cannot be written, or there is a file in its place that sdgraph did
            not write.
    """
    data = _read_own(sidecar_path(file))
    if data is None:
        _remove_own_sidecar(path)
        return
    refuse_foreign_sidecar(path)
    _write(sidecar_path(path), {**data, "file": path.name})


def read_sidecar(path: str | Path) -> str | None:
    """The text that `write_sidecar` stored for a file; None if it has no sidecar.

    Raises:
        MediaError: The sidecar is damaged, or the file has changed since it was written.
    """
    path = Path(path)
    sidecar = sidecar_path(path)
    if not is_there(sidecar):
        return None
    try:
        data = json.loads(read_text(sidecar, MAX_RECORD_BYTES))
        record, sha256 = data["record"], data["sha256"]
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        found = f"a damaged file ({error})"
        raise_media_error(sidecar, found, "a sidecar of sdgraph", "remove it", error)
    if sha256 != _sha256(path):
        fix = f"remove {sidecar.name}; it belongs to the earlier content of the file"
        found = "a file that has changed since its sidecar was written"
        raise_media_error(path, found, "the same file", fix)
    if isinstance(record, str):
        return record
    return escape_surrogates(json.dumps(record, ensure_ascii=False))


def _read_own(sidecar: Path) -> dict[str, Any] | None:
    """The data of a sidecar; None if there is none, or a file that sdgraph did not write."""
    try:
        data = json.loads(read_text(sidecar, MAX_RECORD_BYTES))
    except (OSError, ValueError, RecursionError):
        return None
    is_own = isinstance(data, dict) and set(data) == _KEYS and isinstance(data["file"], str)
    return data if is_own and len(str(data["sha256"])) == 64 else None


def _remove_own_sidecar(path: Path) -> None:
    """Removes the sidecar of an earlier file at a path, if sdgraph wrote it."""
    sidecar = sidecar_path(path)
    if not os.path.lexists(sidecar) or _read_own(sidecar) is None:
        return
    try:
        sidecar.unlink(missing_ok=True)
    except OSError as error:
        fix = "remove it yourself: it belongs to the file that was here before"
        raise_media_error(sidecar, f"it cannot be removed: {error}", "no sidecar", fix, error)


def _write(sidecar: Path, data: dict[str, Any]) -> None:
    with atomic_write(sidecar) as temporary:
        text = json.dumps(data, ensure_ascii=False, indent=1)
        temporary.write_text(escape_surrogates(text), "utf-8")


def _parse_object(text: str) -> Any:
    """The JSON object in a text, so that it is readable in the sidecar; any other text as it is."""
    text = escape_surrogates(text)
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return text
    return data if isinstance(data, dict) else text


def _sha256(path: Path) -> str:
    with open_regular_file(path) as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
