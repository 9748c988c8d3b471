"""Runs many graphs in one process and measures whether its memory grows.

    OMP_NUM_THREADS=1 python -m tests.stress.memory [--runs 500] [--models]

Each run has a prompt or a picture of its own, so that nothing is reused from the one before; the
store in memory has a budget of 4 MiB, which the warm-up fills.
With `--models` a text-to-image checkpoint paints in each run.
"""

from __future__ import annotations

import argparse
import gc
import time
from pathlib import Path

import numpy as np

from sdgraph import Checkpoint, Graph, Node, Session, Store
from sdgraph.nodes import Blend, Resize, Text2Image
from sdgraph.values import Image

WARM_UP = 0.2
"""The share of the runs after which memory must not grow."""

ALLOWED = 0.05
"""By how much of its value after the warm-up it may grow."""


def resident_bytes() -> int:
    """The bytes of this process in memory."""
    pages = Path("/proc/self/statm").read_text().split()[1]
    return int(pages) * 4096


def make_node(number: int, *, models: bool) -> Node[Image]:
    """A node whose result no run before has made."""
    pixels = np.random.default_rng(number).integers(0, 255, (64, 64, 3), np.uint8)
    picture = Resize(image=Image(pixels), width=128, height=128)
    if not models:
        return Blend(image=picture, over=picture, amount=0.5)
    checkpoint = Checkpoint("tiny/text-to-image")
    return Text2Image(prompt=f"a star {number}", steps=1, seed=number, checkpoint=checkpoint)


def measure(runs: int, *, models: bool = False) -> tuple[int, int]:
    """The resident bytes after the warm-up and the most of the last tenth of the runs.

    Args:
        runs: How many.
        models: Whether each run computes with a model.
    """
    session = Session(device="cpu", store=Store(limit=2**22))
    after_warm_up, last = 0, []
    for number in range(runs):
        session.run(Graph.of(make_node(number, models=models)))
        if number == int(runs * WARM_UP):
            gc.collect()
            after_warm_up = resident_bytes()
        if number >= runs * 0.9:
            last.append(resident_bytes())
    gc.collect()
    return after_warm_up, min(last)


def main() -> None:
    """Prints the memory after the warm-up and at the end."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--runs", type=int, default=500)
    parser.add_argument("--models", action="store_true")
    options = parser.parse_args()
    started = time.perf_counter()
    first, last = measure(options.runs, models=options.models)
    growth = last / first - 1
    print(f"{options.runs} runs in {time.perf_counter() - started:.0f} s")
    print("| runs | after the warm-up | at the end | growth |", "|---|---|---|---|", sep="\n")
    print(f"| {options.runs} | {first / 1e6:.0f} MB | {last / 1e6:.0f} MB | {growth:+.1%} |")
    if growth > ALLOWED:
        raise SystemExit(1)


if __name__ == "__main__":
    main()
