"""Videos and GIFs from and to files."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from fractions import Fraction
from io import BytesIO
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from . import sidecar
from .files import DISK_FULL, UNWRITABLE, fail, reading, write_beside
from .inscription import pillow_marks, signed
from .pictures import opened_picture
from .values import Video

if TYPE_CHECKING:
    import av.container

    from .arrays import Pixels

# suffix → codec, its options, its constant rate factor at quality 95 and at 0
_VIDEOS = {
    ".mp4": ("libx264", {"preset": "medium"}, 17, 51),
    ".webm": ("libvpx-vp9", {"b": "0", "row-mt": "1", "cpu-used": "2"}, 24, 63),
}
_NO_FILM = ("image2", "tty")  # FFmpeg's names
_BT709 = 1  # as FFmpeg numbers primaries, transfer and matrix
VIDEO_SUFFIXES = (*_VIDEOS, ".gif")


def write_video(
    video: Video, path: str | Path, *, provenance: str | None = None, quality: int = 95
) -> bool:
    """Writes .mp4 (H.264), .webm (VP9) or .gif; returns whether it holds `provenance`.

    quality: 1..100, of no effect on a GIF. An odd side of an MP4 grows by one pixel, repeated from
    the edge. A GIF counts time in 1/100 s and merges equal frames in a row. Of a provenance of ""
    or None nothing is written. Raises MediaError.
    """
    path = Path(path)
    provenance = provenance or None
    suffix = path.suffix.lower()
    if suffix not in _VIDEOS and suffix != ".gif":
        fail(path, f"the suffix {path.suffix!r}", "one of .mp4, .webm, .gif", "rename it")
    import av

    with write_beside(path) as beside:
        try:
            if suffix == ".gif":
                _write_gif(video, beside, provenance)
            else:
                _encode(video, beside, provenance, quality)
        except (av.error.FFmpegError, ValueError, OverflowError, struct.error) as error:
            if isinstance(error, OSError) and error.errno in (*DISK_FULL, *UNWRITABLE):
                raise
            found = f"an encoder that refuses {video!r}: {error}"
            fail(path, found, "a size and rate it takes", "resize it, or try .webm", error)
    sidecar.keep(path, None)
    return provenance is not None


def read_video(path: str | Path) -> Video:
    """The frames of a video or GIF, turned upright, at their mean rate; sound is left out.

    Raises MediaError for a file that is missing, unreadable, damaged or holds no frames.
    """
    import numpy as np

    with reading(path, "a video"):
        with Path(path).open("rb") as file:
            is_gif = file.read(4) == b"GIF8"
        frames, fps = _gif_frames(path) if is_gif else _decoded(path)
        if not frames or not fps:
            fail(path, "no frames", "a video with at least one frame", "save it again")
        stack = np.stack(frames)
        stack.setflags(write=False)  # spares Video a copy
        return Video(stack, fps)


@contextmanager
def opened_film(path: str | Path) -> Iterator[av.container.InputContainer]:
    """The video at `path`, opened; FFmpeg alone would take pictures too, and text as a terminal."""
    import av

    with av.open(str(path)) as file:
        if not file.streams.video or file.format.name in _NO_FILM or "_pipe" in file.format.name:
            fail(path, f"no video (but {file.format.long_name})", "a video", "name another file")
        yield file


def _accurate() -> Any:
    """How to scale colours: without these flags FFmpeg darkens all by more than 1 of 255."""
    from av.video.reformatter import Interpolation

    return Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT


def _encode(video: Video, path: Path, provenance: str | None, quality: int) -> None:
    """Writes MP4 or WebM, in the colours of BT.709 and saying so, one frame in hand at a time."""
    import av
    import numpy as np

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
        for number, pixels in enumerate(video.frames):
            frame = av.VideoFrame.from_ndarray(np.pad(pixels, edges, "edge"), format="rgb24")
            frame = frame.reformat(
                format="yuv420p", dst_colorspace="ITU709", interpolation=_accurate()
            )
            frame.pts, frame.time_base = number, 1 / rate
            file.mux(stream.encode(frame))
        file.mux(stream.encode(None))


def _write_gif(video: Video, path: Path, provenance: str | None) -> None:
    """Writes a GIF that loops for ever; rounding its delays to 1/100 s does not add up."""
    ends = [round(100 * number / video.fps) for number in range(len(video) + 1)]
    delays = [10 * max(end - start, 1) for start, end in pairwise(ends)]
    marks = pillow_marks("GIF", provenance) if provenance is not None else {}
    pictures = (frame.pil for frame in video)
    options = {"save_all": True, "append_images": pictures, "duration": delays, "loop": 0}
    next(pictures).save(encoded := BytesIO(), "GIF", **options, **marks)
    path.write_bytes(encoded.getbuffer())


def _decoded(path: str | Path) -> tuple[list[Pixels], float]:
    """The frames of a video by FFmpeg, and its rate, 0 if unknown."""
    import numpy as np

    with opened_film(path) as file:
        stream = file.streams.video[0]
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or stream.guessed_rate or 0)
        frames: list[Any] = []  # PyAV types them by any of its formats
        end = 0.0
        for packet in file.demux(stream):
            if packet.is_corrupt:
                raise ValueError(f"frame {len(frames)} is cut short")
            for frame in packet.decode():
                pixels = frame.to_ndarray(format="rgb24", interpolation=_accurate())
                frames.append(np.rot90(pixels, frame.rotation // 90))
                end = frame.time or end
        clock = stream.metadata.get("DURATION", "0").split(":")  # Matroska's word for the end
        seconds = sum(float(part) * 60**power for power, part in enumerate(reversed(clock)))
        if rate and end + 3 / rate < seconds:
            raise ValueError(f"it ends after {end:.2f} of {seconds:.2f} seconds")
        return frames, rate


def _gif_frames(path: str | Path) -> tuple[list[Pixels], float]:
    """The frames of a GIF at an even rate: those held longer than the shortest are repeated."""
    import numpy as np
    from PIL import ImageSequence

    frames: list[Pixels] = []
    delays: list[float] = []
    with opened_picture(path) as gif:
        for frame in ImageSequence.Iterator(gif):
            frames.append(np.asarray(frame.convert("RGB")))
            delays.append(frame.info.get("duration") or 100)  # as browsers take a delay of 0
    times = [round(delay / min(delays)) for delay in delays]
    if sum(times) > 10 * len(times):  # one long pause must not fill the memory
        times = [1] * len(times)
    even = [frame for frame, count in zip(frames, times, strict=True) for _ in range(count)]
    return even, 1000 * len(even) / sum(delays)
