"""Independent heavy picture nodes on all cores, beside a thread pool that runs the same functions.

Wall time, because cores are the subject. The photo has 1536×1536 pixels. Every second filter is
OpenCV's, which has threads of its own, as they are by default; the others are Pillow's, which have
none. Both compute without Python's lock.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from itertools import count
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import cv2
import numpy as np
import PIL.Image
import PIL.ImageFilter

from sdgraph import Graph, In, Node, Session
from sdgraph.store import Store
from sdgraph.values import Image
from sdgraph.values.threads import thread_count

from .large_pictures import photo
from .timing import Row

ROUNDS = 7
COUNTS = (8, 16)
SIDE = 1536


def heavy(pixels: Any, number: int) -> Any:
    """The photo after a filter that takes a tenth of a second or so."""
    if number % 2:
        return cv2.bilateralFilter(pixels, 9, 40 + number, 7)
    blur = PIL.ImageFilter.GaussianBlur(3 + number)
    return np.asarray(PIL.Image.fromarray(pixels).filter(blur))


class Brightened(Node[Image]):
    """A photo to which a number is added."""

    amount: int

    def run(self) -> Image:
        """The photo, brighter."""
        return Image(bright_photo(self.amount))


def bright_photo(amount: int) -> Any:
    """A photo to which a number is added."""
    return cv2.add(photo(SIDE), np.full(3, amount % 200, np.float64))


class Filtered(Node[Image]):
    """A photo after the filter."""

    image: In[Image]
    number: int

    def run(self, image: Image) -> Image:
        """The result of the filter."""
        return Image(heavy(image.numpy, self.number))


class Corners(Node[Image]):
    """The upper left corners of photos, side by side."""

    images: list[In[Image]]

    def run(self, images: list[Image]) -> Image:
        """The corners in one picture."""
        return Image(corners(image.numpy for image in images))


def corners(photos: Iterable[Any]) -> Any:
    """The upper left corners of photos, side by side."""
    return np.hstack([pixels[:64, :64] for pixels in photos])


def graph(nodes: int, amount: int) -> Graph:
    """So many independent nodes that read one photo, and one that reads them all."""
    source = Brightened(amount=amount)
    filtered: list[Image | Node[Image]] = [
        Filtered(image=source, number=number) for number in range(nodes)
    ]
    return Graph.of(Corners(images=filtered))


def bare_pool(nodes: int, amount: int) -> None:
    """The same calls on a pool with as many threads as cores."""
    pixels = bright_photo(amount)
    with ThreadPoolExecutor(thread_count()) as pool:
        corners(pool.map(partial(heavy, pixels), range(nodes)))


def _wall_seconds(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _sessions(folder: str) -> dict[str, Session]:
    return {
        "no results kept": Session(store=None),
        "results in memory": Session(store=Store()),
        "results on disk": Session(store=Store(folder=Path(folder))),
        "no results kept, one thread": Session(store=None, threads=1),
    }


def rows() -> Iterator[Row]:
    """The wall time of new runs for each session, beside that of the pool."""
    for nodes in COUNTS:
        with TemporaryDirectory() as folder:
            for name, session in _sessions(folder).items():
                yield _row(f"{nodes} independent filters of {SIDE}², {name}", session, nodes)


def _row(what: str, session: Session, nodes: int) -> Row:
    amounts = count(1)
    pairs = []
    for number in range(ROUNDS):
        amount = next(amounts)
        works: list[Callable[[], object]] = [
            partial(session.run, graph(nodes, amount)),
            partial(bare_pool, nodes, amount),
        ]
        order = (0, 1) if number % 2 else (1, 0)
        seconds = {place: _wall_seconds(works[place]) for place in order}
        pairs.append((seconds[0], seconds[1]))
    own, other = (median(pair[place] for pair in pairs) for place in (0, 1))
    ratio = median(first / second for first, second in pairs)
    aim = "≤ 1.1" if "one thread" not in what else ""
    return Row(what, f"{own:.2f} s wall", f"thread pool {other:.2f} s", f"{ratio:.2f}", aim)
