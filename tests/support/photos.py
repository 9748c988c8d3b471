"""Real photos in every size and mode, as arrays and as files."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL.Image
import skimage.data

from sdgraph.values import Image, Mask

MODES = ("RGB", "RGBA", "L", "LA", "P", "1", "CMYK", "I;16", "EXIF")
"""Pillow's modes, and a JPEG whose EXIF turns it by a quarter."""

_ORIENTATION = 0x0112


@cache
def _read_photo(name: str) -> PIL.Image.Image:
    return PIL.Image.fromarray(getattr(skimage.data, name)())


def picture(width: int, height: int, name: str = "astronaut") -> PIL.Image.Image:
    """A real photo scaled to that size, RGB."""
    return _read_photo(name).resize((width, height), PIL.Image.Resampling.LANCZOS)


def photo(width: int, height: int, name: str = "astronaut") -> Image:
    """The same as a value."""
    return Image(np.asarray(picture(width, height, name)))


def clear_photo(width: int, height: int, name: str = "coffee") -> Image:
    """A photo whose alpha runs from clear at the left to opaque at the right."""
    pixels = np.asarray(picture(width, height, name))
    ramp = np.tile(np.linspace(0, 255, width).astype(np.uint8), (height, 1))
    return Image(np.dstack([pixels, ramp]))


def spot(width: int, height: int) -> Mask:
    """A mask that marks the middle: a quarter of the area, at least one pixel."""
    marked = np.zeros((height, width), np.uint8)
    marked[
        height // 4 : height // 4 + max(1, height // 2),
        width // 4 : width // 4 + max(1, width // 2),
    ] = 255
    return Mask(marked)


def convert_mode(rgb: PIL.Image.Image, mode: str) -> PIL.Image.Image:
    """An RGB picture in another of Pillow's modes."""
    if mode == "I;16":
        return PIL.Image.fromarray(np.asarray(rgb.convert("L")).astype(np.uint16) * 257)
    if mode in ("RGBA", "LA"):
        image = rgb.convert(mode)
        image.putalpha(PIL.Image.linear_gradient("L").resize(rgb.size))
        return image
    return rgb.convert(mode)


def save_in_mode(rgb: PIL.Image.Image, mode: str, folder: Path) -> Path:
    """A file of the picture in a mode; the EXIF one lies on its side until it is turned."""
    if mode == "EXIF":
        exif = PIL.Image.Exif()
        exif[_ORIENTATION] = 6
        path = folder / "turned.jpg"
        rgb.transpose(PIL.Image.Transpose.ROTATE_90).save(path, exif=exif, quality=98)
        return path
    path = folder / (mode.replace(";", "") + (".tif" if mode == "CMYK" else ".png"))
    convert_mode(rgb, mode).save(path)
    return path


def noisy(shape: tuple[int, ...], seed: int = 0) -> npt.NDArray[np.uint8]:
    """Noise of that shape."""
    return np.random.default_rng(seed).integers(0, 256, shape, dtype=np.uint8)
