"""When a further thread takes a step without models, and how such steps share OpenCV's threads.

OpenCV, Pillow and numpy release Python's lock while they compute, so that independent steps on
pictures can use all cores. Passing a small step to another thread takes longer than running it, so
a further thread takes steps only while steps take a millisecond or more, and not far ahead of the
first unfinished one, because results wait in memory.
"""

from __future__ import annotations

import sys
import threading
from types import TracebackType

HEAVY_SECONDS = 0.001
"""A step of at least so many seconds is worth a thread."""

STEPS_AHEAD = 8
"""How many steps each thread may be ahead of the first unfinished one."""


def takes_step(index: int, first: int, threads: int, seconds: float) -> bool:
    """Whether a further thread takes a step that can run.

    Args:
        index: The position of the step in the plan.
        first: That of the first unfinished step.
        threads: The number of threads that run steps.
        seconds: How long a step has lately taken, or the running one has taken until now.

    Example:
        >>> takes_step(5, first=0, threads=2, seconds=0.05)
        True
        >>> takes_step(5, first=0, threads=2, seconds=0.00002)
        False
        >>> takes_step(500, first=0, threads=2, seconds=0.05)
        False
    """
    return seconds >= HEAVY_SECONDS and index < first + STEPS_AHEAD * threads


class OpenCVThreads:
    """Shares the cores between steps that run at once, each of which may use OpenCV's own threads.

    A context in which one step runs. While several steps run in this process, each has an equal
    part of the threads that OpenCV uses otherwise; afterwards it is as it was. OpenCV is not
    imported for it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._running = 0
        self._usual: int | None = None

    def __enter__(self) -> None:
        with self._lock:
            self._running += 1
            self._share()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._running -= 1
            self._share()

    def _share(self) -> None:
        cv2 = sys.modules.get("cv2")
        if not hasattr(cv2, "setNumThreads"):  # it is not imported, or another thread imports it
            return
        assert cv2 is not None
        if self._running > 1:
            if self._usual is None:
                self._usual = cv2.getNumThreads()
            cv2.setNumThreads(max(1, self._usual // self._running))
        elif self._usual is not None:
            cv2.setNumThreads(self._usual)
            self._usual = None


opencv_threads = OpenCVThreads()
"""Those of this process, whichever session runs steps in it."""
