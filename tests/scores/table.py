"""The rows of scores: kept as JSON, shown as a Markdown table, and merged run by run."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

RESULTS = "results.json"
SHOWN = "RESULTS.md"

HEADING = """\
# Scores

Printed by `OMP_NUM_THREADS=1 python -m tests.scores`: each shipped checkpoint on scenes of held-out
combinations of shape, colour and ground, which no training shows. Shares (0..1) are of pictures, or
of frames, that a judge finds right; it reads pixels with OpenCV and asks no model. Correlations are
Pearson's. `weights` is a digest of the checkpoint that was scored.

What stays below its aim is text to image, in both layouts, and the clips. For the first were tried
other guidance, samplers and more steps (none better), pairs of objects more often and noisy latents
more often (both help, and are in the workflow that trains the family), and going on with larger
batches (no gain, and seen combinations score as held-out ones do: a U-Net of 1.7 million parameters
does no better). For the clips: words of motion first, short clips before long ones, and a last long
stage, each of which is in that workflow; a last stage of the motions that failed alone forgot the
others.
"""

_HEAD = (
    "| system | what | score | to reach | of | settings | weights |\n|---|---|---|---|---|---|---|"
)


@dataclass(frozen=True)
class Row:
    """One score: the mean of so many pictures or clips, or a ratio."""

    system: str
    what: str
    value: float
    aim: str
    """The score to reach, as it is shown; empty where there is none."""
    count: int
    settings: str
    checkpoint: str
    """The name of the shipped checkpoint that is scored, without its `tiny/`."""
    weights: str

    def __str__(self) -> str:
        cells = (self.system, self.what, f"{self.value:.4g}", self.aim, self.count, self.settings)
        return f"| {' | '.join(str(cell) for cell in cells)} | {self.weights} |"


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    return "\n".join([_HEAD, *map(str, rows)])


def kept(folder: Path) -> list[Row]:
    """The rows of the runs so far; none where there was no run."""
    path = folder / RESULTS
    return [Row(**row) for row in json.loads(path.read_text("utf-8"))] if path.is_file() else []


def merged(old: Sequence[Row], new: Sequence[Row], order: Sequence[str]) -> list[Row]:
    """The new rows in place of all old ones of their systems, systems in the given order."""
    run = {row.system for row in new}
    every = [*(row for row in old if row.system not in run), *new]
    places = {system: place for place, system in enumerate(order)}
    # A system that no longer exists has no row.
    placed = [row for row in every if row.system in places]
    return sorted(placed, key=lambda row: places[row.system])


def keep(rows: Sequence[Row], folder: Path) -> None:
    """Writes the rows to results.json and RESULTS.md of a folder."""
    text = json.dumps([asdict(row) for row in rows], indent=1, ensure_ascii=False)
    (folder / RESULTS).write_text(f"{text}\n", "utf-8")
    (folder / SHOWN).write_text(f"{HEADING}\n{table(rows)}\n", "utf-8")
