"""Videos: frames at a constant rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from operator import index
from typing import ClassVar

from .arrays import Pixels, check_array
from .content import refuse_value
from .image import Image
from .value import Value


class Video(Value):
    """A silent video.

    Args:
        frames: uint8, frames × height × width × 3 (RGB), 0..255. It is copied, unless no other
            code can write to it.
        fps: Frames per second; finite and above 0.

    Raises:
        InvalidValueError: The array has another dtype or shape, it is empty, or the rate is
            not valid.

    Example:
        >>> import numpy as np
        >>> clip = Video(np.zeros((16, 48, 64, 3), np.uint8), fps=8)
        >>> clip, clip.seconds, clip[0]
        (Video(16 frames 64×48 8 fps), 2.0, Image(64×48 RGB))
    """

    suffixes: ClassVar[tuple[str, ...]] = (".mp4", ".webm", ".gif")
    loader: ClassVar[str | None] = "LoadVideo"

    html_player: ClassVar[Callable[[Video], str]] = repr
    """Makes the HTML with which a notebook plays a video; `sdgraph.media` sets it."""

    frames: Pixels
    """The frames: read-only uint8, frames × height × width × 3."""

    fps: float
    """Frames per second."""

    def __init__(self, frames: Pixels, fps: float) -> None:
        wanted = "a uint8 array of shape (frames, height, width, 3), not empty"
        check_array(self, frames, wanted, ("uint8",), ndim=4, channels=(3,))
        if not isinstance(fps, float | int) or isinstance(fps, bool) or not 0 < fps < inf:
            wanted = "frames per second: a finite number above 0"
            refuse_value("Video.fps", repr(fps), wanted, "8 suits short clips")
        self._set_fields(frames=frames, fps=float(fps))

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of every frame in pixels."""
        return int(self.frames.shape[2]), int(self.frames.shape[1])

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return len(self) / self.fps

    def __len__(self) -> int:
        return len(self.frames)

    def __getitem__(self, number: int) -> Image:
        return Image(self.frames[index(number)])

    def __iter__(self) -> Iterator[Image]:
        return map(Image, self.frames)

    def __repr__(self) -> str:
        width, height = self.size
        return f"{type(self).__name__}({len(self)} frames {width}×{height} {self.fps:g} fps)"

    def _repr_html_(self) -> str:
        return type(self).html_player(self)
