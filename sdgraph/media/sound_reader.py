"""Reads the sound of a video, a second at a time, at the times of its frames."""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sdgraph.files import FileStamp, convert_read_errors, raise_media_error
from sdgraph.values.streams import ArrayStream, SequentialChunks

from .video_reader import open_video

if TYPE_CHECKING:
    import av
    import av.container
    import numpy as np
    import numpy.typing as npt

    Samples = npt.NDArray[np.float32]

IN_MEMORY_BYTES = 8 * 2**20
"""Sound of at most so many bytes is loaded into memory."""

_RATES = range(8_000, 192_001)
_USUAL_RATE = 48_000
_JITTER = 0.05
"""Seconds by which time stamps of sound may miss the end of what was before."""


class SoundPart(NamedTuple):
    """The part of the sound that belongs to the frames of a video, in seconds."""

    start: float
    """From the first frame of the file."""
    seconds: float
    """How long the frames are shown."""


class _Source(NamedTuple):
    """What is read from a file."""

    path: Path
    stamp: FileStamp
    zero: float
    """The time stamp at which the sound begins, in seconds."""
    rate: int
    channels: int
    samples: int


def read_sound(path: Path, part: SoundPart) -> tuple[Samples | ArrayStream, int] | None:
    """The sound of a part of a video, and its samples per second; None if it has none.

    It is as long as the part: where the file has no sound there is silence. More than two channels
    are mixed to two.

    Args:
        path: The file.
        part: The part.

    Raises:
        MediaError: The sound is damaged; that of a stream raises it when it is read.
    """
    with convert_read_errors(path, "a video"), open_video(path) as container:
        if not container.streams.audio:
            return None
        context = container.streams.audio[0].codec_context
        # Sound of a codec that nothing here decodes has no context.
        if context is None or context.sample_rate <= 0:
            return None
        rate = context.sample_rate if context.sample_rate in _RATES else _USUAL_RATE
        channels = min(2, max(1, context.channels))
        samples = max(1, round(part.seconds * rate))
        zero = _first_time(container) + part.start
    source = _Source(path, FileStamp.of(path), zero, rate, channels, samples)
    chunks = SequentialChunks(partial(_seconds, source), 1)
    stream = ArrayStream((samples, channels), "float32", rate, lambda number: chunks(number)[0])
    return (stream.array() if samples * channels * 4 <= IN_MEMORY_BYTES else stream), rate


def _first_time(container: av.container.InputContainer) -> float:
    """The time stamp of the first frame, in seconds."""
    stream = container.streams.video[0]
    return float((stream.start_time or 0) * (stream.time_base or 0))


def _seconds(source: _Source) -> Iterator[Samples]:
    """The sound in pieces of a second."""
    import numpy as np

    total, held, size = 0, list[Any](), 0
    for block in _blocks(source):
        block = block[: source.samples - total]
        held.append(block)
        total, size = total + len(block), size + len(block)
        while size >= source.rate:
            joined = np.concatenate(held)
            piece, rest = joined[: source.rate].copy(), joined[source.rate :]
            piece.setflags(write=False)
            yield piece
            held, size = [rest], len(rest)
        if total >= source.samples:
            break
    silence = np.zeros((source.samples - total, source.channels), np.float32)
    rest = np.concatenate([*held, silence])
    for begin in range(0, len(rest), source.rate):
        piece = rest[begin : begin + source.rate].copy()
        piece.setflags(write=False)
        yield piece


def _blocks(source: _Source) -> Iterator[Samples]:
    """The sound from its beginning, with silence where the file has none."""
    import av
    import numpy as np

    with convert_read_errors(source.path, "a video"), open_video(source.path) as container:
        if FileStamp.of(source.path) != source.stamp:
            found = "a file that changed while it was read"
            raise_media_error(source.path, found, "a file that stays as it is", "run again")
        layout = "mono" if source.channels == 1 else "stereo"
        resampler = av.AudioResampler("flt", layout, source.rate)
        position = 0  # of the next sample that is given, from the beginning
        skip: int | None = None  # samples before the beginning
        for frame in _decode(container):
            if skip is None or frame.time is not None:
                at = round((float(frame.time or 0) - source.zero) * source.rate)
                if skip is None:
                    skip = max(0, -at)
                    gap = max(0, at)
                else:
                    gap = at - position if at - position > _JITTER * source.rate else 0
                if gap > 0 and position + gap > 0:
                    for _ in range(-(-gap // source.rate)):
                        piece = min(gap, source.rate)
                        yield np.zeros((piece, source.channels), np.float32)
                        position, gap = position + piece, gap - piece
            frame.pts = None
            for resampled in resampler.resample(frame):
                samples = _samples(resampled, source.channels)
                cut = min(skip, len(samples))
                skip -= cut
                position += len(samples) - cut
                if cut < len(samples):
                    yield samples[cut:]
        for resampled in resampler.resample(None):
            yield _samples(resampled, source.channels)[skip or 0 :]


def _decode(container: av.container.InputContainer) -> Iterator[av.AudioFrame]:
    """The decoded frames of sound; raises ValueError about a damaged one."""
    import av

    stream = container.streams.audio[0]
    seconds = 0.0
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise ValueError(f"its sound is cut short after {seconds:.1f} s")
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            raise ValueError(f"its sound cannot be decoded after {seconds:.1f} s") from error
        for frame in frames:
            seconds = float(frame.time or seconds)
            yield frame


def _samples(frame: av.AudioFrame, channels: int) -> Samples:
    """The samples of a frame, samples × channels, within -1..1."""
    import numpy as np

    samples: Samples = np.nan_to_num(frame.to_ndarray().reshape(-1, channels))
    return np.clip(samples, -1.0, 1.0).astype(np.float32, copy=False)
