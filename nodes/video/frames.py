"""Splits a video into frames and joins frames to a video; nodes between run for each frame."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Annotated, Any, ClassVar

from pydantic import Field

from sdgraph.errors import InvalidValueError, Problem
from sdgraph.graph import In, Node
from sdgraph.nodes.image.known_size import size_problems
from sdgraph.nodes.image.padding import check_same_size
from sdgraph.values import Image, Mask, Series, Video

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
        return Series(video, video.fps)


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

    Masks make a video that is white where they paint, as VideoControl takes it.
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
        import numpy as np

        parts = frames if isinstance(frames, tuple) else (frames,)
        rates = [part.fps for part in parts if isinstance(part, Series)]
        images: list[Image | Mask] = []
        for part in parts:
            images += part if isinstance(part, Series) else (part,)
        width, height = images[0].size
        pixels = np.empty((len(images), height, width, 3), np.uint8)
        for number, image in enumerate(images):
            check_same_size((width, height), image.size, ("first frame", f"frame {number}"))
            array = image.numpy
            pixels[number] = array[..., None] if array.ndim == 2 else array[..., :3]
        pixels.setflags(write=False)  # spares Video a copy
        return Video(pixels, self.fps or (rates[0] if rates else _FPS))
