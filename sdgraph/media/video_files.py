"""Reads videos from files and writes them, one frame in memory at a time."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from math import ceil, inf
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from sdgraph.files import (
    DISK_FULL,
    UNWRITABLE,
    atomic_write,
    convert_read_errors,
    raise_media_error,
)
from sdgraph.values import Video

from .gifs import gif_frames, is_gif, limit_size, write_gif
from .image_files import open_image
from .metadata import to_comment
from .sidecar import write_sidecar

if TYPE_CHECKING:
    import av.container

    from sdgraph.values import Pixels

# suffix → codec, its options, its constant rate factor at quality 95 and at 0
_CODECS = {
    ".mp4": ("libx264", {"preset": "medium"}, 17, 51),
    ".webm": ("libvpx-vp9", {"b": "0", "row-mt": "1", "cpu-used": "2"}, 24, 63),
}
_NO_VIDEO_FORMATS = ("image2", "tty")  # FFmpeg's names
_SLACK = 1e-6  # of a frame's duration, which binary numbers may not hold exactly
_BT709 = 1  # as FFmpeg numbers primaries, transfer and matrix
_LIMITED_RANGE = 1  # what every browser expects of a video


def write_video(
    video: Video, path: str | Path, *, provenance: str | None = None, quality: int = 95
) -> bool:
    """Writes a video as MP4 (H.264), WebM (VP9) or GIF, by the path's suffix.

    An odd side of an MP4 is extended by one pixel, a copy of the edge. A GIF counts time in
    1/100 s.

    Args:
        video: What to write.
        path: Where to write; the suffix is one of `Video.suffixes`.
        provenance: How it was made; "" and None are not written.
        quality: 1..100; of no effect on a GIF.

    Returns:
        Whether the file holds the provenance.

    Raises:
        MediaError: The suffix is unknown, the encoder refuses the video, or the file cannot be
            written.
    """
    path = Path(path)
    provenance = provenance or None
    suffix = path.suffix.lower()
    if suffix not in Video.suffixes:
        raise_media_error(
            path, f"the suffix {path.suffix!r}", f"one of {', '.join(Video.suffixes)}", "rename it"
        )
    import av

    with atomic_write(path) as temporary:
        try:
            if suffix == ".gif":
                write_gif(video, temporary, provenance)
            else:
                _encode(video, temporary, provenance, quality)
        except (av.error.FFmpegError, ValueError, OverflowError, struct.error) as error:
            if isinstance(error, OSError) and error.errno in (*DISK_FULL, *UNWRITABLE):
                raise
            found = f"an encoder that refuses {video!r}: {error}"
            fix = "resize it, or try .webm"
            raise_media_error(path, found, "a size and rate that it accepts", fix, error)
    write_sidecar(path, None)
    return provenance is not None


def read_video(
    path: str | Path,
    *,
    start: float = 0.0,
    seconds: float | None = None,
    fps: float | None = None,
    longest: int | None = None,
) -> Video:
    """The frames of a video or GIF, turned upright, at their mean rate, without sound.

    Frames that are left out are never held in memory.

    Args:
        path: The file.
        start: Seconds to leave out at the beginning.
        seconds: How many seconds to take; None is the rest.
        fps: Frames per second, reached by dropping or repeating frames; None is the file's rate.
        longest: How many pixels the longer side may have; None leaves the size as it is.

    Raises:
        MediaError: The file is missing, unreadable, damaged or has no frames in that part.
    """
    import numpy as np

    with convert_read_errors(path, "a video"), _open_frames(path, longest) as (rate, frames):
        sampled = list(_sample(frames, rate, start, seconds, fps or rate)) if rate else []
        if not sampled and rate and start:
            found = f"no frame {start:g} s from its start"
            raise_media_error(path, found, "a start within the video", "lower start")
        if not sampled:
            raise_media_error(path, "no frames", "a video with at least one frame", "save it again")
        stack = np.stack(sampled)
        stack.setflags(write=False)  # so that Video makes no copy
        return Video(stack, fps or rate)


def probe_video(path: str | Path) -> tuple[int, int]:
    """(width, height) of the video or GIF in a file, before it is turned; reads only the header.

    Raises:
        MediaError: The file is missing, unreadable or not a video.
    """
    with convert_read_errors(path, "a video"):
        if is_gif(path):
            with open_image(path) as picture:
                return picture.size
        with open_video(path) as container:
            stream = container.streams.video[0]
            return stream.width, stream.height


@contextmanager
def open_video(path: str | Path) -> Iterator[av.container.InputContainer]:
    """Opens the video at `path`; refuses pictures and text, which FFmpeg also opens."""
    import av

    with av.open(str(path)) as container:
        name = container.format.name
        if not container.streams.video or name in _NO_VIDEO_FORMATS or "_pipe" in name:
            found = f"no video (but {container.format.long_name})"
            raise_media_error(path, found, "a video", "name another file")
        yield container


def _sample(
    frames: Iterator[Pixels], rate: float, start: float, seconds: float | None, fps: float
) -> Iterator[Pixels]:
    """The frames of a video of `rate` frames per second, sampled at `fps` frames per second.

    The first is the one shown at `start`; the last is shown before `seconds` have passed.
    """
    most = inf if seconds is None else max(1, ceil(seconds * fps - _SLACK))
    count = 0
    for number, frame in enumerate(frames):
        # Few rates are round numbers: the slack allows for a frame that just misses its time.
        while count < most and (start + count / fps) * rate < number + 1 - _SLACK:
            yield frame
            count += 1
        if count >= most:
            return


def _accurate_scaling() -> Any:
    """The flags for scaling colours; without them FFmpeg darkens all colours by over 1 of 255."""
    from av.video.reformatter import Interpolation

    return Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def _encode(video: Video, path: Path, provenance: str | None, quality: int) -> None:
    """Writes MP4 or WebM, in the colours of BT.709 and marked as such."""
    import av
    import numpy as np
    from av.video.reformatter import Colorspace, VideoReformatter

    codec, options, best, worst = _CODECS[path.suffix.lower()]
    rate = Fraction(video.fps).limit_denominator(100_000)  # 29.97002997… is 30000/1001 again
    is_mp4 = codec == "libx264"
    width, height = (side + side % 2 * is_mp4 for side in video.size)  # 4:2:0 has no odd sides
    edges = ((0, height - video.size[1]), (0, width - video.size[0]), (0, 0))
    with av.open(str(path), "w", options={"movflags": "+faststart"} if is_mp4 else {}) as file:
        if provenance is not None:
            file.metadata["comment"] = to_comment(provenance)
        crf = round(best + (95 - quality) * (worst - best) / 95)
        options = {**options, "crf": str(crf)}
        stream = cast("av.VideoStream", file.add_stream(codec, rate=rate, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        scaler = VideoReformatter()  # one for all frames, since setting one up takes time
        flags = _accurate_scaling()
        for number, pixels in enumerate(video.frames):
            if (width, height) != video.size:
                pixels = np.pad(pixels, edges, "edge")
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = scaler.reformat(
                frame, format="yuv420p", dst_colorspace=Colorspace.ITU709, interpolation=flags
            )
            frame.pts, frame.time_base = number, 1 / rate
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


@contextmanager
def _open_frames(path: str | Path, longest: int | None) -> Iterator[tuple[float, Iterator[Pixels]]]:
    """The rate of a video (0 if unknown), and its frames, which are decoded one by one."""
    if is_gif(path):
        with open_image(path) as gif:
            yield gif_frames(gif, longest)
    else:
        with open_video(path) as container:
            yield _rate(container), _decode(container, longest)


def _rate(container: av.container.InputContainer) -> float:
    stream = container.streams.video[0]
    return float(stream.average_rate or stream.guessed_rate or 0)


def _decode(container: av.container.InputContainer, longest: int | None) -> Iterator[Pixels]:
    """Decodes the frames of a video with FFmpeg; raises ValueError if the file is cut short."""
    import numpy as np
    from av.video.reformatter import VideoReformatter

    scaler, flags = VideoReformatter(), _accurate_scaling()
    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    rate = _rate(container)
    number, end = 0, 0.0
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise ValueError(f"frame {number} is cut short")
        for frame in packet.decode():
            width, height = limit_size((frame.width, frame.height), longest)
            scaled = scaler.reformat(frame, width, height, "rgb24", interpolation=flags)
            pixels: Any = scaled.to_ndarray()  # PyAV's annotation allows all its formats
            end = frame.time or end
            number += 1
            yield np.rot90(pixels, frame.rotation // 90)
    clock = stream.metadata.get("DURATION", "0").split(":")  # Matroska's tag for the duration
    seconds = sum(float(part) * 60**power for power, part in enumerate(reversed(clock)))
    if rate and end + 3 / rate < seconds:
        raise ValueError(f"it ends after {end:.2f} of {seconds:.2f} seconds")
