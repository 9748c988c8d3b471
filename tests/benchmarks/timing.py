"""CPU seconds, medians and ratios, which every benchmark here measures with."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    what: str
    ours: str
    beside: str
    ratio: str
    aim: str


def cpu_seconds(work: Callable[[], object]) -> float:
    """The CPU seconds of this process that a call takes, all threads together."""
    began = time.process_time()
    work()
    return time.process_time() - began


def median_seconds(work: Callable[[], object], rounds: int = 5) -> float:
    """The median CPU seconds of several calls."""
    return median(cpu_seconds(work) for _ in range(rounds))


def measure_pair(
    one: Callable[[], object], other: Callable[[], object], rounds: int
) -> tuple[float, float, float]:
    """Median CPU seconds of two calls made in turn, and the median of their ratios by pair.

    In turn, because a shared machine's speed drifts; each pair in the other order than the last.
    """
    pairs = []
    for number in range(rounds):
        first, second = (one, other) if number % 2 else (other, one)
        times = {first: cpu_seconds(first), second: cpu_seconds(second)}
        pairs.append((times[one], times[other]))
    ratio = median(ours / baseline for ours, baseline in pairs)
    return median(p[0] for p in pairs), median(p[1] for p in pairs), ratio


_UNCOMPILED = ("PYTHONDONTWRITEBYTECODE",)
"""The settings with which Python compiles every module again in each process."""


def compiled_environment() -> dict[str, str]:
    """The environment, but with modules compiled once and kept, as on a person's machine."""
    return {name: value for name, value in os.environ.items() if name not in _UNCOMPILED}


@dataclass(frozen=True)
class Process:
    """The time and memory that a finished process used."""

    cpu: float
    output: str


def process(arguments: Sequence[str]) -> Process:
    """Runs a Python process with these arguments to its end, one OpenMP thread.

    Its CPU time is that of a child of its own, so that processes do not mix. Modules are compiled
    once and kept, as they are on a person's machine, even where the environment has it otherwise.
    """
    script = (
        "import resource, subprocess, sys\n"
        "done = subprocess.run([sys.executable, *sys.argv[1:]], capture_output=True, text=True)\n"
        "used = resource.getrusage(resource.RUSAGE_CHILDREN)\n"
        "sys.stdout.write(done.stdout)\n"
        "sys.stderr.write(done.stderr)\n"
        "print('\\n', used.ru_utime + used.ru_stime)\n"
        "sys.exit(done.returncode)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**compiled_environment(), "OMP_NUM_THREADS": "1"},
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(arguments)} failed:\n{done.stdout}\n{done.stderr}")
    output, _, cpu = done.stdout.rstrip().rpartition("\n")
    return Process(float(cpu), output)
