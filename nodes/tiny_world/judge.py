"""Whether a picture shows what was asked: read from its pixels, by no model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import cv2
import numpy as np
import numpy.typing as npt

from .captions import Wanted, WantedThing
from .drawing import edges_of
from .reading import Pixels, Reading, Seen, read
from .words import refuse


@dataclass(frozen=True)
class Verdict:
    """What of a picture is as asked; count is whether it shows as many objects as asked."""

    shape: bool
    colour: bool
    place: bool
    background: bool
    count: bool

    @property
    def all(self) -> bool:
        """Whether everything is as asked."""
        return self.shape and self.colour and self.place and self.background and self.count


def judge(picture: Pixels, wanted: Wanted, *, within: Pixels | None = None) -> Verdict:
    """What of a picture (uint8, side × side × 3) is as asked.

    With `within` (uint8, side × side), only objects where it is over 127 count.
    """
    return compare(read(picture, within=within), wanted)


def compare(reading: Reading, wanted: Wanted) -> Verdict:
    """What of a reading is as asked: each object against the one that it is most like.

    Where two ways to pair them are as good, shape goes before colour and colour before place.
    """
    ways = _matches(reading.things, wanted.things)
    shape, colour, place = max(ways, key=lambda way: (sum(way), way))
    ground = reading.background is not None and wanted.background in (None, reading.background)
    return Verdict(shape, colour, place, ground, len(reading.things) == len(wanted.things))


def inside(picture: Pixels, mask: Pixels) -> Seen | None:
    """The largest object where the mask (uint8, side × side) is over 127, cut off at its border."""
    things = read(picture, within=mask).things
    return things[0] if things else None


def edge_f1(picture_or_edges: Pixels, control_edges: Pixels, *, tolerance: int = 1) -> float:
    """How well two edge maps agree, 0..1: the harmonic mean of precision and recall.

    An edge pixel is right where the other map has one at most `tolerance` pixels away, in either
    direction. A picture (three channels) is first turned into its edges; maps are uint8,
    height × width, edges over 127.
    """
    given = picture_or_edges
    found = (edges_of(given) if given.ndim == 3 else given) > 127
    control = control_edges > 127
    if found.shape != control.shape:
        refuse("edge_f1", f"{found.shape} and {control.shape}", "two maps of one size")
    if not found.any() or not control.any():
        return float(found.any() == control.any())
    precision = float(_widened(control, tolerance)[found].mean())
    recall = float(_widened(found, tolerance)[control].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def depth_correlation(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> float:
    """Pearson's correlation of two depth maps of one size, -1..1; 0 where one of them is flat."""
    if one.shape != other.shape:
        refuse("depth_correlation", f"{one.shape} and {other.shape}", "two maps of one size")
    first, second = (each.astype(np.float64) - float(each.mean()) for each in (one, other))
    spread = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / spread if spread > 1e-9 else 0.0


def _matches(
    things: tuple[Seen, ...], wanted: tuple[WantedThing, ...]
) -> Iterator[tuple[bool, bool, bool]]:
    """Shape, colour and place of every way to pair what is asked with what is seen."""
    missing: list[Seen | None] = [None] * len(wanted)
    for chosen in permutations([*things[:4], *missing], len(wanted)):
        pairs = list(zip(chosen, wanted, strict=True))
        yield (
            all(seen is not None and seen.shape == ask.shape for seen, ask in pairs),
            all(seen is not None and seen.colour == ask.colour for seen, ask in pairs),
            all(seen is not None and ask.place in (None, seen.place) for seen, ask in pairs),
        )


def _widened(lines: npt.NDArray[np.bool_], by: int) -> npt.NDArray[np.bool_]:
    around = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return np.asarray(cv2.dilate(lines.astype(np.uint8), around)).astype(bool)
