"""Frames are sampled at a steady rate by the times at which they are shown."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pytest

from sdgraph.media.frame_times import FrameClock, TimedFrame, sample_frames


def frames_at(times: Sequence[float], end: float) -> Iterator[TimedFrame]:
    """A frame for each time, filled with its number; the last is shown until `end`."""
    for number, begin in enumerate(times):
        pixels = np.full((1, 1, 3), number, np.uint8)
        later = times[number + 1] if number + 1 < len(times) else end
        yield TimedFrame(pixels, begin, later)


def sampled(times: Sequence[float], end: float, fps: float, **part: float) -> list[int]:
    return [int(frame[0, 0, 0]) for frame in sample_frames(frames_at(times, end), fps, **part)]


def test_times_never_go_back_and_a_second_recording_follows_the_first() -> None:
    clock = FrameClock()
    stamps = (5.0, 5.5, 5.45, None, 6.5, 5.0, 5.5)
    begins = [clock.place(stamp, 0.5)[0] for stamp in stamps]
    assert begins == pytest.approx([0, 0.5, 0.5, 1.0, 1.5, 2.0, 2.5])


def test_frames_before_the_first_time_stamp_come_before_it() -> None:
    clock = FrameClock()
    assert [clock.place(stamp, 1.0)[0] for stamp in (None, None, 9.0, 10.0)] == [0, 1, 2, 3]


def test_a_frame_is_repeated_for_as_long_as_it_is_shown() -> None:
    assert sampled([0, 0.1, 0.2, 0.6], 0.8, fps=10) == [0, 1, 2, 2, 2, 2, 3, 3]


def test_frames_that_are_too_short_for_the_rate_are_left_out() -> None:
    assert sampled([0, 0.1, 0.2, 0.3, 0.4], 0.5, fps=5) == [0, 2, 4]


def test_the_start_is_a_time_and_not_a_number_of_frames() -> None:
    times = [0, 0.05, 0.1, 0.9, 1.2]
    assert sampled(times, 2.0, fps=2, start=1.0) == [3, 4]
    assert sampled(times, 2.0, fps=10, start=1.15, seconds=0.1) == [3]


def test_a_start_after_the_end_gives_no_frame() -> None:
    assert sampled([0, 1], 2.0, fps=4, start=2.0) == []


def test_a_time_stamp_that_is_rounded_up_still_counts_as_in_time() -> None:
    thirds = [round(number / 30, 2) for number in range(9)]  # as a GIF counts
    assert sampled(thirds, 0.3, fps=30, tolerance=0.005) == list(range(9))


@pytest.mark.parametrize("fps", [1, 7.3, 24, 29.97, 240])
def test_a_steady_film_at_its_own_rate_is_taken_whole(fps: float) -> None:
    times = [number / fps for number in range(100)]
    assert sampled(times, 100 / fps, fps) == list(range(100))
