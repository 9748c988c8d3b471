"""Prints the benchmark table: `OMP_NUM_THREADS=1 python -m tests.benchmarks [GROUP …]`.

Each group of rows is measured in a process of its own and printed as soon as it is done, so that no
group finds what another has imported or kept in memory.
"""

from __future__ import annotations

import os
import platform
import subprocess
import sys

from sdgraph.provenance.record import installed_versions

from . import (
    batches,
    cores,
    engine,
    families,
    large_pictures,
    loads,
    maps,
    masks,
    memory,
    peers,
    pictures,
    reading,
    results,
    sharing,
    startup,
    sweeps,
    systems,
    videos,
)
from .timing import Row

ALL = {
    "engine": engine.rows,
    "reading": reading.rows,
    "cores": cores.rows,
    "peers": peers.rows,
    "systems": systems.rows,
    "families": families.rows,
    "videos": videos.rows,
    "long_videos": videos.long_rows,
    "masks": masks.rows,
    "maps": maps.rows,
    "startup": startup.rows,
    "memory": memory.rows,
    "large_pictures": large_pictures.rows,
    "loads": loads.rows,
    "sharing": sharing.rows,
    "results": results.rows,
    "sweeps": sweeps.rows,
    "batches": batches.rows,
    "pictures": pictures.rows,
}


HEAD = "| what | sdgraph | beside it | ratio | aim |\n|---|---|---|---|---|"

_ROWS_OF = "--rows-of"
"""The option with which a process measures one group."""


def format_row(row: Row) -> str:
    """A row as a line of a Markdown table."""
    return f"| {row.what} | {row.ours} | {row.beside} | {row.ratio} | {row.aim} |"


def circumstances() -> str:
    """The machine and the versions that the figures were measured with."""
    packages = ", ".join(f"{name} {version}" for name, version in installed_versions().items())
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    return (
        "# Benchmarks\n\nPrinted by `OMP_NUM_THREADS=1 python -m tests.benchmarks`: "
        "CPU time, medians; ratios are medians of pairs run in turn.\n\n"
        f"{machine}; {packages}.\n"
    )


def main() -> None:
    """Prints the rows of one group, or the table of several."""
    first, *others = sys.argv[1:] or list(ALL)
    if first == _ROWS_OF:
        for row in ALL[others[0]]():
            print(format_row(row), flush=True)
        return
    print(f"{circumstances()}\n{HEAD}", flush=True)
    for name in (first, *others):
        command = [sys.executable, "-m", "tests.benchmarks", _ROWS_OF, name]
        done = subprocess.run(command, check=False)
        if done.returncode:
            print(f"the group {name} failed", file=sys.stderr)


if __name__ == "__main__":
    main()
