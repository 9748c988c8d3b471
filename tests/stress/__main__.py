"""Runs all stress tests with full figures, and prints a table for `sdgraph/docs/robustness.md`.

    OMP_NUM_THREADS=1 python -m tests.stress [--share 1.0]

A share of 0.01 tries everything a little, to see that it works.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time

SCRIPTS: dict[str, dict[str, int]] = {
    "threads": {"--runs": 1000, "--threads": 8},
    "fuzz": {"--cases": 10_000},
    "fuzz --kind media": {"--cases": 500},
    "mutated_runs": {"--runs": 150},
    "kills": {"--kills": 100},
    "disks": {"--rounds": 10},
    "validate_cost": {},
    "memory": {"--runs": 500},
    "memory --models": {"--runs": 500},
}
"""What is run, and with which figures."""

FIXED = ("--threads",)
"""Figures that a share does not change."""


def run_script(script: str, figures: dict[str, int], share: float) -> str:
    """Runs a script of this package.

    Returns:
        Markdown: the command, its time and exit code, and the table that it printed.
    """
    name, *words = script.split()
    for option, figure in figures.items():
        scaled = figure if option in FIXED else max(1, int(figure * share))
        words += [option, str(scaled)]
    started = time.perf_counter()
    command = [sys.executable, "-m", f"tests.stress.{name}", *words]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    seconds = time.perf_counter() - started
    lines = [line for line in done.stdout.splitlines() if line.strip()]
    if done.returncode:
        lines += ["", "It failed:", *done.stderr.strip().splitlines()[-5:]]
    table = [line for line in lines if line.startswith("|")]
    others = [line for line in lines if not line.startswith("|")]
    head = f"### `python -m tests.stress.{' '.join([name, *words])}`"
    notes = ["```", *others, f"{seconds:.0f} s in all", "```"]
    return "\n".join([head, "", *table, *([""] if table else []), *notes, ""])


def main() -> None:
    """Prints the sections of all scripts, each as soon as it is done."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--share", type=float, default=1.0)
    options = parser.parse_args()
    for script, figures in SCRIPTS.items():
        print(run_script(script, figures, options.share), flush=True)


if __name__ == "__main__":
    main()
