"""Runs the command line with mutated arguments, workflow files, configs and media.

    python -m tests.stress.fuzz [--cases 10000] [--seed 0] [--kind yaml]

A case has failed if a command raises an exception, prints "internal error" or a traceback, ends
with an exit code that says something else than the command, or takes more than 20 seconds. Each
case depends on the seed and on its own number alone: `--only NUMBER` runs one again and prints what
it said.
"""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from random import Random

from .commands import Ending, run_command
from .fuzz_cases import KINDS, Case, Workbench

SHARES = {"arguments": 25, "text": 25, "tree": 20, "configs": 15, "loads": 5, "media": 10}
"""How many of a hundred cases are of each kind."""


def make_case(number: int, seed: int, bench: Workbench, only_kind: str | None = None) -> Case:
    """The case of a number: its command, with its files written."""
    random = Random(f"{seed}/{number}")
    kinds = [kind for kind, share in SHARES.items() for _ in range(share)]
    kind = only_kind or kinds[number * 37 % 100]
    return KINDS[kind](bench, random)


def fault(case: Case, ending: Ending) -> str:
    """What is wrong with how the command of a case ended; "" if nothing is."""
    codes = (0, 2) if case.arguments[:1] == ("validate",) else (0, 1, 2)
    if found := ending.fault(codes, debug="--debug" in case.arguments):
        return found
    says_none = "0 problems in" in ending.output
    is_validation = case.arguments[:1] == ("validate",) and "--json" not in case.arguments
    if is_validation and "Usage:" not in ending.output and (ending.code == 0) != says_none:
        return f"the exit code {ending.code}, and {'' if says_none else 'not '}0 problems"
    return ""


@contextmanager
def quiet_place() -> Iterator[Path]:
    """A temporary folder as the current one and as the home, until the block ends."""
    before, environment = Path.cwd(), dict(os.environ)
    with tempfile.TemporaryDirectory(prefix="sdgraph-fuzz-", ignore_cleanup_errors=True) as folder:
        os.environ |= {
            "HOME": f"{folder}/home",
            "SDGRAPH_HOME": f"{folder}/home/sdgraph",
            "SDGRAPH_RUNS": f"{folder}/home/runs",
            "HF_HUB_OFFLINE": "1",
            "NO_COLOR": "1",
        }
        place = Path(folder, "work")
        place.mkdir()
        os.chdir(place)
        try:
            yield place
        finally:
            os.chdir(before)
            os.environ.clear()
            os.environ.update(environment)


def run_cases(
    numbers: Sequence[int], seed: int, only_kind: str | None = None, *, show: bool = False
) -> tuple[Counter[str], dict[str, list[tuple[int, str]]]]:
    """Runs cases.

    Args:
        numbers: The numbers of the cases.
        seed: The seed of all of them.
        only_kind: The kind of all of them; by default they are mixed.
        show: Whether each command and what it prints are printed.

    Returns:
        The number of cases, and the failures with the numbers of their cases, both by kind.
    """
    counts: Counter[str] = Counter()
    failures: dict[str, list[tuple[int, str]]] = {}
    with quiet_place() as folder:
        bench = Workbench(folder)
        for number in numbers:
            case = make_case(number, seed, bench, only_kind)
            ending = run_command(case.arguments)
            counts[case.kind] += 1
            if show:
                print(case.arguments, ending.code, ending.output, ending.failure, sep="\n")
            if found := fault(case, ending):
                failures.setdefault(case.kind, []).append((number, f"{case.summary}: {found}"))
                print(f"failed: case {number}", file=sys.stderr, flush=True)
            bench.clean()
    return counts, failures


def main() -> None:
    """Prints a table of the kinds, and the numbers of the cases that failed."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--cases", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=list(SHARES))
    parser.add_argument("--only", type=int, help="the number of one case")
    options = parser.parse_args()
    started = time.perf_counter()
    numbers = range(options.cases) if options.only is None else [options.only]
    show = options.only is not None
    counts, failures = run_cases(numbers, options.seed, options.kind, show=show)
    seconds = time.perf_counter() - started
    print(f"seed {options.seed}, {sum(counts.values())} cases in {seconds:.0f} s")
    print("| kind | cases | failures |", "|---|---|---|", sep="\n")
    for kind, count in counts.items():
        print(f"| {kind} | {count} | {len(failures.get(kind, []))} |")
    for kind, failed in failures.items():
        for number, found in failed:
            print(f"{kind} {number}: {found}")
    if failures:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
