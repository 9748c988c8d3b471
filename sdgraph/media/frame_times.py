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


class FrameClock:
    """Turns the time stamps of frames into times that count from the first frame and never go back.

    A frame without a time stamp follows the one before it. Where the time stamps jump back by more
    than a frame, another recording begins, as in files that were joined end to end: it follows the
    one before.

    Example:
        >>> clock = FrameClock()
        >>> [clock.place(stamp, 1.0) for stamp in (7.0, 8.0, None, 7.0)]
        [(0.0, 1.0), (1.0, 2.0), (2.0, 3.0), (3.0, 4.0)]
    """

    def __init__(self) -> None:
        self._begin = self._end = 0.0
        self._zero: float | None = None

    def place(self, stamp: float | None, duration: float) -> tuple[float, float]:
        """The times at which the next frame begins and ends, in seconds.

        Args:
            stamp: Its time stamp in seconds, None if it has none.
            duration: For how long it is shown if no other frame comes, in seconds.
        """
        if stamp is None:
            begin = self._end
        else:
            self._zero = stamp - self._end if self._zero is None else self._zero
            begin = stamp - self._zero
            if begin < self._begin - (self._end - self._begin) - _ROUNDING:
                self._zero, begin = stamp - self._end, self._end
        self._begin = max(self._begin, begin)
        self._end = self._begin + duration
        return self._begin, self._end


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
