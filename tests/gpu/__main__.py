"""Runs every check and prints the table: `python -m tests.gpu [--small] [--only WORD …]`.

Without CUDA, or with `--small`, tiny checkpoints run on the CPU; nothing is written then. On a card
a run of all checks writes `tests/gpu/RESULTS.md`.
"""

from __future__ import annotations

import argparse
import platform
import sys
import tempfile
from pathlib import Path

from sdgraph.provenance.record import installed_versions

from .check import Bench, Result, table
from .every_check import all_checks
from .runner import run_checks

RESULTS = Path(__file__).with_name("RESULTS.md")
_DEADLINE = 460.0


def choose_device(*, small: bool) -> str:
    """The device that is there, and "cpu" if small ones were asked for."""
    import torch

    return "cuda" if torch.cuda.is_available() and not small else "cpu"


def header(device: str) -> str:
    """The machine and the versions."""
    import torch

    packages = ", ".join(f"{name} {version}" for name, version in installed_versions().items())
    name = torch.cuda.get_device_name() if device == "cuda" else f"no card ({platform.machine()})"
    return f"# Checks on a card\n\nPrinted by `python -m tests.gpu`.\n\n{name}; {packages}.\n"


def summary(results: list[Result]) -> str:
    """How many checks had which outcome."""
    counts = dict.fromkeys(("ok", "failed", "skipped"), 0)
    for result in results:
        counts[result.verdict] += 1
    return ", ".join(f"{count} {word}" for word, count in counts.items())


def main(arguments: list[str]) -> int:
    """Runs the checks; returns 1 if one has failed."""
    parser = argparse.ArgumentParser(prog="python -m tests.gpu")
    parser.add_argument("--small", action="store_true", help="tiny checkpoints on the CPU")
    parser.add_argument(
        "--only",
        nargs="+",
        default=[],
        metavar="WORD",
        help="the checks whose name has one of these words in it",
    )
    parser.add_argument("--deadline", type=float, default=_DEADLINE, metavar="SECONDS")
    options = parser.parse_args(arguments)
    device = choose_device(small=options.small)
    chosen = [
        position
        for position, check in enumerate(all_checks())
        if not options.only or any(word in check.name for word in options.only)
    ]
    results = []
    with tempfile.TemporaryDirectory(prefix="sdgraph-gpu-") as folder:
        bench = Bench(Path(folder), device)
        for result in run_checks(all_checks, chosen, bench, options.deadline):
            results.append(result)
            print(
                f"{result.verdict:8} {result.seconds:6.1f} s  {result.name}: {result.measured}",
                file=sys.stderr,
                flush=True,
            )
    text = f"{header(device)}\n{table(results)}\n\n{summary(results)}\n"
    print(text)
    if device == "cuda" and not options.only:
        RESULTS.write_text(text)
    return int(any(result.verdict == "failed" for result in results))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
