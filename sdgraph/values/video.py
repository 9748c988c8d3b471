"""Videos: frames at a constant rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf, prod
from operator import index
from typing import TYPE_CHECKING, Any, ClassVar

from .arrays import Pixels, Sound, check_array
from .content import refuse_value
from .frames import Series
from .image import Image
from .streams import ArrayStream, read_ahead
from .value import Value

if TYPE_CHECKING:
    import numpy.typing as npt


class Video(Value):
    """A video: frames at a constant rate, and sound.

    The frames of a long video are read or made when they are needed: iterate over a video, or take
    its frames one by one, and few of them are in memory at once. `frames` is all of them.

    Args:
        frames: uint8, frames × height × width × 3 (RGB), 0..255; an array or a stream of one. An
            array is copied, unless no other code can write to it.
        fps: Frames per second; finite and above 0.
        sound: float32, samples × 1 or 2 channels, -1..1, an array or a stream of one; None for a
            silent video.
        sound_rate: Samples per second; 0 without sound.

    Raises:
        InvalidValueError: An array has another dtype or shape, it is empty, or a rate is not valid.

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

    fps: float
    """Frames per second."""

    sound_rate: int = 0
    """Samples per second; 0 without sound."""

    def __init__(
        self,
        frames: Pixels | ArrayStream,
        fps: float,
        sound: Sound | ArrayStream | None = None,
        sound_rate: int = 0,
    ) -> None:
        if not isinstance(frames, ArrayStream):
            wanted = "a uint8 array of shape (frames, height, width, 3), not empty"
            check_array(self, frames, wanted, ("uint8",), ndim=4, channels=(3,))
        if not isinstance(fps, float | int) or isinstance(fps, bool) or not 0 < fps < inf:
            wanted = "frames per second: a finite number above 0"
            refuse_value("Video.fps", repr(fps), wanted, "8 suits short clips")
        fields: dict[str, Any] = {"frames": frames, "fps": float(fps)}
        if sound is not None:
            self._check_sound(sound, sound_rate)
            fields |= {"sound": sound, "sound_rate": sound_rate}
        self._set_fields(**fields)

    def _check_sound(self, sound: Sound | ArrayStream, rate: int) -> None:
        import numpy as np

        if not isinstance(sound, ArrayStream):
            wanted = "float32 sound of shape (samples, 1 or 2 channels), not empty"
            check_array(self, sound, wanted, ("float32",), ndim=2, channels=(1, 2))
            if not np.isfinite(sound).all() or np.abs(sound).max() > 1:
                found, fix = "NaN or numbers beyond 1", "cut them by numpy.clip"
                refuse_value("Video.sound", found, "numbers from -1 to 1", fix)
        if type(rate) is not int or not 1000 <= rate <= 384_000:
            refuse_value("Video.sound_rate", repr(rate), "samples per second: 1000 to 384000")

    @property
    def frames(self) -> Pixels:
        """All frames in memory: read-only uint8, frames × height × width × 3.

        Raises:
            InvalidValueError: They take more than half of the memory there is.
        """
        frames = self._frames
        return _in_memory(frames) if isinstance(frames, ArrayStream) else frames

    @property
    def sound(self) -> Sound | None:
        """All sound in memory: read-only float32, samples × channels, -1..1; None for silence."""
        sound = self.fields.get("sound")
        return _in_memory(sound) if isinstance(sound, ArrayStream) else sound

    @property
    def stream(self) -> ArrayStream | None:
        """The stream that the frames come from; None for frames that are in memory."""
        frames = self._frames
        return frames if isinstance(frames, ArrayStream) else None

    @property
    def _frames(self) -> Pixels | ArrayStream:
        frames: Pixels | ArrayStream = self.fields["frames"]
        return frames

    def pixels(self) -> Iterator[Pixels]:
        """The frames one by one, each read-only uint8, height × width × 3.

        Those of a stream are made in threads meanwhile, a few ahead.
        """
        frames = self._frames
        return read_ahead(frames) if isinstance(frames, ArrayStream) else iter(frames)

    def series(self) -> Series:
        """The frames as pictures, each by itself; with the sound."""
        frames = self._frames
        items = frames.map(Image) if isinstance(frames, ArrayStream) else map(Image, frames)
        return Series(items, self.fps, self.fields.get("sound"), self.sound_rate)

    def sound_blocks(self) -> Iterator[Sound]:
        """The sound in pieces, in order, each read-only float32, samples × channels."""
        sound = self.fields.get("sound")
        if isinstance(sound, ArrayStream):
            yield from sound.blocks()
        elif sound is not None:
            yield sound

    @property
    def has_sound(self) -> bool:
        """Whether it has sound."""
        return "sound" in self.fields

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) of every frame in pixels."""
        shape = self._frames.shape
        return int(shape[2]), int(shape[1])

    @property
    def seconds(self) -> float:
        """How long it plays."""
        return len(self) / self.fps

    def __len__(self) -> int:
        return len(self._frames)

    def __getitem__(self, number: int) -> Image:
        return Image(self._frames[index(number)])

    def __iter__(self) -> Iterator[Image]:
        return map(Image, self._frames)

    def __repr__(self) -> str:
        width, height = self.size
        sound = " with sound" if self.has_sound else ""
        return f"{type(self).__name__}({len(self)} frames {width}×{height} {self.fps:g} fps{sound})"

    def _repr_html_(self) -> str:
        return type(self).html_player(self)


def _in_memory(stream: ArrayStream) -> npt.NDArray[Any]:
    """The array of a stream; raises InvalidValueError if it takes more bytes than it may."""
    size, limit = prod(stream.shape) * stream.dtype.itemsize, stream.most_bytes
    if limit is not None and size > limit:
        found = f"a video of {size:,} bytes, for a node that needs all of it at once"
        fix = "load a part of it (seconds), fewer frames (fps) or smaller ones (longest)"
        refuse_value("Video.frames", found, f"at most {limit:,} bytes, half of the memory", fix)
    return stream.array()
