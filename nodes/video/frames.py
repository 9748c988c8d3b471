"""Splits a video into frames and joins frames to a video; nodes between run for each frame."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Annotated, Any, ClassVar

from pydantic import Field

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.files import memory_bytes
from sdgraph.graph import In, Node
from sdgraph.nodes.image.known_size import size_problems
from sdgraph.nodes.image.padding import check_same_size
from sdgraph.values import ArrayStream, Image, Mask, Series, Stream, Video

from .joined_sound import join_sounds

if TYPE_CHECKING:
    from sdgraph.values import Pixels

__all__ = ["Frame", "Frames", "VideoFromFrames"]

_FPS = 8.0
"""The frame rate of pictures that come from no video; the same as that of Text2Video."""


class Frames(Node[Image]):
    """Splits a video into frames: all nodes that depend on it run once for each frame.

    `VideoFromFrames` joins the frames to a video again. A node can read the frames of two videos if
    these have the same length.
    """

    category = "video"
    scatters: ClassVar[bool] = True
    scatter_advice: ClassVar[str] = (
        "make a video of the frames by VideoFromFrames, or take one of them by Frame"
    )

    video: In[Video] = Field(description="a video of any length")

    def size_source(self) -> object:
        return self.video

    def frame_range(self) -> tuple[int, int] | None:
        if isinstance(self.video, Node):
            return self.video.frame_range()
        return len(self.video), len(self.video)

    def run(self, video: Video) -> Any:
        return video.series()


class Frame(Node[Image]):
    """Takes one frame out of a video."""

    category = "video"

    video: In[Video] = Field(description="a video of any length")
    number: int = Field(
        default=0, ge=-1_000_000, le=1_000_000, description="counted from 0; -1 is the last"
    )

    def size_source(self) -> object:
        return self.video

    def run(self, video: Video) -> Image:
        if not -len(video) <= self.number < len(video):
            found = f"{self.number}, and the video has {len(video)} frames"
            wanted = f"{-len(video)}..{len(video) - 1}"
            raise InvalidValueError(Problem("number", found, wanted))
        return video[self.number]


class VideoFromFrames(Node[Video]):
    """Joins pictures to a video, in order: the frames of a video, single pictures, or both.

    Masks make a video that is white where they paint, as VideoControl takes it. The sound of the
    video that the frames come from stays with them, unless `fps` changes how fast they play.
    """

    category = "video"
    gathers: ClassVar[bool] = True

    frames: In[Image | Mask] | Annotated[Sequence[In[Image | Mask]], Field(min_length=1)] = Field(
        description="pictures of the same size, alpha is ignored; or masks, as black and white"
    )
    fps: float | None = Field(
        default=None,
        gt=0,
        le=240,
        description="frames per second; if not given, that of the video the frames come from, or 8",
    )

    def check(self) -> Iterator[Problem]:
        frames = self.frames if isinstance(self.frames, list | tuple) else (self.frames,)
        names = "first frame", *(f"picture number {number}" for number in range(2, len(frames) + 1))
        yield from size_problems(*(("frames", *pair) for pair in zip(names, frames, strict=True)))

    def size_source(self) -> object:
        return self.frames

    def run(self, frames: Image | Mask | Series | tuple[Image | Mask | Series, ...]) -> Video:
        parts = frames if isinstance(frames, tuple) else (frames,)
        rates = [part.fps for part in parts if isinstance(part, Series)]
        fps = self.fps or (rates[0] if rates else _FPS)
        sound = join_sounds(parts, fps)
        return Video(_join_pictures(parts), fps, *(sound or ()))


def _join_pictures(parts: Sequence[Image | Mask | Series]) -> Pixels | ArrayStream:
    """The frames of all parts; a stream, if one of the parts is a stream."""
    import numpy as np

    streams = [part.stream for part in parts if isinstance(part, Series) and part.stream]
    pictures = [part if isinstance(part, Series) else Series((part,), 1) for part in parts]
    width, height = next(iter(pictures[0])).size

    def pixels_of(number: int, picture: Image | Mask) -> Pixels:
        check_same_size((width, height), picture.size, ("first frame", f"frame {number}"))
        array = picture.numpy
        return array[..., None] if array.ndim == 2 else array[..., :3]

    if streams:
        return _stream_pictures(pictures, (height, width), pixels_of, streams[0])
    joined = [picture for part in pictures for picture in part]
    pixels = np.empty((len(joined), height, width, 3), np.uint8)
    for number, picture in enumerate(joined):
        pixels[number] = pixels_of(number, picture)
    pixels.setflags(write=False)  # spares Video a copy
    return pixels


def _stream_pictures(
    parts: Sequence[Series],
    size: tuple[int, int],
    pixels_of: Callable[[int, Image | Mask], Pixels],
    stream: Stream,
) -> ArrayStream:
    """The frames of all parts as a stream, with chunks as long as those of another one."""
    import numpy as np

    begins = [0, *accumulate(len(part) for part in parts)]
    shape = (begins[-1], *size, 3)

    def make_chunk(chunk: int) -> list[Pixels]:
        begin = chunk * stream.chunk_length
        frames = []
        for number in range(begin, min(begin + stream.chunk_length, shape[0])):
            part = bisect_right(begins, number) - 1
            pixels = pixels_of(number, parts[part].items[number - begins[part]])
            # Masks have one channel; what has three is not copied.
            pixels = np.ascontiguousarray(np.broadcast_to(pixels, shape[1:]))
            pixels.setflags(write=False)
            frames.append(pixels)
        return frames

    most_bytes = memory_bytes() // 2
    return ArrayStream(shape, "uint8", stream.chunk_length, make_chunk, most_bytes=most_bytes)
