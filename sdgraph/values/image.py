"""Images and masks, and their conversion from and to Pillow pictures."""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, ClassVar, Self

from .arrays import Pixels, check_array
from .content import refuse_value
from .value import Value

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import PIL.Image


class _PixelValue(Value):
    """The base of images and masks."""

    suffixes: ClassVar[tuple[str, ...]] = (
        ".png",
        ".jpg",
        ".jpeg",
        ".webp",
        ".tif",
        ".tiff",
        ".bmp",
        ".gif",
    )
    read_only_suffixes: ClassVar[tuple[str, ...]] = (
        ".jfif",
        ".jpe",
        ".avif",
        ".dib",
        ".jp2",
        ".mpo",
        ".ppm",
        ".pgm",
        ".pbm",
    )

    pixels: Pixels

    @property
    def numpy(self) -> Pixels:
        """The pixels: read-only uint8, height × width × 3 or 4; height × width for a mask."""
        return self.pixels

    @property
    def pil(self) -> PIL.Image.Image:
        """A new Pillow picture (RGB or RGBA; L for a mask); edits do not change the value."""
        import PIL.Image

        return PIL.Image.fromarray(self.numpy)

    @property
    def size(self) -> tuple[int, int]:
        """(width, height) in pixels, in Pillow's order."""
        height, width = next(iter(self.fields.values())).shape[:2]
        return int(width), int(height)

    @property
    def width(self) -> int:
        """Width in pixels."""
        return self.size[0]

    @property
    def height(self) -> int:
        """Height in pixels."""
        return self.size[1]

    def _repr_png_(self) -> bytes:
        self.pil.save(file := BytesIO(), "PNG")
        return file.getvalue()


class Image(_PixelValue):
    """An image, RGB or RGBA.

    Args:
        pixels: uint8, height × width × 3 (RGB) or 4 (RGBA, alpha not premultiplied), 0..255. It
            is copied, unless no other code can write to it.

    Raises:
        InvalidValueError: The array has another dtype or shape, or it is empty.

    Example:
        >>> import numpy as np
        >>> black = Image(np.zeros((48, 64, 3), np.uint8))
        >>> black
        Image(64×48 RGB)
        >>> black.size, black.numpy.shape, black.pil.mode
        ((64, 48), (48, 64, 3), 'RGB')
    """

    loader: ClassVar[str | None] = "LoadImage"

    def __init__(self, pixels: Pixels) -> None:
        wanted = "a uint8 array of shape (height, width, 3 or 4), not empty"
        check_array(self, pixels, wanted, ("uint8",), ndim=3, channels=(3, 4))
        self._set_fields(pixels=pixels)

    @classmethod
    def from_pil(cls, picture: PIL.Image.Image) -> Self:
        """The image in a Pillow picture of any mode; an alpha channel is kept.

        16 bits become 8 by dividing by 257 and rounding. Mode F is read as 0..1 if all its numbers
        are in that range, otherwise as 0..255; mode I (32 bits) as 0..255 or 0..65535 alike.

        Raises:
            InvalidValueError: A picture of mode I or F has numbers outside its range.
        """
        import numpy as np

        picture = _to_eight_bits(picture)
        mode = "RGBA" if picture.has_transparency_data else "RGB"
        return cls(np.asarray(picture if picture.mode == mode else picture.convert(mode)))

    @property
    def rgb(self) -> PIL.Image.Image:
        """A new Pillow picture that is always RGB: alpha is dropped, not blended."""
        import PIL.Image

        return PIL.Image.fromarray(self.numpy[..., :3])

    def __repr__(self) -> str:
        mode = "RGBA" if self.numpy.shape[2] == 4 else "RGB"
        return f"{type(self).__name__}({self.width}×{self.height} {mode})"


class Mask(_PixelValue):
    """Where to paint: white is painted, black is kept.

    Args:
        pixels: uint8 or bool, height × width; 255 or True is painted, 0 or False is kept.

    Raises:
        InvalidValueError: The array has another dtype or shape, or it is empty.

    Example:
        >>> import numpy as np
        >>> left_half = np.zeros((48, 64), bool)
        >>> left_half[:, :32] = True
        >>> Mask(left_half)
        Mask(64×48 50%)
    """

    loader: ClassVar[str | None] = "Mask"

    def __init__(self, pixels: Pixels | npt.NDArray[np.bool_]) -> None:
        wanted = "a uint8 or bool array of shape (height, width), not empty"
        check_array(self, pixels, wanted, ("uint8", "bool"), ndim=2)
        self._set_fields(pixels=pixels.view("uint8") * 255 if pixels.dtype == bool else pixels)

    @classmethod
    def from_pil(cls, picture: PIL.Image.Image) -> Self:
        """The brightness of a Pillow picture of any mode; its alpha channel is ignored.

        Raises:
            InvalidValueError: A picture of mode I or F has numbers outside its range.
        """
        import numpy as np

        return cls(np.asarray(_to_eight_bits(picture).convert("L")))

    @property
    def coverage(self) -> float:
        """The painted share of the area, 0..1; half-painted pixels count by half."""
        return float(self.numpy.mean()) / 255

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.width}×{self.height} {self.coverage:.0%})"


def _to_eight_bits(picture: PIL.Image.Image) -> PIL.Image.Image:
    """The picture, as grey of 8 bits if it has more: 16 bits are divided by 257, F is rounded.

    Numbers of mode F are 0..1, or 0..255 if one is above 1; those of mode I are 0..255, or 0..65535
    if one is above 255. Raises InvalidValueError for numbers
    outside 0..65535 (I) or 0..255 (F), and for NaN.
    """
    import numpy as np
    import PIL.Image

    if direct := {"La": "LA", "LAB": "RGB", "HSV": "RGB"}.get(picture.mode):
        return picture.convert(direct)  # Pillow cannot convert these modes to any other
    if not picture.mode.startswith(("I", "F")):
        return picture
    numbers = np.asarray(picture, np.float64)
    if picture.mode == "F":
        top = 255 if (numbers > 1).any() else 1
    else:  # 32 bits have no brightest number of their own
        top = 255 if picture.mode == "I" and not (numbers > 255).any() else 65535
    if not ((numbers >= 0) & (numbers <= top)).all():
        extent = f"{numbers.min():g}..{numbers.max():g}"
        found = f"a picture of mode {picture.mode} with numbers {extent}"
        fix = "scale the numbers, or load them as a DepthMap"
        refuse_value("Image", found, f"numbers 0..{max(top, 255)}", fix)
    return PIL.Image.fromarray(np.rint(numbers * (255 / top)).astype(np.uint8))
