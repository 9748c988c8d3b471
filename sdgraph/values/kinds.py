"""What travels on the edges of a graph: frozen pictures, masks, videos and checkpoints."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from math import inf
from operator import index
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from .arrays import ArrayValue, check_array, read_only
from .checkpoint import Checkpoint
from .value import Value, content_of, refuse_value, size_of

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import PIL.Image

    from .arrays import Pixels

__all__ = [
    "Checkpoint",
    "ControlMap",
    "DepthMap",
    "EdgeMap",
    "Image",
    "Mask",
    "NormalMap",
    "PoseMap",
    "ScribbleMap",
    "SegmentMap",
    "SoftEdgeMap",
    "Value",
    "Video",
    "content_of",
    "size_of",
]

_INLINE_VIDEO_BYTES = 64 * 2**20  # of raw frames; beyond it a notebook page grows sluggish


class _Still(ArrayValue):
    """What pictures and masks share: pixels, and ways to look at them."""

    @property
    def numpy(self) -> Pixels:
        """The pixels: read-only uint8, height × width, × 3 or 4 where there are channels."""
        return self._array

    @property
    def pil(self) -> PIL.Image.Image:
        """A fresh Pillow picture (RGB, RGBA; L of a mask); editing it changes nothing here."""
        import PIL.Image

        return PIL.Image.fromarray(self.numpy)

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.size[0]

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.size[1]

    def _repr_png_(self) -> bytes:
        from io import BytesIO

        self.pil.save(file := BytesIO(), "PNG")
        return file.getvalue()


class Image(_Still):
    """A picture: uint8, height × width × 3 (RGB) or 4 (RGBA, alpha not premultiplied)."""

    def __init__(self, pixels: Pixels) -> None:
        wanted = "a uint8 array of shape (height, width, 3 or 4), nowhere empty"
        check_array(self, pixels, wanted, ("uint8",), ndim=3, channels=(3, 4))
        self._hold(pixels)

    @classmethod
    def from_pil(cls, picture: PIL.Image.Image) -> Self:
        """The value of a Pillow picture of any mode; alpha is kept where there is any.

        16 bits become 8 by dividing by 257 and rounding; mode F is taken as 0..255.
        """
        import numpy as np

        shown = _eight_bit(picture)
        mode = "RGBA" if shown.has_transparency_data else "RGB"
        return cls(np.asarray(shown if shown.mode == mode else shown.convert(mode)))

    @property
    def rgb(self) -> PIL.Image.Image:
        """A fresh Pillow picture that is always RGB: alpha is dropped, not blended."""
        import PIL.Image

        return PIL.Image.fromarray(self.numpy[..., :3])

    def __repr__(self) -> str:
        mode = "RGBA" if self.numpy.shape[2] == 4 else "RGB"
        return f"{type(self).__name__}({self.width}×{self.height} {mode})"


class ControlMap(Image):
    """A picture that steers a ControlNet; its class says which kind of network it fits."""


class EdgeMap(ControlMap):
    """Hard edges, white on black."""


class SoftEdgeMap(ControlMap):
    """Soft edges, brighter where surer."""


class ScribbleMap(ControlMap):
    """Hand-drawn lines, white on black."""


class PoseMap(ControlMap):
    """Skeletons, a colour for each limb."""


class SegmentMap(ControlMap):
    """Regions, a flat colour for each class of thing."""


class NormalMap(ControlMap):
    """Surface normals: x, y, z of -1..1 as red, green, blue of 0..255."""


class DepthMap(ControlMap):
    """Relative depth: float32, height × width, larger is nearer, any finite range but not flat."""

    def __init__(self, depth: npt.NDArray[Any]) -> None:
        import numpy as np

        wanted = "an array of real numbers of shape (height, width), nowhere empty"
        check_array(self, depth, wanted, ("f", "i", "u"), ndim=2)
        with np.errstate(over="ignore"):  # what float32 cannot hold turns infinite: refused below
            array = depth.astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            fix = "replace NaN and infinity, for example by numpy.nan_to_num"
            refuse_value("DepthMap", "NaN or infinity", "a finite float32 at every pixel", fix)
        if array.min() == array.max():
            found = f"one depth, {array.flat[0]:g}, at every pixel"
            fix = "a flat map has no near and far; take another picture, or another estimator"
            refuse_value("DepthMap", found, "at least two depths", fix)
        self._hold(array)

    @classmethod
    def from_pil(cls, picture: PIL.Image.Image) -> Self:
        """The depth in a grey picture of 8, 16 or 32 bits: brighter is nearer."""
        import numpy as np

        if picture.mode.startswith(("I", "F")):
            return cls(np.asarray(picture))
        pixels = np.asarray(picture.convert("RGB"))
        if (pixels != pixels[..., :1]).any():
            found = f"a colour picture (mode {picture.mode})"
            refuse_value(
                "DepthMap", found, "a grey picture", "take the depth of a photo by DepthEstimate"
            )
        return cls(pixels[..., 0])

    @property
    def depth(self) -> npt.NDArray[np.float32]:
        """The depth: read-only float32, height × width."""
        return self._array

    @cached_property
    def numpy(self) -> Pixels:
        """The depth as grey pixels: uint8, height × width × 3, farthest 0, nearest 255."""
        import numpy as np

        far, near = float(self.depth.min()), float(self.depth.max())
        share = (self.depth.astype(np.float64) - far) / (near - far)
        grey = np.rint(share * 255).astype(np.uint8)
        return read_only(np.repeat(grey[..., None], 3, axis=2))

    @property
    def nbytes(self) -> int:
        """Bytes of memory held: the depth, and the grey pixels made or not."""
        return int(self.depth.nbytes + 3 * self.depth.size)

    def __repr__(self) -> str:
        far, near = self.depth.min(), self.depth.max()
        return f"DepthMap({self.width}×{self.height} {far:.4g}..{near:.4g})"


class Mask(_Still):
    """Where to paint: uint8 (or bool), height × width, 255 = paint here, 0 = keep."""

    def __init__(self, alpha: Pixels | npt.NDArray[np.bool_]) -> None:
        wanted = "a uint8 or bool array of shape (height, width), nowhere empty"
        check_array(self, alpha, wanted, ("uint8", "bool"), ndim=2)
        self._hold(alpha.view("uint8") * 255 if alpha.dtype == bool else alpha)

    @classmethod
    def from_pil(cls, picture: PIL.Image.Image) -> Self:
        """The brightness of a Pillow picture of any mode; its alpha plays no part."""
        import numpy as np

        return cls(np.asarray(_eight_bit(picture).convert("L")))

    @property
    def coverage(self) -> float:
        """The painted share of the area, 0..1; half-painted pixels count by half."""
        return float(self.numpy.mean()) / 255

    def __repr__(self) -> str:
        return f"Mask({self.width}×{self.height} {self.coverage:.0%})"


class Video(ArrayValue):
    """A silent film: uint8, frames × height × width × 3 (RGB), `fps` frames a second."""

    fps: float

    def __init__(self, frames: Pixels, fps: float) -> None:
        wanted = "a uint8 array of shape (frames, height, width, 3), nowhere empty"
        check_array(self, frames, wanted, ("uint8",), ndim=4, channels=(3,))
        if not isinstance(fps, float | int) or isinstance(fps, bool) or not 0 < fps < inf:
            wanted = "frames a second: a finite number above 0"
            refuse_value("Video.fps", repr(fps), wanted, "8 suits short clips")
        self._hold(frames, fps=float(fps))

    def _arguments(self) -> tuple[Any, ...]:
        return self._array, self.fps

    @property
    def frames(self) -> Pixels:
        """The frames: read-only uint8, frames × height × width × 3."""
        return self._array

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
        return f"Video({len(self)} frames {self.size[0]}×{self.size[1]} {self.fps:g} fps)"

    def _repr_html_(self) -> str:
        if self.nbytes > _INLINE_VIDEO_BYTES:
            return f"<p>{self!r} is too large to show here; save it with SaveVideo</p>"
        from base64 import b64encode
        from tempfile import TemporaryDirectory

        from sdgraph.media.videos import write_video

        with TemporaryDirectory() as folder:
            write_video(self, path := Path(folder, "video.mp4"))
            data = b64encode(path.read_bytes()).decode()
        return f'<video controls loop src="data:video/mp4;base64,{data}"></video>'


def _eight_bit(picture: PIL.Image.Image) -> PIL.Image.Image:
    """`picture` itself, or grey of 8 bits when it holds more: 16 bits divided by 257, F rounded.

    Raises InvalidValueError when numbers fall outside 0..65535 (I) or 0..255 (F), as NaN does.
    """
    import numpy as np
    import PIL.Image

    if direct := {"La": "LA", "LAB": "RGB", "HSV": "RGB"}.get(picture.mode):
        return picture.convert(direct)  # the only door out of these modes
    if not picture.mode.startswith(("I", "F")):
        return picture
    top = 255 if picture.mode == "F" else 65535
    numbers = np.asarray(picture, np.float64)
    if not ((numbers >= 0) & (numbers <= top)).all():
        found = (
            f"a picture of mode {picture.mode} with numbers {numbers.min():g}..{numbers.max():g}"
        )
        fix = "scale the numbers, or load them as a DepthMap"
        refuse_value("Image", found, f"numbers 0..{top}", fix)
    return PIL.Image.fromarray(np.rint(numbers * (255 / top)).astype(np.uint8))
