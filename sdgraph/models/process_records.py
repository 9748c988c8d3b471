"""What running processes hold in memory, told to one another by small records on disk.

A cache that holds components keeps one record under the user's folder, in place of which a new one
is put whenever what it holds changes; it goes when nothing is held any more and when the process
ends. A record that a killed process has left is known by that process's start, passed over and
removed. Nothing depends on records: where none can be written, there is none. There are none
either where processes cannot be asked for without harm, which is on Windows.
"""

from __future__ import annotations

import json
import os
import platform
import weakref
from collections.abc import Iterable, Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from secrets import token_hex
from typing import Any, NamedTuple

from sdgraph.files import sdgraph_home

from .component import LoadedComponent

_VERSION = 1
_WRITING = ".part"


class Row(NamedTuple):
    """One component in the memory of one process."""

    name: str
    bytes: int
    where: str
    """Its device, or "host"."""
    why: str
    process: int
    """The process's id."""


class Record:
    """Tells other processes what a cache of this one holds, for as long as it lives."""

    def __init__(self) -> None:
        self._told: list[list[Any]] = []
        self._path: Path | None = None
        self._about: dict[str, object] = {"process": 0}

    def __call__(self, held: Iterable[LoadedComponent]) -> None:
        """Puts what is held now in place of what was told before; never raises for the disk."""
        # By name, for which one was used last changes with every node.
        rows = sorted([each.name, each.bytes, _where(each), _why(each)] for each in held)
        # A fork inherits what its parent has told, and has told nothing itself.
        if self._about["process"] != os.getpid():
            self._about, self._path, self._told = _process(), None, []
        if rows == self._told or os.name != "posix":
            return
        self._told = rows
        # RuntimeError is that of a user without a home folder.
        with suppress(OSError, RuntimeError):
            self._tell(rows)

    def _tell(self, rows: list[list[Any]]) -> None:
        if self._path is None:
            folder = _folder()
            folder.mkdir(parents=True, exist_ok=True)
            self._path = folder / f"{os.getpid()}-{token_hex(4)}.json"
            weakref.finalize(self, _remove, os.getpid(), self._path)
        if not rows:
            self._path.unlink(missing_ok=True)
            return
        text = json.dumps({**self._about, "components": rows})
        beside = self._path.with_suffix(_WRITING)
        try:
            beside.write_text(text, encoding="ascii")
            beside.replace(self._path)
        except OSError:
            # What was true before is so no longer.
            self._path.unlink(missing_ok=True)
            beside.unlink(missing_ok=True)
            raise


def held() -> tuple[Row, ...]:
    """What processes of this user hold on this machine, by process; removes dead ones' records."""
    found: list[Row] = []
    with suppress(OSError, RuntimeError):
        for path in sorted(_folder().iterdir()):
            found += _rows(path)
    return tuple(sorted(found, key=lambda row: row.process))


def _rows(path: Path) -> Iterator[Row]:
    """The rows of one record; none, and no record any more, where its process is gone."""
    try:
        record: dict[str, Any] = json.loads(path.read_text(encoding="ascii"))
        # A newer record may say anything, and other machines' processes cannot be asked for.
        if (record["version"], record["machine"]) != (_VERSION, _machine()):
            return
        pid = int(record["process"])
        rows = [
            Row(str(name), int(size), str(where), str(why), pid)
            for name, size, where, why in record["components"]
        ]
        alive = _is_alive(pid) and _started(pid) == record["started"]
    except (OSError, ValueError, TypeError, KeyError):
        return
    if not alive:
        with suppress(OSError):
            path.unlink(missing_ok=True)
    elif path.suffix != _WRITING:
        yield from rows


def _process() -> dict[str, object]:
    """What a record says of this process."""
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
    """Where a process's id means something: a host, and a namespace of ids on it."""
    with suppress(OSError):
        return f"{platform.node()} {Path('/proc/self/ns/pid').readlink()}"
    return platform.node()


def _where(component: LoadedComponent) -> str:
    device = component.key.device
    return "host" if component.parked or device == "cpu" else device


def _why(component: LoadedComponent) -> str:
    """Why it is held; a run's leases come and go with every node, and are not told one by one."""
    return "used by a run" if component.in_run else component.why


def _folder() -> Path:
    return sdgraph_home() / "running"


def _remove(pid: int, path: Path) -> None:
    """Removes the record of a process, if it is this one and not a fork of it."""
    if pid == os.getpid():
        with suppress(OSError):
            path.unlink(missing_ok=True)
