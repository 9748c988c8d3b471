"""The version of the keys in a store's folder; records under keys of an older one are dropped.

The version is written before the first record. So a folder with records and no version is an old
one, also while another thread or process puts the first record into a new folder.
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from sdgraph.files import read_text

KEYS_VERSION = 4
"""Increased whenever old records cannot be found or used any more, so that they are removed.

Keys of version 1 contained the path of a node's module, those of 2 the name of its pack; since 3 a
record says its key; the contents of pictures in keys of version 3 had another hash.
"""

NAME = ".keys"
_UNWRITTEN = 1
"""The version of folders in which none is written."""


def stored_version(folder: Path) -> int | None:
    """The version of the keys in a folder; None if it holds no records yet.

    Args:
        folder: The folder of a store.
    """
    version = _read(folder)
    if version is None and _has_records(folder):
        # If another process began the folder meanwhile, the version was there before its record.
        version = _read(folder) or _UNWRITTEN
    return version


def write_version(folder: Path) -> None:
    """Writes the present version, where that is possible; makes the folder if it is not there."""
    with suppress(OSError):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / NAME).write_text(f"{KEYS_VERSION}\n")


def _read(folder: Path) -> int | None:
    """The version that is written; the present one if it cannot be read, None if there is none."""
    try:
        return int(read_text(folder / NAME, 100))
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        return KEYS_VERSION


def _has_records(folder: Path) -> bool:
    """Whether there is more in a folder than what the store notes for itself."""
    try:
        return any(not name.startswith(".") for name in os.listdir(folder))
    except OSError:
        return False
