"""Reads animated pictures (GIF, WebP, PNG, AVIF) frame by frame, with the time of each."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from sdgraph.files import open_regular_file

from .frame_times import TimedFrame
from .image_files import open_image

if TYPE_CHECKING:
    import PIL.Image

GIF_TICK = 0.01
"""The unit in which a GIF counts time, in seconds."""

_DEFAULT_DELAY_MS = 100  # browsers treat a delay of 0 as this
_MAX_REPEATS = 10  # one long pause must not fill the memory


def is_animation(path: str | Path) -> bool:
    """Whether a file is a GIF, or another picture that moves; by its content, not by its name."""
    with open_regular_file(path) as file:
        begin = file.read(4096)
    if begin.startswith(b"GIF8"):
        return True
    if begin.startswith(b"\x89PNG"):
        return b"acTL" in begin
    if begin[:4] == b"RIFF" and begin[8:12] == b"WEBP":
        return b"ANIM" in begin
    return begin[4:12] == b"ftypavis"


def animation_size(path: str | Path) -> tuple[int, int]:
    """(width, height) of an animated picture, read from its header."""
    with open_image(path) as picture:
        return picture.size


@contextmanager
def open_animation(
    path: str | Path, longest: int | None
) -> Iterator[tuple[float, Iterator[TimedFrame]]]:
    """The rate of an animated picture in frames per second, and its frames.

    The rate is that of the frame that is shown for the shortest time, so that none is lost, or the
    average rate if that would repeat the others too often.

    Args:
        path: The file.
        longest: How many pixels the longer side may have; None leaves the size as it is.
    """
    with open_image(path, every_frame=True) as picture:
        delays = [*_delays(picture)]
        repeats = [round(delay / min(delays)) for delay in delays]
        if sum(repeats) > _MAX_REPEATS * len(repeats):
            repeats = [1] * len(repeats)
        yield 1000 * sum(repeats) / sum(delays), _frames(picture, delays, longest)


def limit_size(size: tuple[int, int], longest: int | None) -> tuple[int, int]:
    """The size reduced so that its longer side is at most `longest`; proportions are kept."""
    if longest is None or max(size) <= longest:
        return size
    width, height = (max(1, round(side * longest / max(size))) for side in size)
    return width, height


def _delays(picture: PIL.Image.Image) -> Iterator[float]:
    """For how many milliseconds each frame is shown."""
    from PIL import ImageSequence

    for frame in ImageSequence.Iterator(picture):
        if picture.format != "GIF":
            frame.load()  # the others say it then
        yield frame.info.get("duration") or _DEFAULT_DELAY_MS


def _frames(
    picture: PIL.Image.Image, delays: list[float], longest: int | None
) -> Iterator[TimedFrame]:
    import numpy as np
    from PIL import ImageSequence

    milliseconds = 0.0
    for frame, delay in zip(ImageSequence.Iterator(picture), delays, strict=True):
        size = limit_size(frame.size, longest)
        frame = frame.convert("RGB")
        pixels = np.asarray(frame if size == frame.size else frame.resize(size))
        begin, milliseconds = milliseconds, milliseconds + delay
        yield TimedFrame(pixels, begin / 1000, milliseconds / 1000)
