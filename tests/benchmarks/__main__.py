"""Prints the benchmark table: `OMP_NUM_THREADS=1 python -m tests.benchmarks [NAME …]`."""

from __future__ import annotations

import sys
from collections.abc import Iterable

from . import engine, memory, startup, systems
from .timing import Row

ALL = {
    "engine": engine.rows,
    "systems": systems.rows,
    "startup": startup.rows,
    "memory": memory.rows,
}


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | sdgraph | beside it | ratio | aim |", "|---|---|---|---|---|"]
    lines += [f"| {r.what} | {r.ours} | {r.beside} | {r.ratio} | {r.aim} |" for r in rows]
    return "\n".join(lines)


if __name__ == "__main__":
    names = sys.argv[1:] or list(ALL)
    print(table(row for name in names for row in ALL[name]()))
