"""How many threads a run may use: as many as this process may use cores, or a number asked for.

A container often sees all cores of its machine and may use two of them. More threads than that
would only wait for one another, so affinity and quotas of control groups count, not the machine.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextvars import ContextVar
from functools import cache
from pathlib import Path

from sdgraph.errors import InvalidValueError, Problem

MAX_THREADS = 1024
"""More than any machine has cores; a larger number is a mistake."""

run_threads: ContextVar[int | None] = ContextVar("run_threads", default=None)
"""How many threads the run may use in which this code runs; None for one on each core."""

_GROUPS = Path("/sys/fs/cgroup")
_MEMBERSHIP = Path("/proc/self/cgroup")


def thread_count(wanted: int | None = None) -> int:
    """The number of threads that compute at the same time in a run, the calling one included.

    Args:
        wanted: The number that was asked for, 1..1024; None for one thread a core.

    Returns:
        At least 1; 1 means that everything runs in the calling thread.

    Raises:
        InvalidValueError: `wanted` is out of range.

    Example:
        >>> thread_count(3)
        3
        >>> thread_count() >= 1
        True
    """
    if wanted is None:
        return available_cores()
    if isinstance(wanted, bool) or not isinstance(wanted, int) or not 1 <= wanted <= MAX_THREADS:
        fix = "leave it out for one thread a core"
        raise InvalidValueError(
            Problem("threads", f"{wanted!r}", f"a whole number from 1 to {MAX_THREADS}", fix)
        )
    return wanted


def available_cores() -> int:
    """The number of cores that this process may use: by affinity, and by the quota of its groups.

    A quota of less than one core counts as one. Quotas are read once in a process.
    """
    return max(1, min([_allowed_cores(), *map(math.ceil, quotas())]))


@cache
def quotas() -> tuple[float, ...]:
    """The cores' worth of time that the control groups of this process may use, where limited."""
    return tuple(quota for quota in _quotas() if quota > 0)


def _allowed_cores() -> int:
    """The cores that the scheduler may put this process on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def _quotas() -> Iterator[float]:
    """The cores' worth of time that each control group of this process may use, if limited.

    1. `/proc/self/cgroup` has a line "number:controllers:path" for each hierarchy.
    2. Version 2 has one hierarchy without controllers, with the file `cpu.max`: "quota period".
    3. Version 1 has one for the controller "cpu", with a file for each of the two numbers.
    4. Every group above limits too. In a container the path may be that outside of it, which is
       not there; the root is, and is the container's own.
    """
    try:
        lines = _MEMBERSHIP.read_text("utf-8").splitlines()
    except OSError:
        return
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if not controllers:
            for group in _group_and_above(_GROUPS, path):
                yield from _quota(_read(group / "cpu.max").split())
        elif "cpu" in controllers.split(","):
            for group in _group_and_above(_GROUPS / "cpu", path):
                files = (group / "cpu.cfs_quota_us", group / "cpu.cfs_period_us")
                yield from _quota([word for file in files for word in _read(file).split()])


def _group_and_above(root: Path, path: str) -> list[Path]:
    group = root / path.lstrip("/")
    return [group, *(above for above in group.parents if above.is_relative_to(root))]


def _quota(words: list[str]) -> Iterator[float]:
    """The quota from "quota period" in microseconds; none for "max" or a negative quota."""
    try:
        quota, period = map(int, words)
    except ValueError:
        return
    if quota > 0 and period > 0:
        yield quota / period


def _read(file: Path) -> str:
    try:
        return file.read_text("utf-8")
    except OSError:
        return ""
