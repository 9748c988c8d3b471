"""Videos: Canny's edges of each frame, beside a loop of PyAV and OpenCV.

Each run is a process, so that its peak of memory is its own. `rows` has videos of 120 and 480
frames at 640×360 and one of 1080p; `long_rows` one of 10,000 frames, which takes some ten minutes.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import NamedTuple

from .timing import Row, compiled_environment
from .video_scripts import make_video

ROUNDS = 3
_SMALL, _FULL_HD = (640, 360), (1920, 1080)


class _Run(NamedTuple):
    wall: float
    cpu: float
    megabytes: float
    imports_torch: bool


def _start(way: str, source: Path, target: Path) -> subprocess.Popen[str]:
    script = [sys.executable, "-m", "tests.benchmarks.video_scripts", way, str(source), str(target)]
    return subprocess.Popen(script, stdout=subprocess.PIPE, text=True, env=compiled_environment())


def _finish(process: subprocess.Popen[str]) -> _Run:
    output, _ = process.communicate()
    if process.returncode:
        raise RuntimeError(f"{process.args!r} failed")
    wall, cpu, megabytes, torch = output.split()
    return _Run(float(wall), float(cpu), float(megabytes), torch == "True")


def _run(way: str, source: Path) -> _Run:
    return _finish(_start(way, source, source.with_name(f"{way}.mp4")))


def _halves(first: Path, second: Path) -> float:
    """The seconds of the slower of two loops at the same time, each with half of the video."""
    running = [_start("loop", path, path.with_suffix(".edges.mp4")) for path in (first, second)]
    return max(_finish(process).wall for process in running)


def _memory_row(what: str, source: Path, aim: str) -> Row:
    ours, bare = _run("graph", source), _run("loop", source)
    beside = f"bare loop {bare.megabytes:.0f} MB"
    ratio = f"{ours.megabytes / bare.megabytes:.2f}"
    return Row(f"{what}: peak memory", f"{ours.megabytes:.0f} MB", beside, ratio, aim)


def rows() -> Iterator[Row]:
    """CPU and wall time of videos, start of the process included, and the peak of memory."""
    with TemporaryDirectory() as folder:
        video, first, second = (Path(folder) / f"{name}.mp4" for name in ("video", "a", "b"))
        make_video(video, 480)
        for half in (first, second):
            make_video(half, 240)
        minute = Path(folder) / "minute.mp4"
        pairs = [(_run("graph", video), _run("loop", video)) for _ in range(ROUNDS)]
        yield _ratio_row(
            "video of 480 frames, Canny: CPU",
            [(ours.cpu, bare.cpu) for ours, bare in pairs],
            "bare loop",
        )
        walls = [(_run("graph", video).wall, _halves(first, second)) for _ in range(ROUNDS)]
        yield _ratio_row("the same: wall, all cores", walls, "two loops of half the video")
        make_video(minute, 1500)
        for half in (first, second):
            make_video(half, 750)
        walls = [(_run("graph", minute).wall, _halves(first, second)) for _ in range(ROUNDS)]
        yield _ratio_row("a minute of video: wall, all cores", walls, "two loops of half of it")
        torch = "imported" if any(ours.imports_torch for ours, _ in pairs) else "not imported"
        yield Row("the same: torch", torch, "–", "–", "not imported")
        yield _memory_row("the same", video, "≤ 300 MB")
        make_video(video, 120)
        yield _memory_row("120 frames", video, "≤ 300 MB")
        make_video(video, 120, _FULL_HD)
        yield _memory_row("120 frames of 1080p", video, "≤ 500 MB")


def long_rows() -> Iterator[Row]:
    """The peak of memory of a video of 10,000 frames."""
    with TemporaryDirectory() as folder:
        video = Path(folder) / "video.mp4"
        make_video(video, 10_000)
        yield _memory_row("10,000 frames", video, "≤ 300 MB")


def _ratio_row(what: str, pairs: list[tuple[float, float]], beside: str) -> Row:
    ours, bare = (median(pair[number] for pair in pairs) for number in (0, 1))
    ratio = median(one / other for one, other in pairs)
    return Row(what, f"{ours:.2f} s", f"{beside} {bare:.2f} s", f"{ratio:.2f}", "≤ 1.15")
