"""Chains of OpenCV nodes on large photos, beside a bare loop of the same calls.

The sessions: with results on disk and in memory, as on the command line; in memory only; with none.
The photos are 3072×3072 and 4096×4096 pixels of three channels. In each round the first run has a
new seed of noise, so that nothing is remembered; then the same run again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np

from sdgraph import Graph, In, Node, Session
from sdgraph.store import Store
from sdgraph.values import Image

from .timing import Row, measure_pair

ROUNDS = 7
LENGTHS = {3072: 12, 4096: 20}
"""The number of nodes by the side of the photo in pixels."""

Pixels = Any


def _sharpen(pixels: Pixels) -> Pixels:
    blurred = cv2.GaussianBlur(pixels, (0, 0), 2.0)
    return cv2.addWeighted(pixels, 1.5, blurred, -0.5, 0.0)


def _warm(pixels: Pixels) -> Pixels:
    hsv = cv2.cvtColor(pixels, cv2.COLOR_RGB2HSV)
    return cv2.cvtColor(hsv, cv2.COLOR_HSV2RGB)


OPERATIONS: tuple[Callable[[Pixels], Pixels], ...] = (
    lambda pixels: cv2.GaussianBlur(pixels, (9, 9), 2.0),
    lambda pixels: cv2.medianBlur(pixels, 3),
    _sharpen,
    lambda pixels: cv2.erode(pixels, np.ones((5, 5), np.uint8)),
    _warm,
    lambda pixels: cv2.blur(pixels, (7, 7)),
)


class Brightened(Node[Image]):
    """A photo and a number that is added to it."""

    side: int
    amount: int

    def run(self) -> Image:
        """The photo, brighter."""
        return Image(cv2.add(photo(self.side), np.full(3, self.amount % 200, np.float64)))


class OpenCVOperation(Node[Image]):
    """One of the operations."""

    image: In[Image]
    number: int

    def run(self, image: Image) -> Image:
        """The result of the operation."""
        return Image(OPERATIONS[self.number % len(OPERATIONS)](image.numpy))


_photos: dict[int, Pixels] = {}


def photo(side: int) -> Pixels:
    """A photo of so many pixels a side, enlarged once."""
    if side not in _photos:
        import skimage.data

        astronaut = skimage.data.astronaut()
        _photos[side] = cv2.resize(astronaut, (side, side), interpolation=cv2.INTER_CUBIC)
    return _photos[side]


def chain(side: int, length: int, amount: int) -> Node[Image]:
    """A chain of so many nodes."""
    node: Node[Image] = Brightened(side=side, amount=amount)
    for number in range(length - 1):
        node = OpenCVOperation(image=node, number=number)
    return node


def bare_loop(side: int, length: int, amount: int) -> Pixels:
    """The same calls in a loop."""
    pixels = cv2.add(photo(side), np.full(3, amount % 200, np.float64))
    for number in range(length - 1):
        pixels = OPERATIONS[number % len(OPERATIONS)](pixels)
    return pixels


def _sessions(folder: str) -> dict[str, Callable[[], Session]]:
    return {
        "results on disk": lambda: Session(store=Store(folder=folder)),
        "results in memory": lambda: Session(store=Store()),
        "no results kept": lambda: Session(store=None),
    }


def _row(what: str, ours: Callable[[], object], bare: Callable[[], object], aim: str) -> Row:
    seconds, beside, ratio = measure_pair(ours, bare, ROUNDS)
    return Row(what, f"{seconds:.2f} s CPU", f"bare loop {beside:.2f} s", f"{ratio:.2f}", aim)


def rows() -> Iterator[Row]:
    """First runs and repeated runs, for each session, and what is on disk afterwards."""
    for side, length in LENGTHS.items():
        bare = partial(bare_loop, side, length, 7)
        bare()  # the first call makes the photo
        with TemporaryDirectory() as folder:
            for name, make_session in _sessions(folder).items():
                run = partial(_run, make_session(), side, length)
                run(0)  # the first run of a process imports modules
                what = f"{length} OpenCV nodes, {side}², {name}"
                aim = "≤ 1.15" if "disk" in name else "≤ 1.1"
                yield _row(f"{what}: first run", partial(_run_next, run, count(1)), bare, aim)
                yield _row(f"{what}: again", partial(run, 1), bare, "≤ 1.1")
            held = sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file())
        size = f"{held / 1e6 / ROUNDS:.0f} MB"
        yield Row(f"{length} OpenCV nodes, {side}²: on disk a run", size, "–", "–", "≤ 100 MB")


def _run(session: Session, side: int, length: int, amount: int) -> None:
    session.run(Graph.of(chain(side, length, amount)))


def _run_next(run: Callable[[int], None], amounts: Iterator[int]) -> None:
    run(next(amounts))
