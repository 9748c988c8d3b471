"""Control maps: images such as edges or depth, each for a ControlNet of that kind."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Self

from .arrays import Pixels, check_array, read_only
from .content import refuse_value
from .image import Image

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import PIL.Image


class ControlMap(Image):
    """An image that controls generation through a ControlNet of the kind that its class says.

    It is made like an Image: of uint8 pixels, height × width × 3 (RGB), 0..255.
    """


class EdgeMap(ControlMap):
    """Hard edges, white (255) on black (0): uint8, height × width × 3.

    Example:
        >>> import numpy as np
        >>> EdgeMap(np.zeros((48, 64, 3), np.uint8))
        EdgeMap(64×48 RGB)
    """

    loader: ClassVar[str | None] = "EdgesFromFile"


class DepthMap(ControlMap):
    """Relative depth: larger is nearer.

    Args:
        depth: Real numbers, height × width, of any finite range but not all equal; kept as
            float32.

    Raises:
        InvalidValueError: The array has another dtype or shape, holds NaN or infinity, or is
            flat.

    Example:
        >>> import numpy as np
        >>> slope = DepthMap(np.linspace(0, 2, 48 * 64).reshape(48, 64))
        >>> slope
        DepthMap(64×48 0..2)
        >>> slope.numpy.shape, int(slope.numpy.max())
        ((48, 64, 3), 255)
    """

    loader: ClassVar[str | None] = "DepthFromFile"

    depth: npt.NDArray[np.float32]
    """The depth: read-only float32, height × width."""

    def __init__(self, depth: npt.NDArray[Any]) -> None:
        import numpy as np

        wanted = "an array of real numbers of shape (height, width), not empty"
        check_array(self, depth, wanted, ("f", "i", "u"), ndim=2)
        with np.errstate(over="ignore"):  # a number too large for float32 becomes infinite
            array = depth.astype(np.float32, copy=False)
        if not np.isfinite(array).all():
            fix = "replace NaN and infinity, for example by numpy.nan_to_num"
            refuse_value("DepthMap", "NaN or infinity", "a finite float32 at every pixel", fix)
        if array.min() == array.max():
            found = f"one depth, {array.flat[0]:g}, at every pixel"
            fix = "a flat map has no near and far; take another picture, or another estimator"
            refuse_value("DepthMap", found, "at least two depths", fix)
        self._set_fields(depth=array)

    @classmethod
    def from_pil(cls, picture: PIL.Image.Image) -> Self:
        """The depth in a grey picture of 8, 16 or 32 bits: brighter is nearer.

        Raises:
            InvalidValueError: The picture has colours, or one depth at every pixel.
        """
        import numpy as np

        if picture.mode.startswith(("I", "F")):
            return cls(np.asarray(picture))
        pixels = np.asarray(picture.convert("RGB"))
        if (pixels != pixels[..., :1]).any():
            found = f"a colour picture (mode {picture.mode})"
            fix = "let a depth estimator make the depth of a photo"
            refuse_value("DepthMap", found, "a grey picture", fix)
        return cls(pixels[..., 0])

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
        """Bytes of memory held by the depth and the grey pixels, which are counted at once."""
        return int(self.depth.nbytes + 3 * self.depth.size)

    def __repr__(self) -> str:
        far, near = self.depth.min(), self.depth.max()
        return f"{type(self).__name__}({self.width}×{self.height} {far:.4g}..{near:.4g})"


class PoseMap(ControlMap):
    """Skeletons, a colour for each limb, on black: uint8, height × width × 3."""

    loader: ClassVar[str | None] = "PoseFromFile"


class SegmentMap(ControlMap):
    """Regions, a flat colour for each class of thing: uint8, height × width × 3."""

    loader: ClassVar[str | None] = "SegmentsFromFile"


class ScribbleMap(ControlMap):
    """Hand-drawn lines, white (255) on black (0): uint8, height × width × 3."""

    loader: ClassVar[str | None] = "ScribbleFromFile"


class SoftEdgeMap(ControlMap):
    """Soft edges, brighter where they are more certain, 0..255: uint8, height × width × 3."""

    loader: ClassVar[str | None] = "SoftEdgesFromFile"


class NormalMap(ControlMap):
    """Surface normals: x, y, z of -1..1 as red, green, blue of 0..255; height × width × 3."""

    loader: ClassVar[str | None] = "NormalsFromFile"
