"""What the headers of model files say, stored on disk between runs by the stamps of the files.

It is one JSON file. Nothing depends on it: if it cannot be read or written, headers are read again.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Iterable, Mapping
from hashlib import blake2b
from pathlib import Path
from typing import Any

from sdgraph.errors import SdgraphError
from sdgraph.files import FileStamp, atomic_write, folder_stamp, sdgraph_home

LIMIT = 20_000
"""How many files are remembered; the oldest entries go first."""

_NAME = "model_files.json"

_log = logging.getLogger(__name__)


def read_stored(stamps: Iterable[FileStamp]) -> dict[FileStamp, dict[str, Any]]:
    """What was stored about the files that still have these stamps.

    Args:
        stamps: The stamps of files.
    """
    wanted = list(stamps)
    stored = _read() if wanted else {}
    known: dict[FileStamp, dict[str, Any]] = {}
    for stamp in wanted:
        match stored.get(stamp.path):
            case [times, dict(data)] if times == [*stamp[1:]]:
                known[stamp] = data
    return known


def store(described: Mapping[FileStamp, Mapping[str, Any]]) -> None:
    """Stores descriptions of files, which later runs read by the stamps of the files.

    Args:
        described: The description of each file, as plain data, by its stamp.
    """
    entries = _read()
    for stamp, data in described.items():
        entries.pop(stamp.path, None)
        entries[stamp.path] = [[*stamp[1:]], dict(data)]
    for oldest in list(entries)[: max(0, len(entries) - LIMIT)]:
        del entries[oldest]
    try:
        with atomic_write(sdgraph_home() / _NAME, durable=False) as path:
            text = json.dumps({"version": _version(), "files": entries})
            path.write_text(text, "utf-8", errors="surrogateescape")
    except (OSError, RuntimeError, SdgraphError, ValueError) as error:
        _log.debug("what headers say cannot be stored: %s", error)


def _read() -> dict[str, Any]:
    try:
        text = (sdgraph_home() / _NAME).read_text("utf-8", errors="surrogateescape")
        stored = json.loads(text)
        if stored["version"] == _version():
            return dict(stored["files"])
    except (OSError, RuntimeError, ValueError, TypeError, KeyError, RecursionError) as error:
        _log.debug("what headers say cannot be read: %s", error)
    return {}


def _version() -> str:
    """A string that changes with the two packages whose code tells what a header says."""
    models = Path(__file__).parents[1]
    try:
        return folder_stamp(models / "formats") + folder_stamp(models / "sources")
    except OSError:  # the package is in an archive
        return blake2b(__file__.encode("utf-8", "surrogateescape"), digest_size=16).hexdigest()
