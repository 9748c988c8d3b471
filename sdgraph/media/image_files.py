"""Reads images from files and writes them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from io import BytesIO
from math import inf
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdgraph.errors import MediaError
from sdgraph.files import (
    FileStamp,
    atomic_write,
    convert_read_errors,
    raise_media_error,
    raise_too_large,
)
from sdgraph.values import Image

from .colour_profiles import convert_to_srgb, profile_name
from .edit_check import fill_in_hash, reserve_hash
from .limited_file import LimitedFile, open_limited
from .metadata import add_pixel_hash, pillow_metadata
from .sidecar import refuse_foreign_sidecar, write_sidecar

if TYPE_CHECKING:
    import PIL.Image

_ORIENTATION = 0x0112
_TURNED = 5  # orientations from here on exchange width and height
_KEPT_INFO = ("icc_profile", "transparency", "dpi", "gamma")  # no comment or EXIF of other programs

# suffix → Pillow's format, and the modes that it stores as they are
_FORMATS = {
    ".png": ("PNG", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    ".jpg": ("JPEG", ("L", "RGB")),
    ".jpeg": ("JPEG", ("L", "RGB")),
    ".webp": ("WEBP", ("RGB", "RGBA")),
    ".tif": ("TIFF", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F")),
    ".tiff": ("TIFF", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F")),
    ".bmp": ("BMP", ("1", "L", "RGB")),  # Pillow 11 and 12 cut P short
    ".gif": ("GIF", ("1", "L", "P", "RGB", "RGBA")),
}


_HASHED_MODES = ("1", "L", "LA", "RGB", "RGBA", "I;16")
"""The modes in which Pillow reads the PNG that it wrote, without a palette."""

_READ_FORMATS = frozenset(
    ("PNG", "JPEG", "MPO", "WEBP", "AVIF", "TIFF", "BMP", "DIB", "GIF", "JPEG2000", "PPM")
)
"""The formats of Pillow that are read: none that runs another program, as EPS does."""


def read_image(path: str | Path) -> PIL.Image.Image:
    """The picture in a file, in sRGB, turned as its EXIF says; of an animation, the first frame.

    The numbers of a picture with another colour profile are converted to those of sRGB.

    Raises:
        MediaError: The file is missing, unreadable, damaged, too large or not a picture.
    """
    from PIL import ImageOps

    with convert_read_errors(path, "a picture"), open_image(path) as picture:
        picture.load()
        return convert_to_srgb(ImageOps.exif_transpose(picture))


def probe_image(path: str | Path) -> tuple[int, int, str]:
    """(width, height, mode) of the picture that `read_image` returns, read from its header only.

    Raises:
        MediaError: The file is missing, unreadable, too large or not a picture.
    """
    import PIL.Image

    with convert_read_errors(path, "a picture"), open_image(path) as picture:
        width, height = picture.size
        # Not `picture.getexif()`: for a PNG it decodes the pixels to look for EXIF after them.
        is_turned = PIL.Image.Image.getexif(picture).get(_ORIENTATION, 1) >= _TURNED
        if is_turned and picture.format != "TIFF":  # Pillow turns the size of a TIFF itself
            width, height = height, width
        return width, height, picture.mode


def converted_profile(path: Path) -> str | None:
    """The name of the colour profile from which `read_image` converts the picture in a file.

    None if it converts nothing, or if the file is no picture that can be read.

    Args:
        path: The file, of which only the header is read; an unchanged one is read once.
    """
    try:
        return _converted_profile(path, FileStamp.of(path))
    except OSError:
        return None


@lru_cache(maxsize=1024)
def _converted_profile(path: Path, stamp: FileStamp) -> str | None:
    try:
        with convert_read_errors(path, "a picture"), open_image(path) as picture:
            return profile_name(picture)
    except MediaError:
        return None


def has_several_frames(path: Path) -> bool:
    """Whether a file is an animation or has several pages, of which `read_image` reads the first.

    Args:
        path: The file, of which only headers are read; an unchanged one is read once.
    """
    try:
        return _has_several_frames(path, FileStamp.of(path))
    except OSError:
        return False


@lru_cache(maxsize=1024)
def _has_several_frames(path: Path, stamp: FileStamp) -> bool:
    try:
        with convert_read_errors(path, "a picture"), open_image(path) as picture:
            # The others in an MPO of a camera are smaller copies.
            return picture.format != "MPO" and bool(getattr(picture, "is_animated", False))
    except MediaError:
        return False


def write_image(
    picture: PIL.Image.Image, path: str | Path, *, provenance: str | None = None, quality: int = 95
) -> bool:
    """Writes a picture in the format of the path's suffix.

    A mode that the format does not have becomes 8-bit RGB. A JPEG shows transparent pixels on
    white; a BMP drops the transparency.

    Args:
        picture: A Pillow picture of any mode.
        path: Where to write; the suffix is one of `Image.suffixes`.
        provenance: How it was made. What the format cannot hold (a BMP nothing, a JPEG at most
            64 KB) is written to a sidecar. "" and None are not written.
        quality: 1..100 for JPEG and WebP; a WebP at 100 is lossless.

    Returns:
        Whether the file itself holds the provenance.

    Raises:
        MediaError: The suffix is unknown, the format cannot hold such a picture, or the file
            cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() not in _FORMATS:
        wanted = f"one of {', '.join(_FORMATS)}"
        raise_media_error(path, f"the suffix {path.suffix!r}", wanted, "rename it")
    format_, modes = _FORMATS[path.suffix.lower()]
    options = _options(format_, quality)
    metadata: dict[str, Any] = {}
    try:
        fitted = _convert_for_format(picture, format_, modes)
        if provenance:
            record = _with_hash(provenance, fitted, format_, options)
            metadata = pillow_metadata(format_, record)
        # Pillow does not notice when a full disk cuts a write short, so it encodes in memory.
        fitted.save(encoded := BytesIO(), format_, **options, **metadata)
    except (ValueError, OverflowError, RuntimeError, struct.error) as error:
        found = f"a picture of {picture.width}×{picture.height} that {format_} refuses: {error}"
        raise_media_error(path, found, "one that the format can hold", "try .png", error)
    if provenance and not metadata:
        refuse_foreign_sidecar(path)
    content = bytearray(encoded.getbuffer())
    fill_in_hash(content)
    with atomic_write(path) as temporary:
        temporary.write_bytes(content)
    write_sidecar(path, (provenance or None) if not metadata else None)
    return bool(metadata)


@contextmanager
def open_image(path: str | Path, *, every_frame: bool = False) -> Iterator[PIL.Image.Image]:
    """The picture at `path`, open until the block ends; at first only its header is read.

    Args:
        path: A plain file.
        every_frame: Whether more than the first frame of an animation will be read.

    Raises:
        UnsuitableFileError: It is no plain file, or has too much metadata.
        MediaError: It has too many pixels, or is of a format with more than 16 bits.
        PIL.UnidentifiedImageError: It is of no known format.
    """
    import PIL.Image

    file, limited = open_limited(path)
    with file:
        picture = PIL.Image.open(limited)  # type: ignore[arg-type]  # it has what Pillow uses
        with picture:
            if picture.format not in _READ_FORMATS:
                raise PIL.UnidentifiedImageError(f"a {picture.format} file")
            pixels = picture.width * picture.height
            limit = PIL.Image.MAX_IMAGE_PIXELS
            if limit is not None and pixels > limit:
                raise_too_large(path, f"{picture.width}×{picture.height} pixels", limit)
            if isinstance(limited, LimitedFile):
                limited.allow_pixels(inf if every_frame else pixels)
            yield picture


def _with_hash(record: str, picture: PIL.Image.Image, format_: str, options: dict[str, Any]) -> str:
    """The record with a hash that tells whether the picture was edited.

    For PNG and JPEG it is a hash of the pixels, for the others one of the file (`edit_check`): they
    take long to encode twice, or are not decoded to the same pixels everywhere.
    """
    import PIL.Image

    if format_ == "JPEG":
        picture.save(encoded := BytesIO(), format_, **options)
        return add_pixel_hash(record, PIL.Image.open(encoded))
    if format_ == "PNG":
        return add_pixel_hash(record, picture) if picture.mode in _HASHED_MODES else record
    return reserve_hash(record)


def _options(format_: str, quality: int) -> dict[str, Any]:
    if format_ == "JPEG":  # from 90 on, colour is stored at full resolution too
        return {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
    if format_ == "WEBP":  # exact: keep the colours of fully transparent pixels
        return {"quality": quality, "lossless": quality == 100, "exact": True}
    return {}


def _convert_for_format(
    picture: PIL.Image.Image, format_: str, modes: tuple[str, ...]
) -> PIL.Image.Image:
    """A copy in a mode that the format has, without the comments of the file it came from."""
    import PIL.Image

    fits = picture.mode in modes and not (format_ == "JPEG" and picture.has_transparency_data)
    fitted = picture.copy() if fits else Image.from_pil(picture).pil
    if fitted.mode == "RGBA" and format_ == "JPEG":
        white = PIL.Image.new("RGBA", fitted.size, "white")
        fitted = PIL.Image.alpha_composite(white, fitted)
    if fitted.mode not in modes:
        fitted = fitted.convert("RGB")
    kept = _KEPT_INFO if fits else _KEPT_INFO[2:]  # the first two describe the old mode
    fitted.info = {key: picture.info[key] for key in kept if key in picture.info}
    return fitted
