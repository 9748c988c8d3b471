"""Judges from its pixels, without a model, whether a picture shows what its caption says."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import permutations

import cv2
import numpy as np
import numpy.typing as npt

from .backgrounds import Pixels
from .captions import CaptionContent, CaptionObject
from .drawing import canny_edges
from .reading import DetectedObject, PictureReading, read_picture
from .words import refuse


@dataclass(frozen=True)
class Verdict:
    """Which properties of a picture are as its caption says; count is the number of objects."""

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
    """Judges what was read from a picture.

    Of all pairings of detected objects with those of the caption, the one counts in which most of
    shape, colour and place agree; of equally good ones, shape counts before colour before place.

    Args:
        reading: What was read from the picture.
        wanted: What its caption says.
    """
    pairings = _compare_pairings(reading.objects, wanted.objects)
    shape, colour, place = max(pairings, key=lambda matches: (sum(matches), matches))
    background = reading.background is not None and wanted.background in (None, reading.background)
    return Verdict(shape, colour, place, background, len(reading.objects) == len(wanted.objects))


def find_largest_object(picture: Pixels, mask: Pixels) -> DetectedObject | None:
    """The largest object in the part of a picture where a mask (uint8, side × side) is over 127."""
    objects = read_picture(picture, within=mask).objects
    return objects[0] if objects else None


def edge_f1(picture_or_edges: Pixels, control_edges: Pixels, *, tolerance: int = 1) -> float:
    """The F1 score of two edge maps, 0..1: the harmonic mean of precision and recall.

    Args:
        picture_or_edges: uint8; a picture (height × width × 3), whose edges are found first, or an
            edge map (height × width, edges over 127).
        control_edges: The edge map to compare with.
        tolerance: How many rows and columns apart two edge pixels may be to count as equal.
    """
    is_picture = picture_or_edges.ndim == 3
    edges = (canny_edges(picture_or_edges) if is_picture else picture_or_edges) > 127
    control = control_edges > 127
    if edges.shape != control.shape:
        refuse("edge_f1", f"{edges.shape} and {control.shape}", "two maps of one size")
    if not edges.any() or not control.any():
        return float(edges.any() == control.any())
    precision = float(_dilate(control, tolerance)[edges].mean())
    recall = float(_dilate(edges, tolerance)[control].mean())
    return 2 * precision * recall / (precision + recall) if precision + recall else 0.0


def depth_correlation(one: npt.NDArray[np.floating], other: npt.NDArray[np.floating]) -> float:
    """Pearson's correlation of two depth maps of the same size, -1..1; 0 if one is constant."""
    if one.shape != other.shape:
        refuse("depth_correlation", f"{one.shape} and {other.shape}", "two maps of one size")
    first, second = (depth.astype(np.float64) - float(depth.mean()) for depth in (one, other))
    spread = float(np.sqrt((first**2).sum() * (second**2).sum()))
    return float((first * second).sum()) / spread if spread > 1e-9 else 0.0


def _compare_pairings(
    objects: tuple[DetectedObject, ...], wanted: tuple[CaptionObject, ...]
) -> Iterator[tuple[bool, bool, bool]]:
    """Whether shape, colour and place agree, for each pairing of wanted with detected objects."""
    missing: list[DetectedObject | None] = [None] * len(wanted)
    for candidates in permutations([*objects[:4], *missing], len(wanted)):
        pairs = list(zip(candidates, wanted, strict=True))
        yield (
            all(obj is not None and obj.shape == expected.shape for obj, expected in pairs),
            all(obj is not None and obj.colour == expected.colour for obj, expected in pairs),
            all(obj and expected.place in (None, obj.place) for obj, expected in pairs),
        )


def _dilate(lines: npt.NDArray[np.bool_], by: int) -> npt.NDArray[np.bool_]:
    around = np.ones((2 * by + 1, 2 * by + 1), np.uint8)
    return np.asarray(cv2.dilate(lines.astype(np.uint8), around)).astype(bool)
