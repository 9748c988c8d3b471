"""A node runs once for each frame, on the frames of all it reads side by side."""

from __future__ import annotations

import pickle
from typing import Any

import pytest

from sdgraph.errors import InvalidValueError
from sdgraph.values import Series, content_of, run_per_frame, size_of

Told = list[tuple[int, int]]


def progress(steps: Told) -> Any:
    return lambda step, total, **_: steps.append((step, total))


def test_without_a_series_it_runs_once() -> None:
    reported: Told = []
    assert run_per_frame(lambda a, b: (a, b), progress(reported), {"a": 1, "b": (2, 3)}) == (
        1,
        (2, 3),
    )
    assert reported == []


def test_it_runs_for_each_item_and_keeps_the_rest() -> None:
    reported: Told = []
    series = run_per_frame(
        lambda a, b, c: (a, b, c), progress(reported), {"a": Series("xyz", 5), "b": 7, "c": 1}
    )
    assert type(series) is Series and series.fps == 5
    assert list(series) == [("x", 7, 1), ("y", 7, 1), ("z", 7, 1)]
    assert reported == [(1, 3), (2, 3), (3, 3)]


def test_series_go_side_by_side_also_in_a_list() -> None:
    arguments = {"a": Series("ab", 5), "b": (Series((1, 2), 9), 0, Series((3, 4), 9))}
    series = run_per_frame(lambda a, b: (a, b), progress([]), arguments)
    assert list(series) == [("a", (1, 0, 3)), ("b", (2, 0, 4))]
    assert series.fps == 5


@pytest.mark.parametrize("second", [Series("abc", 5), (Series("ab", 5), Series("abc", 5))])
def test_series_of_two_lengths_are_refused(second: Any) -> None:
    with pytest.raises(InvalidValueError, match=r"2 frames in a and .*3 frames in b"):
        run_per_frame(lambda a, b: a, progress([]), {"a": Series("ab", 5), "b": second})


def test_steps_in_a_frame_are_reported_as_steps_of_all_frames() -> None:
    reported: Told = []

    def run(a: str, progress: Any) -> str:
        progress(1, 2)
        progress(2, 2)
        return a

    run_per_frame(run, progress(reported), {"a": Series("abc", 5), "progress": progress(reported)})
    assert reported == [(1, 6), (2, 6), (3, 6), (4, 6), (5, 6), (6, 6)]


def test_an_error_in_a_frame_names_the_frame() -> None:
    def run(a: int) -> int:
        if a == 3:
            raise InvalidValueError("three is no picture")
        return a

    with pytest.raises(InvalidValueError, match="in frame 2: three is no picture"):
        run_per_frame(run, progress([]), {"a": Series((1, 2, 3), 5)})


def test_its_content_is_that_of_its_items_and_rate() -> None:
    one = Series((1, 2), 5)
    assert one == Series((1, 2), 5) == pickle.loads(pickle.dumps(one))
    assert (
        len(
            {
                content_of(value)
                for value in (
                    one,
                    Series((2, 1), 5),
                    Series((1, 2), 6),
                    Series((1, 2.0), 5),
                    (1, 2),
                )
            }
        )
        == 5
    )
    assert size_of(Series((b"abc", b"d"), 5)) == size_of(b"abc") + size_of(b"d")
