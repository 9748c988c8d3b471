"""Pictures from and to files."""

from __future__ import annotations

import struct
from io import BytesIO
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sdgraph.files import atomic_write, convert_read_errors, raise_media_error, raise_too_large
from sdgraph.values import Image

from . import sidecar
from .metadata import pillow_marks

if TYPE_CHECKING:
    import PIL.Image

_ORIENTATION = 0x0112
_KEPT_INFO = ("icc_profile", "transparency", "dpi", "gamma")  # and no foreign comment or EXIF

# suffix → Pillow's format, and the modes it keeps as they are
_PICTURES = {
    ".png": ("PNG", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")),
    ".jpg": ("JPEG", ("L", "RGB")),
    ".jpeg": ("JPEG", ("L", "RGB")),
    ".webp": ("WEBP", ("RGB", "RGBA")),
    ".tif": ("TIFF", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F")),
    ".tiff": ("TIFF", ("1", "L", "LA", "P", "RGB", "RGBA", "I;16", "I", "F")),
    ".bmp": ("BMP", ("1", "L", "RGB")),  # Pillow 11 and 12 cut P short
    ".gif": ("GIF", ("1", "L", "P", "RGB", "RGBA")),
}
PICTURE_SUFFIXES = tuple(_PICTURES)


def read_image(path: str | Path) -> PIL.Image.Image:
    """The picture in a file, turned as its EXIF says; the first frame of a moving one.

    Raises MediaError for a file that is missing, unreadable, damaged, too large or no picture.
    """
    from PIL import ImageOps

    with convert_read_errors(path, "a picture"), opened_picture(path) as picture:
        picture.load()
        return ImageOps.exif_transpose(picture)


def probe_image(path: str | Path) -> tuple[int, int, str]:
    """(width, height, mode) of the picture that `read_image` gives, from its header alone."""
    import PIL.Image

    with convert_read_errors(path, "a picture"), opened_picture(path) as picture:
        width, height = picture.size
        # Not `picture.getexif()`: PNG's own decodes the pixels to look for EXIF behind them.
        turned = PIL.Image.Image.getexif(picture).get(_ORIENTATION, 1) >= 5
        if turned and picture.format != "TIFF":  # Pillow gives the size of a TIFF turned already
            width, height = height, width
        return width, height, picture.mode


def write_image(
    picture: PIL.Image.Image, path: str | Path, *, provenance: str | None = None, quality: int = 95
) -> bool:
    """Writes a picture in the format that the suffix names; returns whether it holds `provenance`.

    quality: 1..100 for JPEG and WebP, where WebP at 100 is lossless. What a format has no mode for
    becomes 8-bit RGB; transparency is laid over white in JPEG, dropped in BMP. BMP takes no
    provenance, JPEG none beyond 64 KB: a sidecar takes it then. Of "" and None nothing is written.
    Raises MediaError.
    """
    path = Path(path)
    if path.suffix.lower() not in _PICTURES:
        raise_media_error(
            path, f"the suffix {path.suffix!r}", f"one of {', '.join(_PICTURES)}", "rename it"
        )
    format_, modes = _PICTURES[path.suffix.lower()]
    options = _options(format_, quality)
    marks = pillow_marks(format_, provenance) if provenance else {}
    with atomic_write(path) as beside:
        try:
            fitted = _fitted(picture, format_, modes)
            # Not straight to the disk: Pillow does not notice when a full one takes half a write.
            fitted.save(encoded := BytesIO(), format_, **options, **marks)
        except (ValueError, OverflowError, RuntimeError, struct.error) as error:
            found = f"a picture of {picture.width}×{picture.height} that {format_} refuses: {error}"
            raise_media_error(path, found, "one that the format can hold", "try .png", error)
        beside.write_bytes(encoded.getbuffer())
    sidecar.keep(path, (provenance or None) if not marks else None)
    return bool(marks)


def opened_picture(path: str | Path) -> PIL.Image.Image:
    """The picture at `path`, its header read and its size found bearable."""
    import PIL.Image

    picture = PIL.Image.open(path)
    limit = PIL.Image.MAX_IMAGE_PIXELS
    if limit is not None and picture.width * picture.height > limit:
        picture.close()
        raise_too_large(path, f"{picture.width}×{picture.height} pixels", limit)
    return picture


def _options(format_: str, quality: int) -> dict[str, Any]:
    if format_ == "JPEG":  # colour at full resolution, where the eye is to see no loss
        return {"quality": quality, "subsampling": 0 if quality >= 90 else 2}
    if format_ == "WEBP":  # exact: keep the colours under full transparency
        return {"quality": quality, "lossless": quality == 100, "exact": True}
    return {}


def _fitted(picture: PIL.Image.Image, format_: str, modes: tuple[str, ...]) -> PIL.Image.Image:
    """A copy in a mode that the format holds, without the notes of the file it came from."""
    import PIL.Image

    fits = picture.mode in modes and not (format_ == "JPEG" and picture.has_transparency_data)
    fitted = picture.copy() if fits else Image.from_pil(picture).pil
    if fitted.mode == "RGBA" and format_ == "JPEG":
        white = PIL.Image.new("RGBA", fitted.size, "white")
        fitted = PIL.Image.alpha_composite(white, fitted)
    if fitted.mode not in modes:
        fitted = fitted.convert("RGB")
    kept = _KEPT_INFO if fits else _KEPT_INFO[2:]  # a converted picture has lost what they describe
    fitted.info = {key: picture.info[key] for key in kept if key in picture.info}
    return fitted
