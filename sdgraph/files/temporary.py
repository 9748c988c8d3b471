"""Names of temporary files and folders next to a target, and what killed processes left of them.

A name says which process made it: `.sdgraph-MACHINEPROCESSRANDOM`, all of them hexadecimal. So a
later process knows what nobody will finish, and removes it.
"""

from __future__ import annotations

import os
import platform
import re
import shutil
import time
from contextlib import suppress
from functools import cache
from hashlib import blake2b
from pathlib import Path
from secrets import token_hex

TEMPORARY_PREFIX = ".sdgraph-"
"""What the names of temporary files and folders next to a target begin with."""

_NAME = re.compile(
    rf"{re.escape(TEMPORARY_PREFIX)}(?P<machine>[0-9a-f]{{8}})(?P<process>[0-9a-f]{{8}})[0-9a-f]{{16}}"
    r"(?:\.[^/]*)?"
)
_OLD = 7 * 24 * 3600
"""Seconds after which what another machine has left in a shared folder is taken to be abandoned."""

_cleaned: set[str] = set()


def temporary_name(suffix: str = "") -> str:
    """A new hidden name for a file or folder that this process will rename or remove.

    Args:
        suffix: What the name ends in, such as ".png".
    """
    return f"{TEMPORARY_PREFIX}{_machine()}{os.getpid():08x}{token_hex(8)}{suffix}"


def remove_leftovers(folder: Path) -> None:
    """Removes the temporary files and folders in a folder whose processes are gone.

    A process looks into a folder once. What cannot be removed stays.

    Args:
        folder: Where files are written.
    """
    key = os.path.realpath(folder)
    if key in _cleaned:
        return
    _cleaned.add(key)
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = _NAME.fullmatch(entry.name)
            if match and _is_abandoned(match["machine"], int(match["process"], 16), entry):
                with suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        shutil.rmtree(entry.path)
                    else:
                        os.unlink(entry.path)  # noqa: PTH108  an entry has no Path


def _is_abandoned(machine: str, process: int, entry: os.DirEntry[str]) -> bool:
    if machine != _machine():
        return time.time() - entry.stat(follow_symlinks=False).st_mtime > _OLD
    if os.name != "posix" or process <= 0:
        return False  # on Windows, os.kill would end the process
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return True
    except (OSError, OverflowError):
        return False
    return False


@cache
def _machine() -> str:
    """The scope in which process ids are unique: a host since its boot, and a namespace of ids."""
    parts = [platform.node()]
    with suppress(OSError):
        parts.append(os.readlink("/proc/self/ns/pid"))  # noqa: PTH115  one text
        parts.append(Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii"))
    return blake2b("\0".join(parts).encode(), digest_size=4).hexdigest()
