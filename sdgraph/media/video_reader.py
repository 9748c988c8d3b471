"""Reads videos from files, one frame in memory at a time, each at the time it is shown."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn

from sdgraph.errors import MediaError
from sdgraph.files import (
    FileStamp,
    convert_read_errors,
    memory_bytes,
    open_regular_file,
    raise_media_error,
    raise_too_large,
    raise_wrong_kind,
)
from sdgraph.values import Video

from .animations import GIF_TICK, animation_size, is_animation, limit_size, open_animation
from .frame_index import decode_frames
from .frame_times import FrameClock, TimedFrame, sample_frames
from .swscale import swscale_flags
from .video_tags import refuse_large_tags

if TYPE_CHECKING:
    import av
    import av.container

    from sdgraph.values import Pixels

CONTAINERS = (
    *("mov", "mp4", "m4a", "3gp", "3g2", "mj2", "matroska", "webm", "avi", "mpegts", "mpeg"),
    *("mpegvideo", "ogg", "flv", "asf", "h264", "hevc", "ivf", "y4m", "dv"),
)
"""The formats of FFmpeg that are read. None opens other files, as playlists (HLS, ffconcat) do."""

_OPTIONS = {"format_whitelist": ",".join(CONTAINERS), "protocol_whitelist": "file"}

_CLOCK_ERROR = 0.005
"""Seconds by which time stamps may miss the rate: the clocks of cameras are not exact."""


def read_video(
    path: str | Path,
    *,
    start: float = 0.0,
    seconds: float | None = None,
    fps: float | None = None,
    longest: int | None = None,
) -> Video:
    """The frames of a video or animation, turned upright, without sound.

    The frames are those shown at equal distances in time: of a video whose frames are shown for
    different times, some are repeated and others may be left out. Frames that are left out are
    never held in memory.

    Args:
        path: The file.
        start: Seconds to leave out at the beginning, counted from its first frame.
        seconds: How many seconds to take; None is the rest.
        fps: Frames per second; None is the file's own rate, on average.
        longest: How many pixels the longer side may have; None leaves the size as it is.

    Raises:
        MediaError: The file is missing, unreadable, damaged, too long or has no frames in that
            part.
    """
    import numpy as np

    with convert_read_errors(path, "a video"), _open_frames(path, longest) as source:
        rate = fps or source.rate
        if not source.rate:
            raise_no_frames(path)
        tolerance = clock_tolerance(source.clock_tick, rate, is_own_rate=fps is None)
        frames = sample_frames(
            source.frames, rate, start=start, seconds=seconds, tolerance=tolerance
        )
        sampled = list(_limit_memory(frames, path))
        if not sampled:
            raise_no_frames(path, start)
        stack = np.stack(sampled)
        stack.setflags(write=False)  # so that Video makes no copy
        return Video(stack, rate)


def clock_tolerance(clock_tick: float, rate: float, *, is_own_rate: bool) -> float:
    """By how many seconds a frame may begin after its time and count as in time.

    Args:
        clock_tick: The unit of the time stamps, in seconds.
        rate: How many frames per second are taken.
        is_own_rate: Whether that is the rate of the file: then the rate, too, is rounded.
    """
    if not is_own_rate:
        return clock_tick / 2
    return min(max(clock_tick, min(_CLOCK_ERROR, 0.1 / rate)), 0.4 / rate)


def raise_no_frames(path: str | Path, start: float = 0.0) -> NoReturn:
    """Raises a MediaError about a video without frames, or without any after its start."""
    if start:
        found = f"no frame {start:g} s from its start"
        raise_media_error(path, found, "a start within the video", "lower start")
    raise_media_error(path, "no frames", "a video with at least one frame", "save it again")


def probe_video(path: str | Path) -> tuple[int, int]:
    """(width, height) of the video or animation in a file, before it is turned; reads its header.

    Raises:
        MediaError: The file is missing, unreadable or not a video.
    """
    with convert_read_errors(path, "a video"):
        if is_animation(path):
            return animation_size(path)
        with open_video(path) as container:
            stream = container.streams.video[0]
            return stream.width, stream.height


def estimate_frames(
    path: Path, *, start: float = 0.0, seconds: float | None = None, fps: float | None = None
) -> int | None:
    """About how many frames `read_video` gives, by the header; None for a file that does not tell.

    Args:
        path: The file, of which only the header is read; an unchanged one is read once.
        start: As for `read_video`.
        seconds: As for `read_video`.
        fps: As for `read_video`.
    """
    try:
        length = _read_length(path, FileStamp.of(path))
    except OSError:
        return None
    if length is None:
        return None
    total, rate = length
    rest = total - start if seconds is None else min(total - start, seconds)
    return max(1, round(rest * (fps or rate)))


@lru_cache(maxsize=1024)
def _read_length(path: Path, stamp: FileStamp) -> tuple[float, float] | None:
    """The length of a video in seconds, and its frames per second."""
    try:
        if is_animation(path):
            return None
        with open_video(path) as container:
            stream, rate = container.streams.video[0], frame_rate(container)
            microseconds = stream.frames / rate * 1e6 if stream.frames and rate else 0.0
            microseconds = microseconds or container.duration or 0.0
            return (microseconds / 1e6, rate) if microseconds and rate else None
    except (MediaError, OSError, ValueError):
        return None


@contextmanager
def open_video(path: str | Path, wanted: str = "a video") -> Iterator[av.container.InputContainer]:
    """Opens the video at `path`; refuses pictures, text and lists of files, which FFmpeg opens.

    Args:
        path: The file.
        wanted: What it should be, for the error: "a video" or "a picture or video".
    """
    import av

    with open_regular_file(path) as file:
        refuse_large_tags(file)
    try:
        # "file:" in front, because FFmpeg takes a name such as "concat:a" for a protocol.
        container = av.open(f"file:{Path(path).absolute()}", options=_OPTIONS)
    except (av.error.ArgumentError, av.error.InvalidDataError) as error:  # of another format
        raise_wrong_kind(path, wanted, error)
    with container:
        if not container.streams.video:
            found = f"no video (but {container.format.long_name})"
            raise_media_error(path, found, "a video", "name another file")
        _refuse_large_frames(path, container)
        yield container


def _refuse_large_frames(path: str | Path, container: av.container.InputContainer) -> None:
    import PIL.Image

    width, height = (getattr(container.streams.video[0], side) for side in ("width", "height"))
    limit = PIL.Image.MAX_IMAGE_PIXELS
    if limit is not None and width * height > limit:
        raise_too_large(path, f"frames of {width}×{height} pixels", limit)


class _FrameSource(NamedTuple):
    """The frames of an open file, which are decoded one by one."""

    rate: float
    """Frames per second on average; 0 if unknown."""
    frames: Iterator[TimedFrame]
    clock_tick: float
    """The unit of the time stamps, in seconds."""


@contextmanager
def _open_frames(path: str | Path, longest: int | None) -> Iterator[_FrameSource]:
    if is_animation(path):
        with open_animation(path, longest) as (rate, frames):
            yield _FrameSource(rate, frames, GIF_TICK)
    else:
        with open_video(path) as container:
            tick = float(container.streams.video[0].time_base or 0)
            yield _FrameSource(frame_rate(container), _decode(container, longest), tick)


def frame_rate(container: av.container.InputContainer) -> float:
    """Frames per second on average; 0 if unknown."""
    stream = container.streams.video[0]
    if stream.start_time is None and stream.guessed_rate:
        return float(stream.guessed_rate)  # of a stream without time stamps: the average is made up
    return float(stream.average_rate or stream.guessed_rate or 0)


def _decode(container: av.container.InputContainer, longest: int | None) -> Iterator[TimedFrame]:
    """Decodes the frames of a video with FFmpeg; raises ValueError if the file is cut short."""
    rate, clock, end = frame_rate(container), FrameClock(), 0.0
    convert = PixelConverter(longest)
    for frame, (stamp, duration) in decode_frames(container):
        begin, end = clock.place(stamp, duration or (1 / rate if rate else 0.0))
        yield TimedFrame(convert(frame), begin, end)
    refuse_cut_short(container, rate, end)


class PixelConverter:
    """Turns decoded frames into pixels: RGB, upright, and no larger than wanted.

    Args:
        longest: How many pixels the longer side may have; None leaves the size as it is.
    """

    def __init__(self, longest: int | None) -> None:
        from av.video.reformatter import VideoReformatter

        self._scaler, self._flags = VideoReformatter(), swscale_flags()
        self._longest = longest

    def __call__(self, frame: av.VideoFrame) -> Pixels:
        """The pixels of a frame: uint8, height × width × 3."""
        import numpy as np

        width, height = limit_size((frame.width, frame.height), self._longest)
        scaled = self._scaler.reformat(frame, width, height, "rgb24", interpolation=self._flags)
        pixels: Any = scaled.to_ndarray()  # PyAV's annotation allows all its formats
        return np.rot90(pixels, frame.rotation // 90)


def refuse_cut_short(container: av.container.InputContainer, rate: float, end: float) -> None:
    """Raises ValueError if the frames end long before the duration in a tag of Matroska."""
    stream = container.streams.video[0]
    clock = stream.metadata.get("DURATION", "0").split(":")
    seconds = sum(float(part) * 60**power for power, part in enumerate(reversed(clock)))
    first = float((stream.start_time or 0) * (stream.time_base or 0))
    if rate and end + 3 / rate < seconds - first:
        raise ValueError(f"it ends after {end:.2f} of {seconds:.2f} seconds")


def _limit_memory(frames: Iterator[Pixels], path: str | Path) -> Iterator[Pixels]:
    """The frames; raises MediaError before they take more than half of the memory there is."""
    limit = memory_bytes() // 2
    total = 0
    for frame in frames:
        total += frame.nbytes
        if total > limit:
            found = f"a video with more than {total:,} bytes of frames"
            fix = "read a part of it (seconds), fewer frames (fps) or smaller ones (longest)"
            raise_media_error(path, found, f"at most {limit:,} bytes, half of the memory", fix)
        yield frame
