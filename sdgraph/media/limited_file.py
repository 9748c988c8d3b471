"""A picture file whose header is read only up to a limit: metadata can be of any size."""

from __future__ import annotations

import errno
import os
import struct
from math import inf
from pathlib import Path
from typing import BinaryIO

from sdgraph.files import UnsuitableFileError, open_regular_file

MAX_METADATA_BYTES = 32 * 2**20
"""The most bytes of a picture's header: everything in front of the pixels."""

MAX_GIF_METADATA_BYTES = 2 * 2**20
"""The same for a GIF, as Pillow needs a time for comments that grows with the square of theirs."""

MAX_WHOLE_BYTES = 256 * 2**20
"""The most bytes of a file that Pillow reads whole before it knows the size of the picture."""

MAX_READS = 200_000
"""How many pieces a header may have."""

_SMALL_FILE = 2**20
_WEBP_PIXELS = (b"VP8 ", b"VP8L", b"ANMF", b"ALPH")
_BYTES_PER_PIXEL = 16  # more than any format needs


class LimitedFile:
    """A file that raises UnsuitableFileError when more of it is read than is allowed.

    It has the methods that Pillow uses. `allow_pixels` ends the limit for the header.
    """

    def __init__(self, file: BinaryIO, allowed: float) -> None:
        self._file = file
        self._allowed = allowed
        self._reads: float = MAX_READS
        self.seek, self.tell, self.fileno = file.seek, file.tell, file.fileno

    def read(self, count: int = -1) -> bytes:
        """At most `count` bytes, or the rest of the file."""
        data = self._file.read(count if count >= 0 else int(min(self._allowed, 2**62)) + 1)
        self._allowed -= len(data)
        self._reads -= 1
        if self._allowed < 0 or self._reads < 0:
            found = "a picture with more metadata than is read (comments, EXIF, profiles)"
            raise UnsuitableFileError(errno.EFBIG, found)
        return data

    def readline(self, count: int = -1) -> bytes:
        """A line of at most `count` bytes."""
        return self._file.readline(min(count, 2**16) if count >= 0 else 2**16)

    def allow_pixels(self, pixels: float) -> None:
        """Ends the limit for the header: so many pixels may be read now, and what follows them."""
        self._allowed = MAX_METADATA_BYTES + _BYTES_PER_PIXEL * pixels
        self._reads = inf


def open_limited(path: str | Path) -> tuple[BinaryIO, BinaryIO | LimitedFile]:
    """A plain file, to be closed later, and the same with limits if it needs them.

    Args:
        path: The picture.

    Raises:
        UnsuitableFileError: It is no plain file, or holds too much metadata.
        OSError: It cannot be opened.
    """
    file = open_regular_file(path)
    try:
        size = os.fstat(file.fileno()).st_size
        if size <= _SMALL_FILE:
            return file, file
        return file, LimitedFile(file, _header_limit(file, size))
    except BaseException:
        file.close()
        raise


def _header_limit(file: BinaryIO, size: int) -> int:
    """How many bytes Pillow may read to open a picture of a format."""
    begin = file.read(12)
    file.seek(0)
    if begin.startswith(b"GIF8"):
        return MAX_GIF_METADATA_BYTES
    if begin[:4] == b"RIFF" and _webp_metadata(file, size) <= MAX_METADATA_BYTES:
        return MAX_WHOLE_BYTES
    return MAX_WHOLE_BYTES // 4 if begin[4:8] == b"ftyp" else MAX_METADATA_BYTES


def _webp_metadata(file: BinaryIO, size: int) -> int:
    """The bytes in the chunks of a WebP that hold no pixels."""
    place, metadata = 12, 0
    for _ in range(MAX_READS):
        file.seek(place)
        header = file.read(8)
        if place >= size or len(header) < 8:
            break
        name, count = struct.unpack("<4sI", header)
        metadata += 0 if name in _WEBP_PIXELS else count
        place += 8 + count + count % 2
    file.seek(0)
    return metadata
