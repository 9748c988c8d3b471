"""Writes videos to files, one frame in memory at a time."""

from __future__ import annotations

import struct
from fractions import Fraction
from pathlib import Path
from typing import TYPE_CHECKING, cast

from sdgraph.files import (
    DISK_FULL,
    UNWRITABLE,
    atomic_write,
    raise_media_error,
)
from sdgraph.values import Video

from .edit_check import fill_in_hash_of_file, reserve_hash
from .gifs import FrameProgress, write_gif
from .metadata import to_comment
from .sidecar import write_sidecar
from .sound_writer import SoundWriter
from .swscale import swscale_flags
from .x264_options import x264_options

if TYPE_CHECKING:
    import av

# suffix → codec, its options, its constant rate factor at quality 95 and at 0
_CODECS = {
    ".mp4": ("libx264", {"preset": "medium"}, 17, 51),
    ".webm": ("libvpx-vp9", {"b": "0", "row-mt": "1", "cpu-used": "2"}, 24, 63),
}
_CONTAINER_OPTIONS = {
    ".mp4": {"movflags": "+faststart"},
    ".webm": {
        "fflags": "+bitexact"
    },  # without a random number, so that the same file is made again
}
_BT709 = 1  # as FFmpeg numbers primaries, transfer and matrix
_LIMITED_RANGE = 1  # what every browser expects of a video


def write_video(
    video: Video,
    path: str | Path,
    *,
    provenance: str | None = None,
    quality: int = 95,
    progress: FrameProgress | None = None,
) -> bool:
    """Writes a video as MP4 (H.264), WebM (VP9) or GIF, by the path's suffix.

    An odd side of an MP4 is extended by one pixel, a copy of the edge. Sound is written as AAC or
    Opus. A GIF counts time in 1/100 s and is silent.

    Args:
        video: What to write.
        path: Where to write; the suffix is one of `Video.suffixes`.
        provenance: How it was made; "" and None are not written.
        quality: 1..100; of no effect on a GIF.
        progress: Called after each frame with the number of written frames and of all frames.

    Returns:
        Whether the file holds the provenance.

    Raises:
        MediaError: The suffix is unknown, the encoder refuses the video, or the file cannot be
            written.
    """
    path = Path(path)
    provenance = reserve_hash(provenance) if provenance else None
    _refuse_other_suffix(path)
    import av

    with atomic_write(path) as temporary:
        try:
            if path.suffix.lower() == ".gif":
                write_gif(video, temporary, provenance, progress or _ignore)
            else:
                _encode(video, temporary, provenance, quality, progress or _ignore)
        except (av.error.FFmpegError, ValueError, OverflowError, struct.error) as error:
            if isinstance(error, OSError) and error.errno in (*DISK_FULL, *UNWRITABLE):
                raise
            found = f"an encoder that refuses {video!r}: {error}"
            fix = "resize it, or try .webm"
            raise_media_error(path, found, "a size and rate that it accepts", fix, error)
        if provenance is not None:
            fill_in_hash_of_file(temporary)
    write_sidecar(path, None)
    return provenance is not None


def _refuse_other_suffix(path: Path) -> None:
    if path.suffix.lower() not in Video.suffixes:
        wanted = f"one of {', '.join(Video.suffixes)}"
        raise_media_error(path, f"the suffix {path.suffix!r}", wanted, "rename it")


def _ignore(number: int, frames: int, /) -> None:
    """The progress that nobody wants to know."""


def _encode(
    video: Video, path: Path, provenance: str | None, quality: int, progress: FrameProgress
) -> None:
    """Writes MP4 or WebM, in the colours of BT.709 and marked as such."""
    import av
    import numpy as np
    from av.video.reformatter import Colorspace, VideoReformatter

    suffix = path.suffix.lower()
    codec, options, best, worst = _CODECS[suffix]
    rate = Fraction(video.fps).limit_denominator(100_000)  # 29.97002997… is 30000/1001 again
    is_mp4 = codec == "libx264"
    width, height = (side + side % 2 * is_mp4 for side in video.size)  # 4:2:0 has no odd sides
    edges = ((0, height - video.size[1]), (0, width - video.size[0]), (0, 0))
    with av.open(str(path), "w", options=_CONTAINER_OPTIONS[suffix]) as file:
        if provenance is not None:
            file.metadata["comment"] = to_comment(provenance)
        crf = round(best + (95 - quality) * (worst - best) / 95)
        options = {**options, "crf": str(crf), **(x264_options(width, height) if is_mp4 else {})}
        stream = cast("av.VideoStream", file.add_stream(codec, rate=rate, options=options))
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        context = stream.codec_context
        context.colorspace = context.color_primaries = context.color_trc = _BT709
        context.color_range = _LIMITED_RANGE
        sound = None
        if video.has_sound:
            sound = SoundWriter(file, video, "aac" if is_mp4 else "libopus")
        scaler = VideoReformatter()  # one for all frames, since setting one up takes time
        flags = swscale_flags()
        for number, pixels in enumerate(video.pixels()):
            if sound is not None:
                sound.write_until(number / video.fps)
            if (width, height) != video.size:
                pixels = np.pad(pixels, edges, "edge")
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame = scaler.reformat(
                frame, format="yuv420p", dst_colorspace=Colorspace.ITU709, interpolation=flags
            )
            frame.pts, frame.time_base = number, 1 / rate
            file.mux(stream.encode(frame))
            progress(number + 1, len(video))
        file.mux(stream.encode(None))
        if sound is not None:
            sound.finish()
