"""Ends runs and sweeps by SIGKILL, SIGTERM and SIGINT at random times, and looks at what is left.

    python -m tests.stress.kills [--kills 100] [--seed 0]

After each kill: no file under its final name is half a file, the store's entries can be read, and
the next run of the same command succeeds with the picture that a run without a kill makes.
"""

from __future__ import annotations

import argparse
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path
from random import Random

from .place import COMMANDS, Place

SIGNALS = {"SIGKILL": signal.SIGKILL, "SIGTERM": signal.SIGTERM, "SIGINT": signal.SIGINT}


def kill_once(place: Place, random: Random, signal_name: str) -> tuple[str, str, str]:
    """Kills one command at a random time.

    Returns:
        The command, whether it was still running, and what is wrong afterwards.
    """
    name = random.choice(list(COMMANDS))
    if random.random() < 0.5:
        place.clear()
    process = place.start(name)
    time.sleep(random.random() * place.seconds)
    ended = process.poll() is not None
    process.send_signal(SIGNALS[signal_name])
    code = process.wait()
    said = (place.folder / "log.txt").read_text(errors="replace")
    fault = place.fault_after(name)
    if "Traceback" in said and "sdgraph/cli" in said and not ended:
        fault = fault or f"a traceback: {said.strip().splitlines()[-1]}"
    if signal_name == "SIGINT" and code not in (0, 130, -signal.SIGINT, 1):
        fault = fault or f"the exit code {code}"
    return name, "ended" if ended else "killed", fault


def main() -> None:
    """Prints a table of the kills and of what was wrong."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="of each signal")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    started = time.perf_counter()
    counts: Counter[tuple[str, str]] = Counter()
    faults: list[str] = []
    with tempfile.TemporaryDirectory(prefix="sdgraph-kills-") as folder:
        place = Place(Path(folder))
        for signal_name in SIGNALS:
            random = Random(f"{options.seed}/{signal_name}")
            for number in range(options.kills):
                name, state, fault = kill_once(place, random, signal_name)
                counts[signal_name, state] += 1
                if fault:
                    faults.append(f"{signal_name} {number} ({name}): {fault}")
    print(f"seed {options.seed}, {time.perf_counter() - started:.0f} s")
    print("| signal | while running | already ended | failures |", "|---|---|---|---|", sep="\n")
    for signal_name in SIGNALS:
        failed = sum(fault.startswith(signal_name) for fault in faults)
        killed, ended = counts[signal_name, "killed"], counts[signal_name, "ended"]
        print(f"| {signal_name} | {killed} | {ended} | {failed} |")
    print(*faults, sep="\n")
    if faults:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
