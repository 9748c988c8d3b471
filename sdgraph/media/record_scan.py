"""Reads the record in a PNG, JPEG or WebP without opening it as a picture.

A file that is saved into a folder with thousands of numbered files asks each for its record.
Pillow would read every WebP whole, and the EXIF of every JPEG twice.
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from sdgraph.files import open_regular_file

from .limited_file import MAX_METADATA_BYTES
from .metadata import PNG_KEY, text_in_exif

_MAX_CHUNKS = 1000
_PNG = b"\x89PNG\r\n\x1a\n"
_ITXT = PNG_KEY.encode() + bytes(5)
"""How the chunk of the record begins: its key, not compressed, of no language."""


def scan_record(path: str | Path) -> str | None:
    """The record in a file, if it is where sdgraph writes it; None for every other file.

    Args:
        path: The file.

    Raises:
        OSError: It cannot be read.
    """
    with open_regular_file(path) as file:
        begin = file.read(12)
        if begin.startswith(_PNG):
            file.seek(8)
            return _record_of_png(file)
        if begin.startswith(b"\xff\xd8\xff"):
            file.seek(2)
            return _record_in([*_jpeg_exif(file)])
        if begin[:4] == b"RIFF" and begin[8:] == b"WEBP":
            return _record_in([*_webp_exif(file)])
    return None


def _record_of_png(file: BinaryIO) -> str | None:
    for _ in range(_MAX_CHUNKS):
        header = file.read(8)
        if len(header) < 8 or header[4:] == b"IDAT":
            return None
        (length,) = struct.unpack(">I", header[:4])
        if header[4:] != b"iTXt" or length > MAX_METADATA_BYTES:
            file.seek(length + 4, 1)
            continue
        data, checksum = file.read(length), file.read(4)
        if data.startswith(_ITXT):
            is_whole = zlib.crc32(data, zlib.crc32(b"iTXt")).to_bytes(4) == checksum
            return data[len(_ITXT) :].decode("utf-8", "replace") if is_whole else None
    return None


def _jpeg_exif(file: BinaryIO) -> Iterator[bytes]:
    for _ in range(_MAX_CHUNKS):
        header = file.read(4)
        if len(header) < 4 or header[0] != 0xFF or header[1] == 0xDA:  # the pixels begin
            return
        length = int.from_bytes(header[2:]) - 2
        if header[1] == 0xE1 and (data := file.read(max(length, 0))).startswith(b"Exif\0\0"):
            yield data
        elif header[1] != 0xE1:
            file.seek(max(length, 0), 1)


def _webp_exif(file: BinaryIO) -> Iterator[bytes]:
    for _ in range(_MAX_CHUNKS):
        header = file.read(8)
        if len(header) < 8:
            return
        name, length = struct.unpack("<4sI", header)
        if name == b"EXIF" and length <= MAX_METADATA_BYTES:
            yield file.read(length)
            return
        file.seek(length + length % 2, 1)


def _record_in(exif: list[bytes]) -> str | None:
    """The record in the only EXIF of a file."""
    import PIL.Image

    if len(exif) != 1:
        return None
    parsed = PIL.Image.Exif()
    try:
        parsed.load(exif[0])
        return text_in_exif(parsed)
    except (SyntaxError, ValueError, KeyError, TypeError, struct.error):
        return None  # Pillow says what is wrong with the file
