"""When a further thread takes a step without models, and how such steps share OpenCV's threads.

OpenCV, Pillow and numpy release Python's lock while they compute, so that independent steps on
pictures can use all cores. Passing a small step to another thread takes longer than running it, so
a further thread takes steps only while steps take a millisecond or more.
"""

from __future__ import annotations

import sys
import threading
from types import TracebackType

HEAVY_SECONDS = 0.001
"""A step of at least so many seconds is worth a thread."""


def takes_step(running: float, last: float) -> bool:
    """Whether a further thread takes a step that can run.

    Args:
        running: How long the calling thread has been running its step, in seconds.
        last: How long the step took that finished last.

    Example:
        >>> takes_step(running=0.0, last=0.05)
        True
        >>> takes_step(running=0.00001, last=0.00002)
        False
    """
    return max(running, last) >= HEAVY_SECONDS


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
            if self._running > 1:
                self._share()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        with self._lock:
            self._running -= 1
            if self._usual is not None:
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
