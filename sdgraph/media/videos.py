"""Videos and GIFs from and to files."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from itertools import pairwise
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

from . import sidecar
from .images import opened_picture
from .metadata import pillow_marks, signed

if TYPE_CHECKING:
    import av.container
    import PIL.Image

    from sdgraph.values import Pixels

# suffix → codec, its options, its constant rate factor at quality 95 and at 0
_VIDEOS = {
    ".mp4": ("libx264", {"preset": "medium"}, 17, 51),
    ".webm": ("libvpx-vp9", {"b": "0", "row-mt": "1", "cpu-used": "2"}, 24, 63),
}
_NO_FILM = ("image2", "tty")  # FFmpeg's names
_SLACK = 1e-6  # of a frame's time, which binary numbers cannot all hold
_BT709 = 1  # as FFmpeg numbers primaries, transfer and matrix
VIDEO_SUFFIXES = (*_VIDEOS, ".gif")


def write_video(
    video: Video, path: str | Path, *, provenance: str | None = None, quality: int = 95
) -> bool:
    """Writes .mp4 (H.264), .webm (VP9) or .gif; returns whether it holds `provenance`.

    quality: 1..100, of no effect on a GIF. An odd side of an MP4 grows by one pixel, repeated from
    the edge. A GIF counts time in 1/100 s. One frame is in hand at a time. Of a provenance of ""
    or None nothing is written. Raises MediaError.
    """
    path = Path(path)
    provenance = provenance or None
    suffix = path.suffix.lower()
    if suffix not in _VIDEOS and suffix != ".gif":
        raise_media_error(
            path, f"the suffix {path.suffix!r}", "one of .mp4, .webm, .gif", "rename it"
        )
    import av

    with atomic_write(path) as beside:
        try:
            if suffix == ".gif":
                _write_gif(video, beside, provenance)
            else:
                _encode(video, beside, provenance, quality)
        except (av.error.FFmpegError, ValueError, OverflowError, struct.error) as error:
            if isinstance(error, OSError) and error.errno in (*DISK_FULL, *UNWRITABLE):
                raise
            found = f"an encoder that refuses {video!r}: {error}"
            raise_media_error(
                path, found, "a size and rate it takes", "resize it, or try .webm", error
            )
    sidecar.keep(path, None)
    return provenance is not None


def read_video(
    path: str | Path,
    *,
    start: float = 0.0,
    seconds: float | None = None,
    fps: float | None = None,
    longest: int | None = None,
) -> Video:
    """The frames of a video or GIF, turned upright, at their mean rate; sound is left out.

    `start` and `seconds` say which part, `fps` at what other rate (frames are dropped or repeated),
    `longest` how many pixels the longer side may have. What is left out is never held in memory.
    Raises MediaError for a file that is missing, unreadable, damaged or holds no frames there.
    """
    import numpy as np

    with convert_read_errors(path, "a video"), _frames(path, longest) as (rate, frames):
        chosen = list(_chosen(frames, rate, start, seconds, fps or rate)) if rate else []
        if not chosen and rate and start:
            raise_media_error(
                path,
                f"no frame {start:g} s from its start",
                "a start within the video",
                "lower start",
            )
        if not chosen:
            raise_media_error(path, "no frames", "a video with at least one frame", "save it again")
        stack = np.stack(chosen)
        stack.setflags(write=False)  # spares Video a copy
        return Video(stack, fps or rate)


def probe_video(path: str | Path) -> tuple[int, int]:
    """(width, height) of the video or GIF in a file, before it is turned, from its header alone.

    Raises MediaError for what is no video.
    """
    with convert_read_errors(path, "a video"):
        if _is_gif(path):
            with opened_picture(path) as picture:
                return picture.size
        with opened_film(path) as film:
            stream = film.streams.video[0]
            return stream.width, stream.height


def _chosen(
    frames: Iterator[Pixels], rate: float, start: float, seconds: float | None, fps: float
) -> Iterator[Pixels]:
    """Of frames that come `rate` a second, those that are seen at each of `fps` moments a second.

    The first moment is `start`, the last before `seconds` are over.
    """
    most = inf if seconds is None else max(1, ceil(seconds * fps - _SLACK))
    count = 0
    for number, frame in enumerate(frames):
        # Also the moments that a frame does not quite reach, for a rate is rarely a round number.
        while count < most and (start + count / fps) * rate < number + 1 - _SLACK:
            yield frame
            count += 1
        if count >= most:
            return


def _is_gif(path: str | Path) -> bool:
    with Path(path).open("rb") as file:
        return file.read(4) == b"GIF8"


@contextmanager
def opened_film(path: str | Path) -> Iterator[av.container.InputContainer]:
    """The video at `path`, opened; FFmpeg alone would take pictures too, and text as a terminal."""
    import av

    with av.open(str(path)) as file:
        if not file.streams.video or file.format.name in _NO_FILM or "_pipe" in file.format.name:
            raise_media_error(
                path, f"no video (but {file.format.long_name})", "a video", "name another file"
            )
        yield file


def _accurate() -> Any:
    """How to scale colours: without these flags FFmpeg darkens all by more than 1 of 255."""
    from av.video.reformatter import Interpolation

    return Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def _encode(video: Video, path: Path, provenance: str | None, quality: int) -> None:
    """Writes MP4 or WebM, in the colours of BT.709 and saying so, one frame in hand at a time."""
    import av
    import numpy as np
    from av.video.reformatter import Colorspace, VideoReformatter

    codec, options, best, worst = _VIDEOS[path.suffix.lower()]
    rate = Fraction(video.fps).limit_denominator(100_000)  # 29.97002997… is 30000/1001 again
    is_mp4 = codec == "libx264"
    width, height = (side + side % 2 * is_mp4 for side in video.size)  # its 4:2:0 has no odd sides
    edges = ((0, height - video.size[1]), (0, width - video.size[0]), (0, 0))
    with av.open(str(path), "w", options={"movflags": "+faststart"} if is_mp4 else {}) as file:
        if provenance is not None:
            file.metadata["comment"] = signed(provenance)
        crf = round(best + (95 - quality) * (worst - best) / 95)
        options = {**options, "crf": str(crf)}
        stream = cast("av.VideoStream", file.add_stream(codec, rate=rate, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = 1  # limited: what every browser expects of a video
        scaler = VideoReformatter()  # a frame's own would be set up anew for each
        for number, pixels in enumerate(video.frames):
            if (width, height) != video.size:
                pixels = np.pad(pixels, edges, "edge")
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = scaler.reformat(
                frame, format="yuv420p", dst_colorspace=Colorspace.ITU709, interpolation=_accurate()
            )
            frame.pts, frame.time_base = number, 1 / rate
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def _write_gif(video: Video, path: Path, provenance: str | None) -> None:
    """Writes a GIF that loops for ever, of each frame what changed, one frame in hand at a time.

    Pillow's own way to save one holds every frame until the last is there.
    """
    import PIL.Image
    from PIL.GifImagePlugin import getheader
    from PIL.ImageChops import difference

    # Ends are rounded and not delays, so that the errors do not add up.
    ends = [round(100 * number / video.fps) for number in range(len(video) + 1)]
    marks = pillow_marks("GIF", provenance) if provenance is not None else {}
    before = None
    with path.open("wb") as file:
        file.writelines(getheader(PIL.Image.new("P", video.size), info={"loop": 0, **marks})[0])
        for frame, (start, end) in zip(video, pairwise(ends), strict=True):
            picture = frame.pil
            box = difference(before, picture).getbbox() if before else (0, 0, *video.size)
            file.write(_gif_frame(picture, box, max(end - start, 1)))
            before = picture
        file.write(b";")


def _gif_frame(picture: PIL.Image.Image, box: tuple[int, ...] | None, delay: int) -> bytes:
    """A frame of a GIF for `delay` / 100 s: the box of the picture, in 256 colours of its own.

    No box is a frame that changes nothing: one pixel that does not show.
    """
    left, top, right, bottom = box or (0, 0, 1, 1)
    part = picture.crop((left, top, right, bottom))
    part = part.quantize(min(256, part.width * part.height))
    colours = bytes(part.getpalette() or ())
    bits = max(1, (len(colours) // 3 - 1).bit_length())
    control = struct.pack("<3sBHBB", b"!\xf9\4", box is None, delay, 0, 0)
    place = struct.pack("<cHHHHB", b",", left, top, *part.size, 0x80 | bits - 1)
    table = colours.ljust(3 << bits, b"\0")
    return b"".join([control, place, table, b"\x08", part.tobytes("gif", "P"), b"\0"])


@contextmanager
def _frames(path: str | Path, longest: int | None) -> Iterator[tuple[float, Iterator[Pixels]]]:
    """The rate of a video, 0 if unknown, and its frames, each made when it is asked for."""
    if _is_gif(path):
        with opened_picture(path) as gif:
            yield _gif_frames(gif, longest)
    else:
        with opened_film(path) as film:
            stream = film.streams.video[0]
            yield float(stream.average_rate or stream.guessed_rate or 0), _decoded(film, longest)


def _decoded(film: av.container.InputContainer, longest: int | None) -> Iterator[Pixels]:
    """The frames of a video by FFmpeg; raises ValueError where the file is cut short."""
    import numpy as np
    from av.video.reformatter import VideoReformatter

    scaler = VideoReformatter()
    stream = film.streams.video[0]
    stream.thread_type = "AUTO"
    rate = float(stream.average_rate or stream.guessed_rate or 0)
    number, end = 0, 0.0
    for packet in film.demux(stream):
        if packet.is_corrupt:
            raise ValueError(f"frame {number} is cut short")
        for frame in packet.decode():
            width, height = _within((frame.width, frame.height), longest)
            scaled = scaler.reformat(frame, width, height, "rgb24", interpolation=_accurate())
            pixels: Any = scaled.to_ndarray()  # PyAV types it by any of its formats
            end = frame.time or end
            number += 1
            yield np.rot90(pixels, frame.rotation // 90)
    clock = stream.metadata.get("DURATION", "0").split(":")  # Matroska's word for the end
    seconds = sum(float(part) * 60**power for power, part in enumerate(reversed(clock)))
    if rate and end + 3 / rate < seconds:
        raise ValueError(f"it ends after {end:.2f} of {seconds:.2f} seconds")


def _gif_frames(gif: PIL.Image.Image, longest: int | None) -> tuple[float, Iterator[Pixels]]:
    """The frames of a GIF at an even rate: those held longer than the shortest are repeated."""
    import numpy as np
    from PIL import ImageSequence

    # As browsers take a delay of 0.
    delays = [each.info.get("duration") or 100 for each in ImageSequence.Iterator(gif)]
    times = [round(delay / min(delays)) for delay in delays]
    if sum(times) > 10 * len(times):  # one long pause must not fill the memory
        times = [1] * len(times)

    def even() -> Iterator[Pixels]:
        for frame, count in zip(ImageSequence.Iterator(gif), times, strict=True):
            size = _within(frame.size, longest)
            shown = frame.convert("RGB")
            pixels = np.asarray(shown if size == shown.size else shown.resize(size))
            yield from (pixels for _ in range(count))

    return 1000 * sum(times) / sum(delays), even()


def _within(size: tuple[int, int], longest: int | None) -> tuple[int, int]:
    """The size with its longer side no longer than that, the shorter in proportion."""
    if longest is None or max(size) <= longest:
        return size
    width, height = (max(1, round(side * longest / max(size))) for side in size)
    return width, height
