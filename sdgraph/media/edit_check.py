"""Tells whether a file was edited since sdgraph wrote it: its record holds a hash of the file.

Programs that edit pictures and videos keep the record, as they keep other metadata.

1. `reserve_hash` puts a hash of zeros near the beginning of a record, which is then written.
2. `fill_in_hash` computes the hash of all bytes of the finished file and writes it over the zeros.
3. `is_unchanged` puts the zeros back, in memory, and compares.

The place is found by the text before it, which EXIF holds as UTF-16. The records of PNG and JPEG
have a hash of the pixels instead (see `metadata`): a PNG holds a checksum of its record, which
would be wrong then.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import blake2b
from mmap import ACCESS_COPY, mmap
from pathlib import Path

from sdgraph.files import open_regular_file

FILE_HASH = "file_hash"
"""The entry of a record with the hash of the file."""

_BEGIN = re.compile(r'\{"sdgraph_record": \d+, ')
_ZEROS = "0" * 32
_ENCODINGS = ("utf-8", "utf-16-le", "utf-16-be")


def reserve_hash(record: str) -> str:
    """A record of sdgraph with a hash of zeros; any other text as it is.

    Args:
        record: The text of the record.

    Example:
        >>> reserve_hash('{"sdgraph_record": 1, "node": "a"}')
        '{"sdgraph_record": 1, "file_hash": "00000000000000000000000000000000", "node": "a"}'
    """
    begin = _BEGIN.match(record)
    if begin is None:
        return record
    return f'{begin[0]}"{FILE_HASH}": "{_ZEROS}", {record[begin.end() :]}'


def fill_in_hash(data: bytearray | mmap) -> None:
    """Writes the hash of a file over the zeros of its record; without a record, does nothing.

    Args:
        data: All bytes of the file, which are changed.
    """
    _replace_hash(data, _ZEROS, blake2b(data, digest_size=16).hexdigest())


def fill_in_hash_of_file(path: Path) -> None:
    """Does the same with a file on a disk; raises OSError.

    Args:
        path: The file, which is changed.
    """
    try:
        with path.open("r+b") as file, mmap(file.fileno(), 0) as data:
            fill_in_hash(data)
    except OSError:  # some disks cannot share memory
        content = bytearray(path.read_bytes())
        fill_in_hash(content)
        path.write_bytes(content)


def is_unchanged(path: str | Path, recorded: str) -> bool:
    """Whether a file has the hash that its record holds, or a record without one.

    Args:
        path: The file.
        recorded: The hash in its record.
    """
    if recorded == _ZEROS:
        return True
    with open_regular_file(path) as file, mmap(file.fileno(), 0, access=ACCESS_COPY) as data:
        _replace_hash(data, recorded, _ZEROS)
        return blake2b(data, digest_size=16).hexdigest() == recorded


def _replace_hash(data: bytearray | mmap, old: str, new: str) -> None:
    for place, encoding in [*_find_hash(data, old)]:
        data[place : place + len(new.encode(encoding))] = new.encode(encoding)


def _find_hash(data: bytearray | mmap, hash_: str) -> Iterator[tuple[int, str]]:
    """The places of a hash in a file, with the encodings of the text there."""
    for encoding in _ENCODINGS:
        before = f'"{FILE_HASH}": "'.encode(encoding)
        text = before + hash_.encode(encoding)
        place = data.find(text)
        while place >= 0:
            yield place + len(before), encoding
            place = data.find(text, place + 1)
