"""Records of the models that each process has in memory: small files that other processes read.

A model cache with components writes one record into the user's sdgraph folder, and replaces it
whenever its components change. Where only the reason changes why they are in memory, it does so a
moment later: otherwise a short run would write two files. The record is removed when the cache is
empty and when the process ends. If a process was killed, the next reader notices that no process
with this id and start time runs, and removes the record. Nothing depends on records: if they cannot
be written, there are none. There are none on Windows either, where checking whether a process runs
can end it.
"""

from __future__ import annotations

import json
import os
import platform
import threading
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from operator import attrgetter
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

from sdgraph.files import read_text, sdgraph_home

from .component import LoadedComponent

_VERSION = 1
_MAX_BYTES = 16 * 2**20  # of a record
DELAY_S = 0.2
"""After how many seconds a record shows that a component is in memory for another reason."""
_PARTIAL = ".part"
"""The suffix of a record that is being written."""

_row = attrgetter("name", "bytes", "where", "why")
"""The entry of a `LoadedComponent` in a record."""


class HeldComponent(NamedTuple):
    """One component in the memory of one process."""

    name: str
    bytes: int
    where: str
    """The device it is on, or "host"."""
    why: str
    """The reason why it is in memory, in words."""
    process: int
    """The process's id."""


class ProcessRecord:
    """The record of one model cache of this process; it is a `watch` of `ModelCache`."""

    def __init__(self) -> None:
        self._begin({"process": 0})

    def _begin(self, process: dict[str, object]) -> None:
        """Begins without a record, for a process."""
        self._process = process
        self._written: list[tuple[Any, ...]] = []
        self._latest: list[tuple[Any, ...]] = []
        self._path: Path | None = None
        self._removal: weakref.finalize[..., Any] | None = None
        self._timer: threading.Timer | None = None
        self._lock = threading.Lock()

    def __call__(self, components: Iterable[LoadedComponent]) -> None:
        """Writes the components that are in memory now, in place of the earlier record.

        Errors of the disk are ignored.
        """
        # Sorted by name, because the order of use changes with every node.
        rows = sorted(map(_row, components))
        # A forked process inherits this object, but the record belongs to its parent.
        if self._process["process"] != os.getpid():
            self._begin(_this_process())
        if os.name != "posix":
            return
        with self._lock:
            self._latest = rows
            if not DELAY_S or _without_reasons(rows) != _without_reasons(self._written):
                self._write_latest()
            elif rows != self._written and self._timer is None:
                self._timer = threading.Timer(DELAY_S, _write_later, [weakref.ref(self)])
                self._timer.daemon = True
                self._timer.start()

    def _write_latest(self) -> None:
        """Writes the latest components, unless they are those of the record."""
        if self._latest == self._written:
            return
        self._written = self._latest
        # For a user without a home folder, RuntimeError is raised.
        with suppress(OSError, RuntimeError):
            self._write(self._written)

    def _write(self, rows: list[tuple[Any, ...]]) -> None:
        if self._path is None:
            folder = _folder()
            folder.mkdir(parents=True, exist_ok=True)
            self._path = folder / f"{os.getpid()}-{token_hex(4)}.json"
            self._removal = weakref.finalize(self, _remove, os.getpid(), self._path)
        if not rows:
            self._path.unlink(missing_ok=True)
            return
        text = json.dumps({**self._process, "components": rows})
        partial = self._path.with_suffix(_PARTIAL)
        try:
            partial.write_text(text, encoding="ascii")
            partial.replace(self._path)
        except OSError:
            # The old record is out of date.
            self._path.unlink(missing_ok=True)
            partial.unlink(missing_ok=True)
            raise


def _without_reasons(rows: list[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """The entries of a record without the reasons why components are in memory."""
    return [row[:-1] for row in rows]


def _write_later(record_of: weakref.ref[ProcessRecord]) -> None:
    """Writes what has changed meanwhile, unless the record was removed at the process's end."""
    record = record_of()
    if record is None:
        return
    with record._lock:
        record._timer = None
        if record._removal is not None and record._removal.alive:
            record._write_latest()


def held_components() -> tuple[HeldComponent, ...]:
    """The components in memory of this user's processes on this machine, ordered by process id.

    Records of processes that have ended are removed.
    """
    components: list[HeldComponent] = []
    with suppress(OSError, RuntimeError):
        for path in sorted(_folder().iterdir()):
            components += _read_record(path)
    return tuple(sorted(components, key=lambda component: component.process))


def _read_record(path: Path) -> Iterator[HeldComponent]:
    """The components in a record; if its process has ended, there are none and it is removed."""
    try:
        record: dict[str, Any] = json.loads(read_text(path, _MAX_BYTES))
        # Records of other versions have other contents, and process ids are those of one machine.
        if (record["version"], record["machine"]) != (_VERSION, _machine()):
            return
        pid = int(record["process"])
        components = [
            HeldComponent(str(name), int(size), str(where), str(why), pid)
            for name, size, where, why in record["components"]
        ]
        alive = _is_alive(pid) and _start_time(pid) == record["started"]
    except (OSError, ValueError, TypeError, KeyError):
        return
    if not alive:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    elif path.suffix != _PARTIAL:
        yield from components


def _this_process() -> dict[str, object]:
    """The entries of a record about the process that writes it."""
    pid = os.getpid()
    return {
        "version": _VERSION,
        "machine": _machine(),
        "process": pid,
        "started": _start_time(pid),
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


def _start_time(pid: int) -> str | None:
    """When a process began, in ticks since a boot; None if the system does not say (no /proc)."""
    try:
        # The second field is the program's name in parentheses, which may contain parentheses.
        fields = Path(f"/proc/{pid}/stat").read_bytes().rpartition(b")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
        ended = fields[0] in (b"Z", b"X")
        return "ended" if ended else f"{boot}-{int(fields[19])}"
    except (OSError, ValueError, IndexError):
        return None


@cache
def _machine() -> str:
    """The scope in which process ids are unique: a host, and a namespace of ids on it."""
    with suppress(OSError):
        return f"{platform.node()} {Path('/proc/self/ns/pid').readlink()}"
    return platform.node()


def _folder() -> Path:
    return sdgraph_home() / "running"


def _remove(pid: int, path: Path) -> None:
    """Removes a record, if it was written by this process and not by the one it was forked from."""
    if pid == os.getpid():
        with suppress(OSError):
            path.unlink(missing_ok=True)
