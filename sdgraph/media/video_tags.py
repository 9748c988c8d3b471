"""Refuses videos with more metadata than is read: FFmpeg reads tags and attachments whole.

Only the headers of boxes, elements and chunks are read here, of files larger than the limit.
"""

from __future__ import annotations

import errno
import os
import struct
from collections.abc import Iterator
from typing import BinaryIO

from sdgraph.files import UnsuitableFileError

from .limited_file import MAX_METADATA_BYTES, MAX_READS

MAX_ATTACHMENT_BYTES = 4 * MAX_METADATA_BYTES
"""The most bytes of attached files, such as the fonts of subtitles."""

_MP4_BEGINS = (b"ftyp", b"moov", b"mdat", b"wide", b"free")
_EBML = b"\x1aE\xdf\xa3"
_ASF = bytes.fromhex("3026b2758e66cf11a6d900aa0062ce6c")

_SEGMENT, _CLUSTER, _CUES, _VOID, _ATTACHMENTS = (
    *(0x18538067, 0x1F43B675, 0x1C53BB6B, 0xEC),
    0x1941A469,
)
"""Elements of Matroska: the video, its frames, their index, a gap, and attached files."""


def refuse_large_tags(file: BinaryIO) -> None:
    """Raises UnsuitableFileError for a video with more metadata or attachments than is read.

    Args:
        file: A video of any format, at its beginning.
    """
    size = os.fstat(file.fileno()).st_size
    if size <= MAX_METADATA_BYTES:
        return
    begin = file.read(16)
    attached = 0
    if begin[4:8] in _MP4_BEGINS:
        tags = sum(_mp4_tags(file, size))
    elif begin.startswith(_EBML):
        tags = attached = 0
        for element, length in _matroska_metadata(file, size):
            attached += length if element == _ATTACHMENTS else 0
            tags += length if element != _ATTACHMENTS else 0
    elif begin[:4] == b"RIFF":
        tags = sum(_avi_tags(file, size))
    elif begin == _ASF:
        tags = struct.unpack("<Q", file.read(8))[0]
    elif begin.startswith(b"OggS"):
        tags = sum(_ogg_headers(file, size))
    else:
        return
    if tags > MAX_METADATA_BYTES:
        raise UnsuitableFileError(errno.EFBIG, f"a video with {tags:,} bytes of tags")
    if attached > MAX_ATTACHMENT_BYTES:
        raise UnsuitableFileError(errno.EFBIG, f"a video with {attached:,} bytes of attachments")


def _mp4_tags(file: BinaryIO, size: int) -> Iterator[int]:
    """The bytes of each box of an MP4 or MOV that holds tags."""
    place = 0
    for _ in range(MAX_READS):
        file.seek(place)
        header = file.read(16).ljust(16, b"\0")
        length, name, long_length = struct.unpack(">I4sQ", header)
        length = long_length if length == 1 else length or size - place
        if place >= size or length < 8:
            return
        if name in (b"udta", b"meta", b"uuid"):
            yield length
        place += 8 if name in (b"moov", b"trak") else length  # these hold the tags


def _matroska_metadata(file: BinaryIO, size: int) -> Iterator[tuple[int, int]]:
    """The elements of a Matroska or WebM file that are no frames: their numbers and bytes."""
    place = 0
    for _ in range(MAX_READS):
        file.seek(place)
        header = file.read(12)
        if len(header) < 2 or not header[0]:
            return
        id_length = 9 - header[0].bit_length()
        first = header[id_length : id_length + 1]
        if id_length > 4 or not first or not first[0]:
            return
        size_length = 9 - first[0].bit_length()
        data = header[id_length : id_length + size_length]
        length = int.from_bytes(data) & ~(1 << (7 * size_length))
        is_unknown = length == (1 << (7 * size_length)) - 1  # to the end, in what is streamed
        element = int.from_bytes(header[:id_length])
        place += id_length + size_length
        if element != _SEGMENT and not is_unknown:
            if element not in (_CLUSTER, _CUES, _VOID):
                yield element, min(length, size)
            place += length


def _avi_tags(file: BinaryIO, size: int) -> Iterator[int]:
    """The bytes of each chunk of an AVI but frames and indexes."""
    place = 12
    for _ in range(MAX_READS):
        file.seek(place)
        header = file.read(12)
        if len(header) < 8:
            return
        name, length = struct.unpack("<4sI", header[:8])
        kind = header[8:12]
        if name == b"RIFF":  # large files have several, one after another
            place += 12
            continue
        if name not in (b"idx1", b"JUNK") and (name, kind) != (b"LIST", b"movi"):
            yield min(length, size)
        place += 8 + length + length % 2


def _ogg_headers(file: BinaryIO, size: int) -> Iterator[int]:
    """The bytes of each page of an Ogg file before the first frame."""
    place = 0
    for _ in range(MAX_READS):
        file.seek(place)
        header = file.read(27)
        if place >= size or len(header) < 27 or header[:4] != b"OggS":
            return
        (position,) = struct.unpack("<q", header[6:14])
        if position > 0:
            return
        length = 27 + header[26] + sum(file.read(header[26]))
        yield length
        place += length
