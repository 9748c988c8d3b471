"""A further thread takes only steps that are worth it, and OpenCV's threads are shared."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sdgraph.execution.step_threads import (
    HEAVY_SECONDS,
    OpenCVThreads,
    takes_step,
)


@given(st.floats(0, 10), st.floats(0, 10))
def test_a_thread_takes_what_is_worth_it(running: float, last: float) -> None:
    worth = running >= HEAVY_SECONDS or last >= HEAVY_SECONDS
    assert takes_step(running, last) == worth


def test_steps_that_run_at_once_share_the_threads_of_opencv() -> None:
    import cv2

    usual = cv2.getNumThreads()
    try:
        cv2.setNumThreads(4)
        threads = OpenCVThreads()
        with threads:
            assert cv2.getNumThreads() == 4
            with threads:
                assert cv2.getNumThreads() == 2
                with threads, threads, threads:
                    assert cv2.getNumThreads() == 1
            assert cv2.getNumThreads() == 4
        assert cv2.getNumThreads() == 4
    finally:
        cv2.setNumThreads(usual)
