"""The origin of a file: which node of which workflow made it, and from which inputs."""

from __future__ import annotations

import json
from functools import lru_cache
from hashlib import blake2b, file_digest
from pathlib import Path
from stat import S_ISREG
from typing import Any

from sdgraph.errors import MediaError
from sdgraph.files import FileStamp, is_file, open_regular_file
from sdgraph.media import read_provenance, read_sidecar, sidecar_path
from sdgraph.values import is_media_file

_CONTENT = "content"
"""The first word of the origin of a file without a record."""

_INCIDENTAL = ("sdgraph_record", "versions", "altered", "pixels", "file_hash")
"""The entries of a record that are neither the workflow nor its inputs."""


def origin_of(path: Path) -> str | None:
    """A text that is the same for two files if their records say that they have one origin.

    That is: the same node, workflow, inputs, seeds, source files and checkpoints, the same kind of
    device and the same dtype. The versions of libraries may differ. Of a file without a record, it
    is a hash of the file's content.

    Args:
        path: A file of any program, or anything else with a name.

    Returns:
        The text; None if there is no file, if it cannot be read, or if it has changed since its
        record was written.
    """
    sidecar = sidecar_path(path)
    try:
        if not S_ISREG(path.stat().st_mode):
            return None  # reading a device or a pipe might never end
        stamps = FileStamp.of(path), FileStamp.of(sidecar) if is_file(sidecar) else None
    except OSError:
        return None
    if all(stamp.is_settled() for stamp in stamps if stamp is not None):
        return _origin_of_stamped(*stamps)
    return _read_origin(path)


@lru_cache(maxsize=4096)
def _origin_of_stamped(file: FileStamp, sidecar: FileStamp | None) -> str | None:
    """The origin of an unchanged file and its sidecar: files with many numbers are read once."""
    return _read_origin(Path(file.path))


def _read_origin(path: Path) -> str | None:
    try:
        record = _read_record(path)
        if record is None:
            with open_regular_file(path) as file:
                return f"{_CONTENT} {file_digest(file, 'sha256').hexdigest()}"
    except (OSError, MediaError):
        return None
    return origin_in(record)


def _read_record(path: Path) -> str | None:
    return read_provenance(path) if is_media_file(path) else read_sidecar(path)


def is_without_record(path: Path) -> bool:
    """Whether a file that can be read has no record."""
    return (origin_of(path) or "").startswith(_CONTENT)


def origin_in(record: str) -> str:
    """The origin that a record tells, as `origin_of` returns it for a file with this record.

    Args:
        record: The text of a record.
    """
    text = json.dumps(_without_incidentals(record), sort_keys=True)
    return f"record {blake2b(text.encode(), digest_size=16).hexdigest()}"


def _without_incidentals(text: str) -> Any:
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        return text
    if not isinstance(data, dict):
        return text
    device = str(data.get("device", "")).partition(":")[0]
    return {**{name: data[name] for name in data if name not in _INCIDENTAL}, "device": device}
