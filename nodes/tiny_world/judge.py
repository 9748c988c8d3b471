"""Judges whether a picture shows what its caption says, from its pixels, without a model."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import cv2
import numpy as np
import numpy.typing as npt

from .captions import CaptionContent, CaptionObject
from .drawing import canny_edges
from .reading import DetectedObject, PictureReading, Pixels, read_picture
from .words import refuse


@dataclass(frozen=True)
class Verdict:
    """Which parts of a picture are as its caption says; `count` is the number of objects."""

    shape: bool
    colour: bool
    place: bool
    background: bool
    count: bool

    @property
    def all(self) -> bool:
        """Whether everything is as the caption says."""
        return self.shape and self.colour and self.place and self.background and self.count


def judge_picture(
    picture: Pixels, wanted: CaptionContent, *, within: Pixels | None = None
) -> Verdict:
    """Judges a picture.

    Args:
        picture: uint8, side × side × 3.
        wanted: What its caption says.
        within: uint8, side × side; only objects where it is above 127 count.
    """
    return judge_reading(read_picture(picture, within=within), wanted)


def judge_reading(reading: PictureReading, wanted: CaptionContent) -> Verdict:
    """Judges what was read from a picture, with each object compared to the most similar one.

    If two ways to pair them are equally good, shape counts before colour and colour before place.

    Args:
        reading: What was read from the picture.
        wanted: What its caption says.
    """
    ways = _matches(reading.objects, wanted.objects)
    shape, colour, place = max(ways, key=lambda way: (sum(way), way))
    ground = reading.background is not None and wanted.background in (None, reading.background)
    return Verdict(shape, colour, place, ground, len(reading.objects) == len(wanted.objects))


def find_largest_object(picture: Pixels, mask: Pixels) -> DetectedObject | None:
    """The largest object where a mask (uint8, side × side) is above 127, cut off at its border."""
    objects = read_picture(picture, within=mask).objects
    return objects[0] if objects else None


def edge_f1(picture_or_edges: Pixels, control_edges: Pixels, *, tolerance: int = 1) -> float:
    """How well two edge maps agree, 0..1: the harmonic mean of precision and recall.

    An edge pixel is right where the other map has one at most `tolerance` pixels away, in either
    direction. A picture (three channels) is first turned into its edges; maps are uint8,
    height × width, edges over 127.
    """
    is_picture = picture_or_edges.ndim == 3
    found = (canny_edges(picture_or_edges) if is_picture else picture_or_edges) > 127
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
    objects: tuple[DetectedObject, ...], wanted: tuple[CaptionObject, ...]
) -> Iterator[tuple[bool, bool, bool]]:
    """Whether shape, colour and place agree, for each pairing of wanted with detected objects."""
    missing: list[DetectedObject | None] = [None] * len(wanted)
    for chosen in permutations([*objects[:4], *missing], len(wanted)):
        pairs = list(zip(chosen, wanted, strict=True))
        yield (
            all(seen is not None and seen.shape == ask.shape for seen, ask in pairs),
            all(seen is not None and seen.colour == ask.colour for seen, ask in pairs),
            all(seen is not None and ask.place in (None, seen.place) for seen, ask in pairs),
        )


def _widened(lines: npt.NDArray[np.bool_], by: int) -> npt.NDArray[np.bool_]:
    around = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return np.asarray(cv2.dilate(lines.astype(np.uint8), around)).astype(bool)
