"""Prints the benchmark table: `OMP_NUM_THREADS=1 python -m tests.benchmarks [NAME …]`."""

from __future__ import annotations

import os
import platform
import sys
from collections.abc import Iterable

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


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | sdgraph | beside it | ratio | aim |", "|---|---|---|---|---|"]
    lines += [f"| {r.what} | {r.ours} | {r.beside} | {r.ratio} | {r.aim} |" for r in rows]
    return "\n".join(lines)


def circumstances() -> str:
    """The machine and the versions that the figures were measured with."""
    packages = ", ".join(f"{name} {version}" for name, version in installed_versions().items())
    machine = f"{os.cpu_count()} cores, {platform.machine()}, Python {platform.python_version()}"
    return (
        "# Benchmarks\n\nPrinted by `OMP_NUM_THREADS=1 python -m tests.benchmarks`: "
        "CPU time, medians; ratios are medians of pairs run in turn.\n\n"
        f"{machine}; {packages}.\n"
    )


if __name__ == "__main__":
    names = sys.argv[1:] or list(ALL)
    print(circumstances())
    print(table(row for name in names for row in ALL[name]()))
