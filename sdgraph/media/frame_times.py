"""Turns frames with time stamps, which may be shown for different times, into a steady rate."""

from __future__ import annotations

from collections.abc import Iterator
from math import ceil, inf
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from sdgraph.values import Pixels

_ROUNDING = 1e-6  # of a frame's duration, which binary numbers may not hold exactly


class TimedFrame(NamedTuple):
    """A frame of a video and when it is shown, in seconds from the first frame."""

    pixels: Pixels
    begin: float
    end: float
    """When it would end if no other frame came; the next one ends it in any case."""


def sample_frames(
    frames: Iterator[TimedFrame],
    fps: float,
    *,
    start: float = 0.0,
    seconds: float | None = None,
    tolerance: float = 0.0,
) -> Iterator[Pixels]:
    """The frames that are shown at `start`, `start + 1 / fps` and so on, until the video ends.

    A frame that is shown longer is repeated, one that is shown for a shorter time may be left out.

    Args:
        frames: The frames, each beginning no earlier than the one before.
        fps: Frames per second, above 0.
        start: The time of the first frame to take, in seconds.
        seconds: The last frame is shown before so many seconds have passed; None is the rest.
        tolerance: A frame that begins at most so many seconds after its time counts as in time:
            time stamps are rounded to the clock of the file.
    """
    most = inf if seconds is None else max(1, ceil(seconds * fps - _ROUNDING))
    tolerance = max(tolerance, _ROUNDING / fps)
    count = 0
    shown: TimedFrame | None = None
    for frame in frames:
        while shown and count < most and start + count / fps < frame.begin - tolerance:
            yield shown.pixels
            count += 1
        if count >= most:
            return
        shown = frame
    while shown and count < most and start + count / fps < shown.end - tolerance:
        yield shown.pixels
        count += 1
