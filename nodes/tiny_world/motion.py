"""Measures how the object of a video moves, from its frames."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, log

import numpy as np
import numpy.typing as npt

from .backgrounds import Pixels
from .captions import CaptionContent, CaptionObject
from .judge import judge_reading
from .reading import DetectedObject, PictureReading, read_picture
from .shape_classifier import PERIODS
from .words import MOVES

_WAY, _GROWTH, _TURN = 0.12, 0.3, 45.0
"""The least motion that counts: share of the side, logarithm of the size ratio, degrees."""


@dataclass(frozen=True)
class Motion:
    """What the object of a video does from the first frame to the last.

    Args:
        way: How far it moves to the right and down, as shares of the picture's side.
        growth: The ratio of its last size to its first.
        turn: Degrees clockwise.
        jump: The largest distance of its middle between two frames, in pixels.
        present: The share of frames, 0..1, in which the object is as expected.
    """

    way: tuple[float, float]
    growth: float
    turn: float
    jump: float
    present: float

    @property
    def name(self) -> str | None:
        """The strongest motion in the words of a caption; None if the object does not move."""
        x, y = self.way
        strengths = {
            "way": hypot(x, y) / _WAY,
            "growth": abs(log(self.growth)) / _GROWTH,
            "turn": abs(self.turn) / _TURN,
        }
        kind = max(strengths, key=lambda name: strengths[name])
        if strengths[kind] < 1:
            return None
        if kind == "growth":
            return "growing" if self.growth > 1 else "shrinking"
        if kind == "turn":
            return "turning"
        return max(MOVES, key=lambda move: _dot(MOVES[move], x, y))


def measure_motion(frames: Pixels, wanted: CaptionContent | None = None) -> Motion:
    """Measures the motion of the largest object of each frame; frames without one are skipped.

    Args:
        frames: uint8, count × side × side × 3.
        wanted: What each frame should show; by default the shape and colour of most frames.
    """
    readings = [read_picture(frame) for frame in frames]
    times, objects = _largest_objects(readings)
    wanted = wanted or _most_frequent(objects)
    if wanted is None or len(objects) < 2:
        right = sum(judge_reading(reading, wanted).all for reading in readings) if wanted else 0
        return Motion((0.0, 0.0), 1.0, 0.0, 0.0, right / max(1, len(frames)))
    present = float(np.mean([judge_reading(reading, wanted).all for reading in readings]))
    middles = np.array([obj.middle for obj in objects])
    jump = float(np.linalg.norm(np.diff(middles, axis=0), axis=1).max())
    x, y = (_trend(times, coordinates) / frames.shape[1] for coordinates in middles.T)
    growth = float(np.exp(_trend(times, np.log([obj.size for obj in objects]))))
    return Motion((x, y), growth, _turn(objects), jump, present)


def _dot(direction: tuple[int, int], x: float, y: float) -> float:
    return direction[0] * x + direction[1] * y


def _largest_objects(
    readings: list[PictureReading],
) -> tuple[npt.NDArray[np.float64], list[DetectedObject]]:
    """The largest objects of the frames that have one, after their times: 0 (first) to 1 (last)."""
    span = max(1, len(readings) - 1)
    numbers = [number for number, reading in enumerate(readings) if reading.objects]
    times = np.array([number / span for number in numbers])
    return times, [readings[number].objects[0] for number in numbers]


def _most_frequent(objects: list[DetectedObject]) -> CaptionContent | None:
    """An object of the most frequent shape and colour; None if one of them is unknown."""
    looks = [(obj.shape, obj.colour) for obj in objects]
    shape, colour = max(looks, key=looks.count, default=(None, None))
    return CaptionContent((CaptionObject(shape, colour),)) if shape and colour else None


def _trend(times: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> float:
    """The change of the values from time 0 to 1, by a least-squares line."""
    centred = times - times.mean()
    return float(centred @ values / (centred @ centred))


def _turn(objects: list[DetectedObject]) -> float:
    """Degrees clockwise from the first frame to the last.

    Between two frames, the smaller of the two possible turns is assumed. Frames whose shape is not
    the most frequent one are skipped.
    """
    shapes = [obj.shape for obj in objects]
    shape = max(shapes, key=shapes.count)
    if shape not in PERIODS:
        return 0.0
    period = PERIODS[shape]
    angles = [obj.angle for obj in objects if obj.shape == shape and obj.angle is not None]
    return float(sum((step + period / 2) % period - period / 2 for step in np.diff(angles)))
