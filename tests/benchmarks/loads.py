"""A cold chain whose weights are read beside the running step, compared with one after the other.

Three systems with the layouts of the real ones, stored in float16 and computed in float32, so that
each load casts its weights. Wall seconds on all cores; pairs are run in turn. The files are in the
system's cache. The other way is the same session without anything read ahead.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from typing import Any
from unittest.mock import patch

import numpy as np

from sdgraph import Checkpoint, Graph, Node, Session
from sdgraph.models import ModelCache, Prefetcher
from sdgraph.nodes import DepthToImage, Inpaint, Text2Image
from sdgraph.values import Mask

from . import layouts
from .timing import Row

ROUNDS = 5
STEPS = 8
SIDE = 64
_NAMES = ("text-to-image", "inpaint", "depth")


def write(folder: Path) -> None:
    """The checkpoints, in float16."""
    import torch
    from safetensors.torch import load_file, save_file

    chosen = {name: layouts.LAYOUTS[name] for name in _NAMES}
    with patch.object(layouts, "LAYOUTS", chosen):
        layouts.make(folder)
    for path in folder.rglob("*.safetensors"):
        state = load_file(path)
        half = {
            name: tensor.half() if tensor.dtype == torch.float32 else tensor.clone()
            for name, tensor in state.items()
        }
        del state
        path.unlink()
        save_file(half, path, metadata={"format": "pt"})


def chain(folder: Path) -> Node[Any]:
    """A picture from words, inpainted, its depth kept."""
    area = np.zeros((SIDE, SIDE), dtype=np.uint8)
    area[16:48, 16:48] = 255
    words: dict[str, Any] = {"prompt": "a red star", "steps": STEPS, "seed": 7}
    first = Text2Image(
        checkpoint=Checkpoint(folder / "text-to-image"), width=SIDE, height=SIDE, **words
    )
    painted = Inpaint(
        image=first, mask=Mask(area), checkpoint=Checkpoint(folder / "inpaint"), **words
    )
    return DepthToImage(
        image=painted, strength=1.0, checkpoint=Checkpoint(folder / "depth"), **words
    )


def run(graph: Graph) -> tuple[float, Any]:
    """The wall seconds of a cold run, and its picture."""
    session = Session(device="cpu", dtype="float32", store=None, models=ModelCache())
    began = time.perf_counter()
    (value,) = session.run(graph).values()
    return time.perf_counter() - began, value


def run_in_sequence(graph: Graph) -> tuple[float, Any]:
    """The same, without anything read ahead."""
    with patch.object(Prefetcher, "read", lambda self, requests: None):
        return run(graph)


def rows() -> Iterator[Row]:
    """One row."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder)
        graph = Graph.of(chain(folder))
        _, expected = run_in_sequence(graph)  # what the libraries do once
        pairs, equal = [], True
        for number in range(ROUNDS):
            ways = [run, run_in_sequence]
            results = {way: way(graph) for way in (ways if number % 2 else ways[::-1])}
            equal = equal and all(value == expected for _, value in results.values())
            pairs.append((results[run][0], results[run_in_sequence][0]))
    ours, beside = (median(pair[n] for pair in pairs) for n in (0, 1))
    ratio = median(mine / theirs for mine, theirs in pairs)
    yield Row(
        f"cold chain of 3 systems, {STEPS} steps, float16 files in float32: wall",
        f"{ours:.2f} s",
        f"load, then run {beside:.2f} s",
        f"{ratio:.2f}, pixels {'equal' if equal else 'DIFFER'}",
        "below 1",
    )
