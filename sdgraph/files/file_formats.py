"""What a file is, by its first bytes: so that errors name it for what it is."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, NamedTuple

from .plain_files import open_regular_file


class FileFormat(NamedTuple):
    """What a file is.

    Args:
        name: In words, with the article: "a PNG picture".
        medium: Whether it is a picture, a video or something else.
        is_read: Whether sdgraph reads files of this format.
    """

    name: str
    medium: Literal["picture", "video", "other"]
    is_read: bool


_HEAD_BYTES = 1024

_PICTURES = {
    b"\x89PNG": "a PNG picture",
    b"\xff\xd8\xff": "a JPEG picture",
    b"GIF8": "a GIF picture",
    b"BM": "a BMP picture",
    b"II*\0": "a TIFF picture",
    b"MM\0*": "a TIFF picture",
    b"\0\0\0\x0cjP  ": "a JPEG 2000 picture",
    b"\xff\x4f\xff\x51": "a JPEG 2000 picture",
}

_UNREAD_PICTURES = {
    b"\x76\x2f\x31\x01": "an OpenEXR picture",
    b"#?RADIANCE": "a Radiance HDR picture",
    b"#?RGBE": "a Radiance HDR picture",
    b"\xff\x0a": "a JPEG XL picture",
    b"\0\0\0\x0cJXL ": "a JPEG XL picture",
    b"8BPS": "a Photoshop file",
    b"gimp xcf": "a GIMP file",
    b"\0\0\1\0": "an icon",
    b"qoif": "a QOI picture",
    b"DDS ": "a DDS picture",
    b"II+\0": "a BigTIFF picture",
    b"MM\0+": "a BigTIFF picture",
    b"II\x55\0": "a raw photo of a camera",
    b"IIRO": "a raw photo of a camera",
    b"FUJIFILM": "a raw photo of a camera",
}

_VIDEOS = {
    b"\x1aE\xdf\xa3": "a video (WebM or MKV)",
    b"FLV\1": "a video (FLV)",
    b"\0\0\1\xba": "a video (MPEG)",
    b"\0\0\1\xb3": "a video (MPEG)",
    b"0&\xb2u\x8ef\xcf\x11": "a video (WMV)",
}

_OTHERS = {
    b"%PDF": "a PDF",
    b"%!PS": "a PostScript file",
    b"\xc5\xd0\xd3\xc6": "a PostScript file",
    b"PK\3\4": "a ZIP archive",
    b"ID3": "a sound",
    b"fLaC": "a sound",
    b"OggS": "an Ogg file",
}

_BRANDS = {
    b"avif": FileFormat("an AVIF picture", "picture", is_read=True),
    b"avis": FileFormat("an AVIF picture", "picture", is_read=True),
    b"crx ": FileFormat("a raw photo of a camera", "picture", is_read=False),
    b"M4A ": FileFormat("a sound", "other", is_read=False),
    **dict.fromkeys(
        (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1"),
        FileFormat("a HEIC picture", "picture", is_read=False),
    ),
}
"""By the brand in the first box of an ISO media file; all others are videos."""

_RIFF = {
    b"WEBP": FileFormat("a WebP picture", "picture", is_read=True),
    b"AVI ": FileFormat("a video (AVI)", "video", is_read=True),
    b"WAVE": FileFormat("a sound", "other", is_read=False),
}


def file_format(path: str | Path) -> FileFormat | None:
    """What a file is, by its first bytes; None if they tell nothing, or if it cannot be read.

    Args:
        path: The file.
    """
    try:
        with open_regular_file(path) as file:
            return _kind_of(file.read(_HEAD_BYTES))
    except (OSError, ValueError):
        return None


def _kind_of(head: bytes) -> FileFormat | None:
    if head[4:8] == b"ftyp":
        brand = _BRANDS.get(head[8:12])
        return brand or FileFormat("a video (MP4 or MOV)", "video", is_read=True)
    if head[:4] == b"RIFF":
        return _RIFF.get(head[8:12])
    if head[:1] == b"G" and head[188:189] == b"G":
        return FileFormat("a video (MPEG-TS)", "video", is_read=True)
    if b"<svg" in head:
        return FileFormat("an SVG drawing", "picture", is_read=False)
    for begin, name in _PICTURES.items():
        if head.startswith(begin):
            return FileFormat(name, "picture", is_read=True)
    for begin, name in _UNREAD_PICTURES.items():
        if head.startswith(begin):
            return FileFormat(name, "picture", is_read=False)
    for begin, name in _VIDEOS.items():
        if head.startswith(begin):
            return FileFormat(name, "video", is_read=True)
    found = next((name for begin, name in _OTHERS.items() if head.startswith(begin)), "")
    return FileFormat(found, "other", is_read=False) if found else None
