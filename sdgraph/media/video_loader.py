"""Loads videos: short ones into memory, long ones as streams whose frames are read when needed.

1. `LoadVideo` gives a video of at most `IN_MEMORY_BYTES` of frames as arrays.
2. Of a longer one, the times of all frames are read (`frame_index`). They say which frame of the
   file is shown at which place, by the rules of `frame_times`, so that the length is known.
3. Frames are decoded in order when they are read. Those of a moment ago are held; for earlier ones,
   the file is decoded from its beginning again.
4. A file that changes meanwhile is noticed: the frames of two files are never mixed.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from math import prod
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sdgraph.files import FileStamp, convert_read_errors, memory_bytes, raise_media_error
from sdgraph.values import Video
from sdgraph.values.streams import ArrayStream, SequentialChunks, chunk_length

from .animations import is_animation, limit_size
from .frame_index import FrameStamp, decode_frames, read_frame_stamps
from .frame_times import FrameClock, TimedFrame, sample_frames
from .sound_reader import SoundPart, read_sound
from .video_reader import (
    PixelConverter,
    clock_tolerance,
    estimate_frames,
    frame_rate,
    open_video,
    probe_video,
    raise_no_frames,
    read_video,
    refuse_cut_short,
)

if TYPE_CHECKING:
    from sdgraph.values import Pixels

IN_MEMORY_BYTES = 24 * 2**20
"""Videos with at most so many bytes of frames are loaded into memory."""

_FRAMES_PER_CHECK = 16


def load_video(
    path: str | Path,
    *,
    start: float = 0.0,
    seconds: float | None = None,
    fps: float | None = None,
    longest: int | None = None,
) -> Video:
    """The frames of a video or animation, turned upright, with its sound.

    The sound is that of the frames: it begins with the first and ends with the last one.

    Args:
        path: The file.
        start: As for `read_video`.
        seconds: As for `read_video`.
        fps: As for `read_video`.
        longest: As for `read_video`.

    Raises:
        MediaError: As for `read_video`. A damaged frame of a stream raises it when it is read.
    """
    path = Path(path)
    part: dict[str, Any] = {"start": start, "seconds": seconds, "fps": fps}
    with convert_read_errors(path, "a video"):
        if is_animation(path):
            return read_video(path, longest=longest, **part)
    width, height = limit_size(probe_video(path), longest)
    count = estimate_frames(path, **part)
    if count is not None and count * width * height * 3 <= IN_MEMORY_BYTES:
        video = read_video(path, longest=longest, **part)
        frames: Any = video.frames
        rate = video.fps
    else:
        opened = _open_stream(path, longest=longest, **part)
        rate, frames = opened.rate, opened.frames
        if prod(frames.shape) <= IN_MEMORY_BYTES:
            frames = frames.array()
    sound = read_sound(path, SoundPart(start, len(frames) / rate))
    return Video(frames, rate) if sound is None else Video(frames, rate, *sound)


class _OpenedStream(NamedTuple):
    frames: ArrayStream
    rate: float


class _Index(NamedTuple):
    """Which frames of a file are taken."""

    stamp: FileStamp
    stamps: list[FrameStamp]
    sources: Sequence[int]
    """For each frame of the video the number of the frame in the file."""


def _open_stream(
    path: Path, *, start: float, seconds: float | None, fps: float | None, longest: int | None
) -> _OpenedStream:
    with convert_read_errors(path, "a video"):
        stamp = FileStamp.of(path)
        stamps = _frame_stamps(path)
        with open_video(path) as container:
            own_rate = frame_rate(container)
            tick = float(container.streams.video[0].time_base or 0)
            if not own_rate:
                raise_no_frames(path)
            times = _timed_numbers(stamps, own_rate)
            rate = fps or own_rate
            tolerance = clock_tolerance(tick, rate, is_own_rate=fps is None)
            numbers: Any = sample_frames(
                iter(times), rate, start=start, seconds=seconds, tolerance=tolerance
            )
            sources = list(numbers)
            if not sources:
                raise_no_frames(path, start)
            if sources[-1] == len(times) - 1:
                refuse_cut_short(container, own_rate, times[-1].end)
    open_frames = partial(_read_frames, path, longest, _Index(stamp, stamps, sources))
    first = next(open_frames())
    make = SequentialChunks(open_frames, chunk_length(first.nbytes))
    shape = (len(sources), *first.shape)
    length, most_bytes = chunk_length(first.nbytes), memory_bytes() // 2
    return _OpenedStream(ArrayStream(shape, "uint8", length, make, most_bytes=most_bytes), rate)


def _frame_stamps(path: Path) -> list[FrameStamp]:
    with open_video(path) as container:
        stamps = read_frame_stamps(container)
    if stamps is None:
        with open_video(path) as container:
            stamps = [stamp for _, stamp in decode_frames(container)]
    return stamps


def _timed_numbers(stamps: list[FrameStamp], rate: float) -> list[TimedFrame]:
    """When each frame is shown, with its number in place of its pixels."""
    clock = FrameClock()
    return [
        TimedFrame(number, *clock.place(stamp, duration or 1 / rate))  # type: ignore[arg-type]
        for number, (stamp, duration) in enumerate(stamps)
    ]


def _read_frames(path: Path, longest: int | None, index: _Index) -> Iterator[Pixels]:
    """Decodes the frames that are taken, in order; raises MediaError about a damaged one."""
    import numpy as np

    with convert_read_errors(path, "a video"), open_video(path) as container:
        convert = PixelConverter(longest)
        decoded = decode_frames(container)
        number, pixels, shape = -1, None, None
        for source in index.sources:
            while number < source:
                frame, pixels = _next_frame(decoded, number + 1, index.stamps), None
                number += 1
                if number % _FRAMES_PER_CHECK == 0:
                    _refuse_change(path, index.stamp)
            if pixels is None:
                pixels = np.ascontiguousarray(convert(frame))
                pixels.setflags(write=False)
                if pixels.shape != (shape or pixels.shape):
                    raise ValueError(f"frame {number} has another size than those before")
                shape = pixels.shape
            yield pixels


def _next_frame(decoded: Iterator[Any], number: int, stamps: list[FrameStamp]) -> Any:
    following = next(decoded, None)
    if following is None:
        raise ValueError(f"frame {number} of {len(stamps)} is missing")
    frame, stamp = following
    if stamp.stamp != stamps[number].stamp:
        raise ValueError(f"frame {number} cannot be decoded")
    return frame


def _refuse_change(path: Path, stamp: FileStamp) -> None:
    if FileStamp.of(path) != stamp:
        found = "a file that changed while it was read"
        raise_media_error(path, found, "a file that stays as it is", "run again")
