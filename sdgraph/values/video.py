"""Videos: frames at a constant rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from math import inf
from operator import index
from typing import TYPE_CHECKING, Any, ClassVar

from .arrays import Pixels, check_array
from .content import refuse_value
from .image import Image
from .value import Value

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt


class Video(Value):
    """A video: frames, and sound where a model made it with them. Nodes that change frames drop it.

    Args:
        frames: uint8, frames × height × width × 3 (RGB), 0..255. It is copied, unless no other
            code can write to it.
        fps: Frames per second; finite and above 0.
        sound: float32, samples × 1 or 2 channels, -1..1; None for a silent video.
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

    frames: Pixels
    """The frames: read-only uint8, frames × height × width × 3."""

    fps: float
    """Frames per second."""

    sound: npt.NDArray[np.float32] | None = None
    """The sound: read-only float32, samples × channels, -1..1; None for a silent video."""

    sound_rate: int = 0
    """Samples per second; 0 without sound."""

    def __init__(
        self,
        frames: Pixels,
        fps: float,
        sound: npt.NDArray[np.float32] | None = None,
        sound_rate: int = 0,
    ) -> None:
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

    def _check_sound(self, sound: npt.NDArray[np.float32], rate: int) -> None:
        import numpy as np

        wanted = "float32 sound of shape (samples, 1 or 2 channels), not empty"
        check_array(self, sound, wanted, ("float32",), ndim=2, channels=(1, 2))
        if not np.isfinite(sound).all() or np.abs(sound).max() > 1:
            found, fix = "NaN or numbers beyond 1", "cut them by numpy.clip"
            refuse_value("Video.sound", found, "numbers from -1 to 1", fix)
        if type(rate) is not int or not 1000 <= rate <= 384_000:
            refuse_value("Video.sound_rate", repr(rate), "samples per second: 1000 to 384000")

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
        sound = "" if self.sound is None else " with sound"
        return f"{type(self).__name__}({len(self)} frames {width}×{height} {self.fps:g} fps{sound})"

    def _repr_html_(self) -> str:
        return type(self).html_player(self)
