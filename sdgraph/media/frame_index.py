"""The times of all frames of a video, so that its length is known before frames are decoded.

1. The packets of a video in a usual container say when their frames are shown. Reading them takes a
   hundredth of the time that decoding takes.
2. In other files, packets may hold no frame, or one that no decoder can show. There the frames are
   decoded once to be counted; they are neither converted nor held.
3. A frame that is decoded later must be at its place in the index.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import av
    import av.container

_CONTAINERS = ("mov,mp4,m4a,3gp,3g2,mj2", "matroska,webm")
_CODECS = ("h264", "hevc", "mpeg4", "mjpeg", "vp9", "av1", "prores", "ffv1", "dnxhd")
"""Codecs of which each packet holds exactly one frame."""


class FrameStamp(NamedTuple):
    """When a frame is shown, as the file says, in seconds."""

    stamp: float | None
    """When it begins; None if the file does not say so."""
    duration: float
    """For how long it is shown; 0 if the file does not say so."""


def read_frame_stamps(container: av.container.InputContainer) -> list[FrameStamp] | None:
    """The stamps of all frames, by the packets alone; None if these do not tell.

    Args:
        container: An open file, which is read to its end.
    """
    stream = container.streams.video[0]
    if container.format.name not in _CONTAINERS or stream.codec_context.name not in _CODECS:
        return None
    stamps: list[tuple[int, int]] = []
    for packet in container.demux(stream):
        if not packet.size:
            continue
        if packet.pts is None or packet.is_discard or packet.is_corrupt:
            return None
        stamps.append((packet.pts, packet.duration or 0))
    if not stamps or min(stamps) != stamps[0] or len({pts for pts, _ in stamps}) < len(stamps):
        return None  # a decoder leaves out frames that are shown before the first one
    base = stream.time_base or 0
    return [FrameStamp(float(pts * base), float(length * base)) for pts, length in sorted(stamps)]


def decode_frames(
    container: av.container.InputContainer,
) -> Iterator[tuple[av.VideoFrame, FrameStamp]]:
    """The decoded frames of a video, in the order in which they are shown, with their stamps.

    Raises:
        ValueError: A frame is damaged; the text names it by its number.
    """
    import av

    stream = container.streams.video[0]
    stream.thread_type = "AUTO"
    # An AVI has no presentation times: frames are shown at the times of its packets, in order.
    packet_times: deque[float] | None = deque() if container.format.name == "avi" else None
    number = 0
    for packet in container.demux(stream):
        if packet.is_corrupt:
            raise ValueError(f"frame {number} is cut short")
        if packet_times is not None and packet.size and packet.dts is not None:
            packet_times.append(float(packet.dts * packet.time_base))
        try:
            frames = packet.decode()
        except av.error.FFmpegError as error:
            raise ValueError(f"frame {number} cannot be decoded: {error.strerror}") from error
        for frame in frames:
            if frame.is_corrupt:
                raise ValueError(f"frame {number} is damaged")
            stamp = packet_times.popleft() if packet_times else frame.time
            yield frame, FrameStamp(stamp, _duration(frame))
            number += 1


def _duration(frame: av.VideoFrame) -> float:
    """How long a frame is shown, in seconds; 0 if the file does not say so."""
    return float(frame.duration * frame.time_base) if frame.duration and frame.time_base else 0.0
