"""Runs on disks that are full, read-only, cleared, without links, and shared by processes.

    python -m tests.stress.disks [--rounds 10]

A disk that is full or read-only is a small tmpfs where one can be mounted; elsewhere the limit of
the size of a file stands for the full disk, and /proc for the read-only one.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from .place import Place

_NO_LINKS = """
import os
def refuse(*_, **__):
    raise PermissionError(1, "Operation not permitted")
os.link = os.symlink = refuse
"""
_NO_SPACE_IN_LARGE_FILES = """
import resource
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
"""
_CLOCK_OF_LAST_YEAR = """
import time
now, ns = time.time, time.time_ns
time.time = lambda: now() - 366 * 86400
time.time_ns = lambda: ns() - 366 * 86400 * 10**9
"""


@contextmanager
def small_disk(folder: Path, *, read_only: bool = False) -> Iterator[Path | None]:
    """A disk of 64 kB, or one that cannot be written to; None where none can be mounted."""
    folder.mkdir(parents=True, exist_ok=True)
    options = "size=64k,ro" if read_only else "size=64k"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except OSError:
        mounted = False
    try:
        yield folder if mounted else None
    finally:
        if mounted:
            subprocess.run(["umount", "-l", str(folder)], capture_output=True, check=False)


def full_store(place: Place) -> str:
    """The store is on a full disk: results are not remembered, and the pictures are right."""
    with small_disk(place.folder / "disk") as disk:
        if disk is None:
            return _fault_of_store(place, prelude=_LIMIT_IN_STORE)
        return _fault_of_store(place, home=str(disk))


_LIMIT_IN_STORE = """
import errno, sdgraph.store.disk as disk
from contextlib import contextmanager
@contextmanager
def refuse(path):
    raise OSError(errno.ENOSPC, "No space left on device")
    yield
disk.atomic_write = refuse
"""


def full_outputs(place: Place) -> str:
    """The outputs are on a full disk: the run fails and says so, and leaves no file."""
    with small_disk(place.folder / "out") as disk:
        prelude = "" if disk else _NO_SPACE_IN_LARGE_FILES
        code = place.start("run", prelude=prelude).wait()
        if code != 1 or "a full disk" not in place.said():
            return f"the exit code {code}: {place.said().strip()[-200:]}"
        if left := sorted(os.listdir(disk or place.folder / "out")):
            return f"files are left: {left}"
    return ""


def read_only_store(place: Place) -> str:
    """The store cannot be written to: nothing is remembered, and the pictures are right."""
    with small_disk(place.folder / "disk", read_only=True) as disk:
        return _fault_of_store(place, home=str(disk) if disk else "/proc/sdgraph")


def read_only_outputs(place: Place) -> str:
    """The outputs cannot be written: the run is refused or fails, and says so."""
    with small_disk(place.folder / "out", read_only=True) as disk:
        options = () if disk else ("--out", "/proc")
        code = place.start("run", *options).wait()
    said = place.said()
    if code not in (1, 2) or not ("cannot be written" in said or "may not be written" in said):
        return f"the exit code {code}: {place.said().strip()[-200:]}"
    return ""


def _fault_of_store(place: Place, home: str | None = None, prelude: str = "") -> str:
    code = place.start("run", environment={"SDGRAPH_HOME": home} if home else None, prelude=prelude)
    if code.wait() != 0:
        return f"the exit code {code.returncode}: {place.said().strip()[-200:]}"
    return "" if place.pictures() == place.expected["run"] else "other pictures"


def deleted_store(place: Place) -> str:
    """The store is removed again and again while a sweep runs."""
    process = place.start("sweep")
    while process.poll() is None:
        shutil.rmtree(place.folder / "home", ignore_errors=True)
        time.sleep(0.002)
    if process.returncode:
        return f"the exit code {process.returncode}: {place.said().strip()[-200:]}"
    return "" if place.pictures() == place.expected["sweep"] else "other pictures"


def clock_set_back(place: Place) -> str:
    """A run whose clock is a year behind the store, then runs and pruning with the right clock."""
    for prelude in ("", _CLOCK_OF_LAST_YEAR, ""):
        code = place.start("sweep", prelude=prelude).wait()
        if code or place.pictures() != place.expected["sweep"]:
            return f"the exit code {code}: {place.said().strip()[-200:]}"
    if place.start_command(["cache", "prune", "--older", "30d"]).wait():
        return f"pruning: {place.said().strip()[-200:]}"
    return place.fault_of_run("sweep")


def no_home(place: Place) -> str:
    """No home folder: the variable is missing, or names none that can be made."""
    for home in (None, "/proc/none", "/dev/null/none"):
        environment = {"HOME": home, "SDGRAPH_HOME": None, "SDGRAPH_RUNS": None}
        environment |= {"XDG_CACHE_HOME": str(place.folder / "xdg")}
        code = place.start("run", environment=environment).wait()
        if code or place.pictures() != place.expected["run"]:
            return f"HOME={home}: the exit code {code}: {place.said().strip()[-200:]}"
        place.clear()
    return ""


def no_links(place: Place) -> str:
    """A file system without links: a result is found again by its own key."""
    for _ in range(2):
        code = place.start("sweep", prelude=_NO_LINKS).wait()
        if code or place.pictures() != place.expected["sweep"]:
            return f"the exit code {code}: {place.said().strip()[-200:]}"
    return ""


def shared_store(place: Place) -> str:
    """Two to six processes with one store, while another prunes it to nothing."""
    for count in (2, 4, 6):
        outs = [f"out{number}" for number in range(count)]
        stop = threading.Event()
        pruning = threading.Thread(target=_prune, args=(place, stop))
        pruning.start()
        processes = [
            place.start("sweep", "--out", f"{place.folder}/{out}", log=f"{out}.txt") for out in outs
        ]
        codes = [process.wait() for process in processes]
        stop.set()
        pruning.join()
        if any(codes):
            logs = [(place.folder / f"{out}.txt").read_text(errors="replace") for out in outs]
            return f"{count} processes, exit codes {codes}: {''.join(logs)[-300:]}"
        for out in outs:
            if place.pictures(f"{out}/out") != place.expected["sweep"]:
                return f"{count} processes: other pictures in {out}"
            shutil.rmtree(place.folder / out)
        if place.unreadable_entries():
            return f"{count} processes: an entry of the store that cannot be read"
    return ""


def _prune(place: Place, stop: threading.Event) -> None:
    while not stop.is_set():
        place.start_command(["cache", "prune", "--to", "1MB"], log="prune.txt").wait()


SCENARIOS: tuple[Callable[[Place], str], ...] = (
    full_store,
    full_outputs,
    read_only_store,
    read_only_outputs,
    deleted_store,
    clock_set_back,
    no_home,
    no_links,
    shared_store,
)


def main() -> None:
    """Prints a table of what was tried and how often it failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=10)
    options = parser.parse_args()
    started = time.perf_counter()
    faults: list[str] = []
    rows = []
    with tempfile.TemporaryDirectory(prefix="sdgraph-disks-") as folder:
        place = Place(Path(folder))
        for scenario in SCENARIOS:
            name = scenario.__name__.replace("_", " ")
            found = []
            for _ in range(options.rounds):
                place.clear()
                found.append(scenario(place))
            failed = list(filter(None, found))
            rows.append(f"| {name} | {options.rounds} | {len(failed)} |")
            faults += [f"{name}: {fault}" for fault in failed]
    print(f"{time.perf_counter() - started:.0f} s")
    print("| disk | rounds | failures |", "|---|---|---|", *rows, *faults, sep="\n")
    if faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
