"""Measures how the object of a video moves, from its frames."""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot, log

import numpy as np
import numpy.typing as npt

from .captions import CaptionContent, CaptionObject
from .forms import PERIODS
from .judge import judge_reading
from .reading import DetectedObject, PictureReading, Pixels, read_picture
from .words import MOVES

_WAY, _GROWTH, _TURN = 0.12, 0.3, 45.0
"""From where on a clip moves (share of the side), grows (logarithm of size), turns (degrees)."""


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
        """The motion in a caption's words, the strongest of them; None where it stands still."""
        x, y = self.way
        strengths = {
            "way": hypot(x, y) / _WAY,
            "growth": abs(log(self.growth)) / _GROWTH,
            "turn": abs(self.turn) / _TURN,
        }
        kind = max(strengths, key=lambda each: strengths[each])
        if strengths[kind] < 1:
            return None
        if kind == "growth":
            return "growing" if self.growth > 1 else "shrinking"
        return "turning" if kind == "turn" else max(MOVES, key=lambda m: _along(MOVES[m], x, y))


def measure_motion(frames: Pixels, wanted: CaptionContent | None = None) -> Motion:
    """Measures the motion of the largest object of each frame; frames without one are skipped.

    Args:
        frames: uint8, count × side × side × 3.
        wanted: What each frame should show; by default the shape and colour of most frames.
    """
    readings = [read_picture(frame) for frame in frames]
    times, seen = _followed(readings)
    wanted = wanted or _usual(seen)
    if wanted is None or len(seen) < 2:
        right = sum(judge_reading(each, wanted).all for each in readings) if wanted else 0
        return Motion((0.0, 0.0), 1.0, 0.0, 0.0, right / max(1, len(frames)))
    present = float(np.mean([judge_reading(each, wanted).all for each in readings]))
    middles = np.array([obj.middle for obj in seen])
    jump = float(np.linalg.norm(np.diff(middles, axis=0), axis=1).max())
    x, y = (_trend(times, line) / frames.shape[1] for line in middles.T)
    growth = float(np.exp(_trend(times, np.log([obj.size for obj in seen]))))
    return Motion((x, y), growth, _turn(seen), jump, present)


def _along(direction: tuple[int, int], x: float, y: float) -> float:
    return direction[0] * x + direction[1] * y


def _followed(
    readings: list[PictureReading],
) -> tuple[npt.NDArray[np.float64], list[DetectedObject]]:
    """The largest object of each frame that has one, and when: 0 is the first frame, 1 the last."""
    span = max(1, len(readings) - 1)
    found = [
        (number / span, each.objects[0]) for number, each in enumerate(readings) if each.objects
    ]
    return np.array([time for time, _ in found]), [obj for _, obj in found]


def _usual(seen: list[DetectedObject]) -> CaptionContent | None:
    """One object of the shape and colour that most frames show."""
    looks = [(each.shape, each.colour) for each in seen]
    shape, colour = max(looks, key=looks.count, default=(None, None))
    return CaptionContent((CaptionObject(shape, colour),)) if shape and colour else None


def _trend(times: npt.NDArray[np.float64], values: npt.NDArray[np.float64]) -> float:
    """By how much the values change from time 0 to 1, along the straight line that fits best."""
    late = times - times.mean()
    return float(late @ values / (late @ late))


def _turn(seen: list[DetectedObject]) -> float:
    """Degrees clockwise from the first frame to the last, summed over steps of under half a period.

    Frames in which the shape is not the usual one are passed over.
    """
    shapes = [each.shape for each in seen]
    shape = max(shapes, key=shapes.count)
    if shape not in PERIODS:
        return 0.0
    period = PERIODS[shape]
    angles = [each.angle for each in seen if each.shape == shape and each.angle is not None]
    return float(sum((step + period / 2) % period - period / 2 for step in np.diff(angles)))
