"""Sidecars: a second file that says how a file was made, for formats that cannot hold it."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from sdgraph.files import atomic_write, open_regular_file, raise_media_error, read_text

from .metadata import escape_surrogates

SUFFIX = ".sdgraph.json"

MAX_RECORD_BYTES = 32 * 2**20
"""The most bytes of a sidecar, which holds one record."""


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
        MediaError: The sidecar cannot be written or removed.
    """
    path = Path(path)
    sidecar = sidecar_path(path)
    if provenance is None:
        try:
            sidecar.unlink(missing_ok=True)
        except OSError as error:
            fix = "remove it yourself: it belongs to the file that was here before"
            raise_media_error(sidecar, f"it cannot be removed: {error}", "no sidecar", fix, error)
        return
    data = {"file": path.name, "sha256": _sha256(path), "record": _parse_object(provenance)}
    with atomic_write(sidecar) as written:
        text = json.dumps(data, ensure_ascii=False, indent=1)
        written.write_text(escape_surrogates(text), "utf-8")


def read_sidecar(path: str | Path) -> str | None:
    """The text that `write_sidecar` stored for a file; None if it has no sidecar.

    Raises:
        MediaError: The sidecar is damaged, or the file has changed since it was written.
    """
    path = Path(path)
    sidecar = sidecar_path(path)
    try:
        data = json.loads(read_text(sidecar, MAX_RECORD_BYTES))
        record, sha256 = data["record"], data["sha256"]
    except FileNotFoundError:
        return None
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
