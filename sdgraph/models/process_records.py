"""Which models each running process holds in memory, in small files that other processes read.

A cache that holds components writes one record into the user's sdgraph folder, and replaces it
whenever what it holds changes. The record is removed when nothing is held any more and when the
process ends. One that a killed process has left is recognised, because no process with its id and
its start time runs, and is removed by the next reader. Nothing depends on records: where none can
be written, there are none. There are none on Windows either, where asking whether a process runs
can end it.
"""

from __future__ import annotations

import json
import os
import platform
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from operator import attrgetter
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

from sdgraph.files import sdgraph_home

from .component import LoadedComponent

_VERSION = 1
_PARTIAL = ".part"
"""The suffix of a record that is being written."""

_row = attrgetter("name", "bytes", "where", "why")
"""What a record says of a `LoadedComponent`."""


class HeldComponent(NamedTuple):
    """One component in the memory of one process."""

    name: str
    bytes: int
    where: str
    """The device it is on, or "host"."""
    why: str
    """The reason why it is held, in words."""
    process: int
    """The process's id."""


class ProcessRecord:
    """The record of what one cache of this process holds; a `watch` of `ModelCache`."""

    def __init__(self) -> None:
        self._written: list[tuple[Any, ...]] = []
        self._path: Path | None = None
        self._process: dict[str, object] = {"process": 0}

    def __call__(self, components: Iterable[LoadedComponent]) -> None:
        """Writes what is held now in place of what was written before.

        No failure of the disk is raised.
        """
        # Sorted by name, because the order of use changes with every node.
        rows = sorted(map(_row, components))
        # A forked process inherits this object, but not the record: that is its parent's.
        if self._process["process"] != os.getpid():
            self._process, self._path, self._written = _this_process(), None, []
        if rows == self._written or os.name != "posix":
            return
        self._written = rows
        # A user without a home folder has a RuntimeError.
        with suppress(OSError, RuntimeError):
            self._write(rows)

    def _write(self, rows: list[tuple[Any, ...]]) -> None:
        if self._path is None:
            folder = _folder()
            folder.mkdir(parents=True, exist_ok=True)
            self._path = folder / f"{os.getpid()}-{token_hex(4)}.json"
            weakref.finalize(self, _remove, os.getpid(), self._path)
        if not rows:
            self._path.unlink(missing_ok=True)
            return
        text = json.dumps({**self._process, "components": rows})
        partial = self._path.with_suffix(_PARTIAL)
        try:
            partial.write_text(text, encoding="ascii")
            partial.replace(self._path)
        except OSError:
            # The old record is no longer true.
            self._path.unlink(missing_ok=True)
            partial.unlink(missing_ok=True)
            raise


def held_components() -> tuple[HeldComponent, ...]:
    """What the processes of this user hold on this machine, in the order of their ids.

    Removes the records of processes that have ended.
    """
    components: list[HeldComponent] = []
    with suppress(OSError, RuntimeError):
        for path in sorted(_folder().iterdir()):
            components += _read_record(path)
    return tuple(sorted(components, key=lambda component: component.process))


def _read_record(path: Path) -> Iterator[HeldComponent]:
    """The components of one record; none where its process is gone, and the record is removed."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
        # A record of a newer version may say anything, and only this machine's ids mean something.
        if (record["version"], record["machine"]) != (_VERSION, _machine()):
            return
        pid = int(record["process"])
        components = [
            HeldComponent(str(name), int(size), str(where), str(why), pid)
            for name, size, where, why in record["components"]
        ]
        alive = _is_alive(pid) and _started(pid) == record["started"]
    except (OSError, ValueError, TypeError, KeyError):
        return
    if not alive:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    elif path.suffix != _PARTIAL:
        yield from components


def _this_process() -> dict[str, object]:
    """What a record says of the process that writes it."""
    pid = os.getpid()
    return {
        "version": _VERSION,
        "machine": _machine(),
        "process": pid,
        "started": _started(pid),
    }


def _is_alive(pid: int) -> bool:
    if pid <= 0 or os.name != "posix":
        return False
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _started(pid: int) -> str | None:
    """When a process began, in ticks of one boot; None where the system does not say (no /proc)."""
    try:
        # The second field is the program's name in parentheses, and may hold any.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        ended = fields[0] in (b"Z", b"X")
        return "ended" if ended else f"{boot}-{int(fields[19])}"
    except (OSError, ValueError, IndexError):
        return None


@cache
def _machine() -> str:
    """Within what a process's id is unique: a host, and a namespace of ids on it."""
    with suppress(OSError):
        return f"{platform.node()} {Path('/proc/self/ns/pid').readlink()}"
    return platform.node()


def _folder() -> Path:
    return sdgraph_home() / "running"


def _remove(pid: int, path: Path) -> None:
    """Removes the record of a process, if it is this one and not a fork of it."""
    if pid == os.getpid():
        with suppress(OSError):
            path.unlink(missing_ok=True)
